package infra

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// zones is in how many availability zones a new VPC has subnets: the least that
// a load balancer takes, and each further one is paid for by endpoints.
const zones = 2

type networkProps struct {
	Config Config
}

// network is where the tasks run.
type network struct {
	VPC awsec2.IVpc
	// Tasks and Public select the subnets of the tasks, and of a public load balancer.
	Tasks, Public *awsec2.SubnetSelection
	// PublicIPs: tasks have addresses of their own, with which they reach the internet.
	PublicIPs bool
	// Ready is what must be there before a task starts: without the way to its
	// image it would fail, and the deployment with it. Nil for a VPC that is.
	Ready constructs.IDependable
	// Range is the VPC's address range; empty when it is not known.
	Range string
}

// newNetwork takes an existing VPC, or makes one: by default without any way to the internet, with
// endpoints for what the tasks call.
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
		// Nothing uses the default group. To empty it, the CDK would deploy a
		// function with rights on every security group.
		RestrictDefaultSecurityGroup: jsii.Bool(false),
		// Free of charge, unlike the way through an endpoint or NAT. S3 is where
		// ECR keeps the layers of images.
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

// subnetType is the type of the subnets that tasks are in.
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

// closed is MapPublicIpOnLaunch: off for public subnets, which alone have it.
func closed(kind awsec2.SubnetType) *bool {
	if kind == awsec2.SubnetType_PUBLIC {
		return jsii.Bool(false)
	}
	return nil
}

// admit lets a service start its tasks when the network is ready.
func (n *network) admit(service awsecs.FargateService) {
	if n.Ready != nil {
		service.Node().AddDependency(n.Ready)
	}
}

// existingNetwork takes the VPC of the configuration.
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

// addEndpoints gives tasks without a way to the internet what they and Fargate
// on their behalf call: the queue, the image, the logs, the secrets.
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
	for _, name := range sortedKeys(services) {
		endpoint := vpc.AddInterfaceEndpoint(&name, &awsec2.InterfaceVpcEndpointOptions{
			Service: services[name], Subnets: subnets, Open: jsii.Bool(false),
		})
		endpoint.Connections().AllowDefaultPortFrom(awsec2.Peer_Ipv4(&config.Network.CIDR), jsii.String("from inside the VPC"))
	}
}

// logRejected logs what the network refuses. All traffic would cost by the
// gigabyte, and what is allowed shows in the logs of the tasks.
func logRejected(scope constructs.Construct, vpc awsec2.Vpc, config Config) {
	vpc.AddFlowLog(jsii.String("Flow"), &awsec2.FlowLogOptions{
		Destination: awsec2.FlowLogDestination_ToCloudWatchLogs(newLogGroup(scope, "Rejected", config), nil),
		TrafficType: awsec2.FlowLogTrafficType_REJECT,
	})
}
