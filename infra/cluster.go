package infra

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

type clusterProps struct {
	Config  Config
	Network *network
}

// newCluster returns the existing cluster of the configuration, or a new one. Container Insights is
// off, because the workers themselves report the number of running workers, which scaling needs.
func newCluster(scope constructs.Construct, id string, props *clusterProps) awsecs.ICluster {
	if name := props.Config.ClusterName; name != "" {
		return awsecs.Cluster_FromClusterAttributes(scope, &id, &awsecs.ClusterAttributes{ClusterName: &name, Vpc: props.Network.VPC})
	}
	made := awsecs.NewCluster(scope, &id, &awsecs.ClusterProps{
		Vpc:                            props.Network.VPC,
		ContainerInsightsV2:            awsecs.ContainerInsights_DISABLED,
		EnableFargateCapacityProviders: jsii.Bool(props.Config.Worker.SpotShare > 0),
	})
	suppress(made, "AwsSolutions-ECS4",
		"Nothing here looks at its metrics, which cost about 12 dollars a month; workers tell their number themselves")
	return made
}

// newTask creates a Fargate task definition of the given size.
func newTask(scope constructs.Construct, id string, config Config, cpu, memory int) awsecs.FargateTaskDefinition {
	arch := awsecs.CpuArchitecture_ARM64()
	if config.Worker.Arch == "amd64" {
		arch = awsecs.CpuArchitecture_X86_64()
	}
	return awsecs.NewFargateTaskDefinition(scope, &id, &awsecs.FargateTaskDefinitionProps{
		Cpu:            jsii.Number(cpu),
		MemoryLimitMiB: jsii.Number(memory),
		RuntimePlatform: &awsecs.RuntimePlatform{
			CpuArchitecture:       arch,
			OperatingSystemFamily: awsecs.OperatingSystemFamily_LINUX(),
		},
	})
}

// newLogGroup creates a log group that is deleted with the stack.
func newLogGroup(scope constructs.Construct, id string, config Config) awslogs.LogGroup {
	return awslogs.NewLogGroup(scope, &id, &awslogs.LogGroupProps{
		Retention:     retentionDays[config.LogRetention],
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
}

// logTo sends the output of a container to a log group. It does not block: in an outage of
// CloudWatch lines are lost, and the work goes on.
func logTo(group awslogs.LogGroup, prefix string) awsecs.LogDriver {
	return awsecs.LogDriver_AwsLogs(&awsecs.AwsLogDriverProps{
		LogGroup:      group,
		StreamPrefix:  &prefix,
		Mode:          awsecs.AwsLogDriverMode_NON_BLOCKING,
		MaxBufferSize: awscdk.Size_Mebibytes(jsii.Number(4)),
	})
}
