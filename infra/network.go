package infra

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// zones is the number of availability zones of a new VPC: the minimum for a load balancer, because
// the endpoints in each further zone cost money.
const zones = 2

type networkProps struct {
	Config Config
}

// network is the network of the tasks.
type network struct {
	VPC awsec2.IVpc
	// Tasks and Public select the subnets of the tasks, and of a public load balancer.
	Tasks, Public *awsec2.SubnetSelection
	// PublicIPs gives tasks public IP addresses, which they need to reach the internet.
	PublicIPs bool
	// Ready are the resources that must exist before a task starts. Without the route to its image
	// a task fails, and so does the deployment. Nil for an existing VPC.
	Ready constructs.IDependable
	// Range is the VPC's address range; empty if it is not known.
	Range string
}

// newNetwork returns the existing VPC of the configuration, or a new one. By default a new VPC has
// no route to the internet, but endpoints for the services that the tasks call.
func newNetwork(scope constructs.Construct, id string, props *networkProps) *network {
	here := constructs.NewConstruct(scope, &id)
	config := props.Config
	if config.Network.VPCID != "" {
		return existingNetwork(here, config)
	}
	kind := subnetType(config.Network.Kind)
	subnets := []*awsec2.SubnetConfiguration{{
		Name: jsii.String("tasks"), SubnetType: kind, CidrMask: jsii.Number(20), MapPublicIpOnLaunch: closed(kind),
	}}
	if config.Network.Kind == networkNAT || config.Producer.Public && !config.Network.public() {
		subnets = append(subnets, &awsec2.SubnetConfiguration{
			Name: jsii.String("public"), SubnetType: awsec2.SubnetType_PUBLIC, CidrMask: jsii.Number(24),
			MapPublicIpOnLaunch: jsii.Bool(false),
		})
	}
	vpc := awsec2.NewVpc(here, jsii.String("Vpc"), &awsec2.VpcProps{
		IpAddresses:         awsec2.IpAddresses_Cidr(&config.Network.CIDR),
		MaxAzs:              jsii.Number(zones),
		NatGateways:         jsii.Number(config.Network.NATGateways),
		SubnetConfiguration: &subnets,
		// The default security group is not used. To empty it, the CDK would deploy a function with
		// rights on every security group.
		RestrictDefaultSecurityGroup: jsii.Bool(false),
		// Gateway endpoints are free of charge, unlike interface endpoints and NAT. ECR keeps the
		// layers of images in S3.
		GatewayEndpoints: &map[string]*awsec2.GatewayVpcEndpointOptions{
			"DynamoDB": {Service: awsec2.GatewayVpcEndpointAwsService_DYNAMODB()},
			"S3":       {Service: awsec2.GatewayVpcEndpointAwsService_S3()},
		},
	})
	logRejected(here, vpc, config)
	tasks := &awsec2.SubnetSelection{SubnetType: kind}
	if config.Network.Kind == networkEndpoints {
		addEndpoints(vpc, tasks, config)
	}
	return &network{
		VPC: vpc, Tasks: tasks, Public: &awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PUBLIC},
		PublicIPs: config.Network.public(), Ready: here, Range: config.Network.CIDR,
	}
}

// subnetType returns the type of the tasks' subnets.
func subnetType(kind string) awsec2.SubnetType {
	switch kind {
	case networkPublic:
		return awsec2.SubnetType_PUBLIC
	case networkEndpoints:
		return awsec2.SubnetType_PRIVATE_ISOLATED
	default:
		return awsec2.SubnetType_PRIVATE_WITH_EGRESS
	}
}

// closed returns MapPublicIpOnLaunch: false for public subnets, nil for others, which do not have
// it.
func closed(kind awsec2.SubnetType) *bool {
	if kind == awsec2.SubnetType_PUBLIC {
		return jsii.Bool(false)
	}
	return nil
}

// admit makes a service depend on the network being ready.
func (n *network) admit(service awsecs.FargateService) {
	if n.Ready != nil {
		service.Node().AddDependency(n.Ready)
	}
}

// existingNetwork returns the VPC of the configuration.
func existingNetwork(scope constructs.Construct, config Config) *network {
	n := config.Network
	result := &network{
		Tasks:     &awsec2.SubnetSelection{SubnetType: subnetType(n.Kind)},
		Public:    &awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PUBLIC},
		PublicIPs: n.public(),
	}
	if n.looked() {
		result.VPC = awsec2.Vpc_FromLookup(scope, jsii.String("Vpc"), &awsec2.VpcLookupOptions{VpcId: &n.VPCID})
		result.Range = *result.VPC.VpcCidrBlock()
		return result
	}
	attributes := &awsec2.VpcAttributes{
		VpcId:             &n.VPCID,
		AvailabilityZones: jsii.Strings(n.Zones...),
	}
	if len(n.PrivateSubnetIDs) > 0 {
		attributes.PrivateSubnetIds = jsii.Strings(n.PrivateSubnetIDs...)
	}
	if len(n.PublicSubnetIDs) > 0 {
		attributes.PublicSubnetIds = jsii.Strings(n.PublicSubnetIDs...)
	}
	result.VPC = awsec2.Vpc_FromVpcAttributes(scope, jsii.String("Vpc"), attributes)
	awscdk.Annotations_Of(result.VPC).AcknowledgeWarning(jsii.String("@aws-cdk/aws-ec2:noSubnetRouteTableId"),
		jsii.String("nothing here asks for the route tables of the subnets"))
	return result
}

// addEndpoints adds interface endpoints for the services that the tasks, and Fargate on their
// behalf, call: queue, image, logs, secrets and schedules.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/vpc-endpoints.html
func addEndpoints(vpc awsec2.Vpc, subnets *awsec2.SubnetSelection, config Config) {
	services := map[string]awsec2.InterfaceVpcEndpointAwsService{
		"Sqs":       awsec2.InterfaceVpcEndpointAwsService_SQS(),
		"Ecr":       awsec2.InterfaceVpcEndpointAwsService_ECR(),
		"EcrDocker": awsec2.InterfaceVpcEndpointAwsService_ECR_DOCKER(),
		"Logs":      awsec2.InterfaceVpcEndpointAwsService_CLOUDWATCH_LOGS(),
	}
	if !config.Producer.Off || config.Target.TokenSecret != "" || config.Target.SigningSecret != "" || len(config.Target.Secrets)+len(config.Worker.AdminFrom) > 0 {
		services["Secrets"] = awsec2.InterfaceVpcEndpointAwsService_SECRETS_MANAGER()
	}
	if config.Delays && !config.Producer.Off {
		// The CDK has no constant for it.
		// https://docs.aws.amazon.com/vpc/latest/privatelink/aws-services-privatelink-support.html
		services["Scheduler"] = awsec2.NewInterfaceVpcEndpointAwsService(jsii.String("scheduler"), nil, nil, nil)
	}
	for _, name := range sortedKeys(services) {
		endpoint := vpc.AddInterfaceEndpoint(&name, &awsec2.InterfaceVpcEndpointOptions{
			Service: services[name], Subnets: subnets, Open: jsii.Bool(false),
		})
		endpoint.Connections().AllowDefaultPortFrom(awsec2.Peer_Ipv4(&config.Network.CIDR), jsii.String("from inside the VPC"))
	}
}

// logRejected logs rejected traffic. Accepted traffic is left out, because flow logs are billed by
// the gigabyte, and the logs of the tasks show it.
func logRejected(scope constructs.Construct, vpc awsec2.Vpc, config Config) {
	vpc.AddFlowLog(jsii.String("Flow"), &awsec2.FlowLogOptions{
		Destination: awsec2.FlowLogDestination_ToCloudWatchLogs(newLogGroup(scope, "Rejected", config), nil),
		TrafficType: awsec2.FlowLogTrafficType_REJECT,
	})
}
