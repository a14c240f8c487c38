package infra

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// addTarget adds the target's container beside the worker. The worker depends on it. ECS stops
// containers in the reverse order of their dependencies, so the target runs until the worker has
// drained.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#container_definition_dependson
func addTarget(
	scope constructs.Construct, task awsecs.FargateTaskDefinition, worker awsecs.ContainerDefinition,
	logs awslogs.LogGroup, config Config,
) {
	target := task.AddContainer(jsii.String("target"), &awsecs.ContainerDefinitionOptions{
		Image:        registryImage(scope, "TargetImage", config.Target.Image),
		Environment:  texts(config.Target.Env),
		Secrets:      appSecrets(scope, config.Target),
		PortMappings: &[]*awsecs.PortMapping{{ContainerPort: jsii.Number(config.Target.Port)}},
		Logging:      logTo(logs, "target"),
	})
	worker.AddContainerDependencies(&awsecs.ContainerDependency{
		Container: target, Condition: awsecs.ContainerDependencyCondition_START,
	})
}

// appSecrets returns the target's environment variables from Secrets Manager.
func appSecrets(scope constructs.Construct, target TargetConfig) *map[string]awsecs.Secret {
	secrets := make(map[string]awsecs.Secret)
	for name, value := range target.Secrets {
		arn, field := secretField(value)
		secret := awssecretsmanager.Secret_FromSecretCompleteArn(scope, jsii.String("Target"+name), &arn)
		if field == "" {
			secrets[name] = awsecs.Secret_FromSecretsManager(secret, nil)
		} else {
			secrets[name] = awsecs.Secret_FromSecretsManager(secret, &field)
		}
	}
	return &secrets
}

// secretField splits a value into the ARN of a secret, which has seven parts, and the field behind
// it.
func secretField(value string) (arn, field string) {
	parts := strings.SplitN(value, ":", 8)
	if len(parts) < 8 {
		return value, ""
	}
	return strings.Join(parts[:7], ":"), strings.TrimRight(parts[7], ":")
}

// addPolicies attaches the target's policies to the role of the task.
func addPolicies(scope constructs.Construct, task awsecs.FargateTaskDefinition, target TargetConfig) {
	for i, arn := range target.Policies {
		policy := awsiam.ManagedPolicy_FromManagedPolicyArn(scope, jsii.String(fmt.Sprintf("Policy%d", i)), &arn)
		task.TaskRole().AddManagedPolicy(policy)
	}
	if len(target.Policies) > 0 {
		suppress(task, "AwsSolutions-IAM4", "The rights of the app in the target are for its owner to choose, by targetPolicies")
	}
}
