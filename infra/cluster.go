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

// newCluster takes an existing cluster, or makes one. Container Insights is on, because the number
// of running tasks, which scaling divides by, is one of its metrics.
func newCluster(scope constructs.Construct, id string, props *clusterProps) awsecs.ICluster {
	if name := props.Config.ClusterName; name != "" {
		return awsecs.Cluster_FromClusterAttributes(scope, &id, &awsecs.ClusterAttributes{ClusterName: &name, Vpc: props.Network.VPC})
	}
	return awsecs.NewCluster(scope, &id, &awsecs.ClusterProps{
		Vpc:                            props.Network.VPC,
		ContainerInsightsV2:            awsecs.ContainerInsights_ENABLED,
		EnableFargateCapacityProviders: jsii.Bool(props.Config.Worker.SpotShare > 0),
	})
}

// newTask makes a task definition of a size that Fargate has, for ARM64.
func newTask(scope constructs.Construct, id string, cpu, memory int) awsecs.FargateTaskDefinition {
	return awsecs.NewFargateTaskDefinition(scope, &id, &awsecs.FargateTaskDefinitionProps{
		Cpu:            jsii.Number(cpu),
		MemoryLimitMiB: jsii.Number(memory),
		RuntimePlatform: &awsecs.RuntimePlatform{
			CpuArchitecture:       awsecs.CpuArchitecture_ARM64(),
			OperatingSystemFamily: awsecs.OperatingSystemFamily_LINUX(),
		},
	})
}

// newLogGroup makes a log group that goes with the stack.
func newLogGroup(scope constructs.Construct, id string, config Config) awslogs.LogGroup {
	return awslogs.NewLogGroup(scope, &id, &awslogs.LogGroupProps{
		Retention:     retentionDays[config.LogRetention],
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
}

// logTo sends the output of a container to a log group. It does not block: when
// CloudWatch is away, lines are lost rather than the work stopped.
func logTo(group awslogs.LogGroup, prefix string) awsecs.LogDriver {
	return awsecs.LogDriver_AwsLogs(&awsecs.AwsLogDriverProps{
		LogGroup:      group,
		StreamPrefix:  &prefix,
		Mode:          awsecs.AwsLogDriverMode_NON_BLOCKING,
		MaxBufferSize: awscdk.Size_Mebibytes(jsii.Number(4)),
	})
}
