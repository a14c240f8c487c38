package infra

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// addTarget puts the target beside the worker. The worker depends on it, and
// containers stop in the reverse order of their dependencies: the target is
// there until the worker has drained. Told to stop together with the worker, it
// would be gone under the messages that it still works on.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#container_definition_dependson
func addTarget(
	scope constructs.Construct, task awsecs.FargateTaskDefinition, worker awsecs.ContainerDefinition,
	logs awslogs.LogGroup, config Config,
) {
	target := task.AddContainer(jsii.String("target"), &awsecs.ContainerDefinitionOptions{
		Image:        registryImage(scope, "TargetImage", config.Target.Image),
		Environment:  texts(config.Target.Env),
		PortMappings: &[]*awsecs.PortMapping{{ContainerPort: jsii.Number(config.Target.Port)}},
		Logging:      logTo(logs, "target"),
	})
	worker.AddContainerDependencies(&awsecs.ContainerDependency{
		Container: target, Condition: awsecs.ContainerDependencyCondition_START,
	})
}
