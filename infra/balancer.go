package infra

import (
	"slices"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	elb "github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// balancerIdle is the idle timeout of a connection. An answer to "Prefer: wait" can take a
	// minute.
	balancerIdle = longestWait + 15*time.Second
	// deregistrationDelay lets requests with "Prefer: wait" finish.
	deregistrationDelay = longestWait + 5*time.Second
	accessLogDays       = 90
)

// addBalancer adds a load balancer in front of the producer, inside the VPC or facing the internet.
// With a certificate there is no plain HTTP, not even a redirect, because a client's first request
// would send its token in clear.
func addBalancer(scope constructs.Construct, p *producer, place workplace) {
	config := place.Config.Producer
	subnets := place.Network.Tasks
	if config.Public {
		subnets = place.Network.Public
	}
	p.Balancer = elb.NewApplicationLoadBalancer(scope, jsii.String("Balancer"), &elb.ApplicationLoadBalancerProps{
		Vpc:                     place.Network.VPC,
		InternetFacing:          &config.Public,
		VpcSubnets:              subnets,
		IdleTimeout:             seconds(balancerIdle),
		DropInvalidHeaderFields: jsii.Bool(true),
	})
	props := &elb.BaseApplicationListenerProps{Open: jsii.Bool(false), Port: jsii.Number(80), Protocol: elb.ApplicationProtocol_HTTP}
	scheme := "http://"
	if config.secure() {
		props.Port, props.Protocol = jsii.Number(443), elb.ApplicationProtocol_HTTPS
		props.Certificates = &[]elb.IListenerCertificate{elb.ListenerCertificate_FromArn(&config.Certificate)}
		props.SslPolicy = elb.SslPolicy_RECOMMENDED_TLS
		scheme = "https://"
	}
	listener := p.Balancer.AddListener(jsii.String("Listener"), props)
	for _, clients := range clientRanges(place) {
		listener.Connections().AllowDefaultPortFrom(awsec2.Peer_Ipv4(&clients), jsii.String("clients of the API"))
	}
	// A target group serves one load balancer, and a change of the scheme replaces the load
	// balancer. So the target group gets another id with the scheme. Otherwise the deployment would
	// fail.
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html
	group := "Tasks"
	if config.Public {
		group = "PublicTasks"
	}
	p.Targets = listener.AddTargets(&group, &elb.AddApplicationTargetsProps{
		Port:     jsii.Number(producerPort),
		Protocol: elb.ApplicationProtocol_HTTP,
		Targets: &[]elb.IApplicationLoadBalancerTarget{p.Service.LoadBalancerTarget(&awsecs.LoadBalancerTargetOptions{
			ContainerName: jsii.String("producer"), ContainerPort: jsii.Number(producerPort),
		})},
		DeregistrationDelay: seconds(deregistrationDelay),
		// Not /readyz: ECS replaces a task that the load balancer finds unhealthy, and a new task
		// does not help in an outage of SQS.
		HealthCheck: &elb.HealthCheck{
			Path: jsii.String("/healthz"), Interval: seconds(10 * time.Second), Timeout: seconds(5 * time.Second),
			HealthyThresholdCount: jsii.Number(2), UnhealthyThresholdCount: jsii.Number(3),
		},
	})
	host := p.Balancer.LoadBalancerDnsName()
	if config.Domain != "" {
		host = &config.Domain
	}
	p.URL = jsii.String(scheme + *host)
	watchAccess(scope, p.Balancer, config)
}

// everywhere is the range of all addresses.
const everywhere = "0.0.0.0/0"

// clientRanges returns the address ranges that may connect.
func clientRanges(place workplace) []string {
	config := place.Config.Producer
	switch {
	case len(config.Clients) > 0:
		return config.Clients
	case config.Public:
		return []string{everywhere}
	default:
		return []string{place.Network.Range}
	}
}

// watchAccess enables access logs for a public load balancer.
func watchAccess(scope constructs.Construct, balancer elb.ApplicationLoadBalancer, config ProducerConfig) {
	if !config.Public {
		suppress(balancer, "AwsSolutions-ELB2",
			"Reached from within only; the producer itself logs every request with its outcome")
		return
	}
	if len(config.Clients) == 0 || slices.Contains(config.Clients, everywhere) {
		suppress(balancer, "AwsSolutions-EC23", "A public API is open to its clients; it takes TLS with a bearer token only")
	}
	bucket := awss3.NewBucket(scope, jsii.String("AccessLogs"), &awss3.BucketProps{
		Encryption:        awss3.BucketEncryption_S3_MANAGED, // load balancers support no other encryption
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		EnforceSSL:        jsii.Bool(true),
		LifecycleRules:    &[]*awss3.LifecycleRule{{Expiration: seconds(accessLogDays * day)}},
		RemovalPolicy:     awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE,
	})
	suppress(bucket, "AwsSolutions-S1", "It is the bucket for access logs")
	// Written out here, because the construct's method requires a known Region.
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
	stack := awscdk.Stack_Of(scope)
	bucket.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("LoadBalancersWriteHere"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("logdelivery.elasticloadbalancing.amazonaws.com"), nil)},
		Actions:    jsii.Strings("s3:PutObject"),
		Resources:  &[]*string{bucket.ArnForObjects(jsii.String("AWSLogs/" + *stack.Account() + "/*"))},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": stack.Account()}},
	}))
	balancer.SetAttribute(jsii.String("access_logs.s3.enabled"), jsii.String("true"))
	balancer.SetAttribute(jsii.String("access_logs.s3.bucket"), bucket.BucketName())
	balancer.Node().AddDependency(bucket.Policy())
}
