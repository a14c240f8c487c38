package infra

import (
	"strconv"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapplicationautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	elb "github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	producerPort   = 8080
	producerCPU    = 256
	producerMemory = 512
	tokenLength    = 43 // letters and digits: 256 bits
)

type producerProps struct {
	workplace
	Schedules *schedules // nil: there are none
}

// producer is the producer's service and load balancer.
type producer struct {
	Service  awsecs.FargateService
	Balancer elb.ApplicationLoadBalancer
	Targets  elb.ApplicationTargetGroup
	Token    awssecretsmanager.Secret
	Logs     awslogs.LogGroup
	URL      *string
}

// newProducer creates the producer's service behind its load balancer.
func newProducer(scope constructs.Construct, id string, props *producerProps) *producer {
	here := constructs.NewConstruct(scope, &id)
	config := props.Config
	p := &producer{Logs: newLogGroup(here, "Logs", config), Token: newToken(here, "Token", "sqsonce: bearer token of the producer's API")}
	task := newTask(here, "Task", config, producerCPU, producerMemory)
	variables := producerVariables(here, props)
	task.AddContainer(jsii.String("producer"), &awsecs.ContainerDefinitionOptions{
		Image:                  props.Image,
		EntryPoint:             jsii.Strings(producerBinary),
		Command:                jsii.Strings("serve"),
		Environment:            texts(variables),
		Secrets:                &map[string]awsecs.Secret{"SQSONCE_AUTH_TOKEN": awsecs.Secret_FromSecretsManager(p.Token, nil)},
		Logging:                logTo(p.Logs, "producer"),
		PortMappings:           &[]*awsecs.PortMapping{{ContainerPort: jsii.Number(producerPort)}},
		StopTimeout:            seconds(stopTimeout),
		ReadonlyRootFilesystem: jsii.Bool(true),
	})
	task.AddToTaskRolePolicy(allow("Send", sendActions, props.Queues.Main.QueueArn()))
	if config.Producer.DLQ {
		task.AddToTaskRolePolicy(allow("LookIntoDeadLetters", redriveActions, props.Queues.Dead.QueueArn()))
	}
	task.AddToTaskRolePolicy(allow("ReadAndForgetRecords", recordActions, props.Table.TableArn()))
	task.AddToTaskRolePolicy(allow("ListRecords", listActions, attentionArn(props.Table)))
	grant(task, append(props.Schedules.statements(), allowKeys(config)...)...)
	if props.Schedules != nil {
		suppressSchedules(task)
	}
	suppressTask(task)
	p.Service = awsecs.NewFargateService(here, jsii.String("Service"), &awsecs.FargateServiceProps{
		Cluster:              props.Cluster,
		TaskDefinition:       task,
		VpcSubnets:           props.Network.Tasks,
		AssignPublicIp:       &props.Network.PublicIPs,
		MinHealthyPercent:    jsii.Number(100),
		MaxHealthyPercent:    jsii.Number(200),
		CircuitBreaker:       &awsecs.DeploymentCircuitBreaker{Rollback: jsii.Bool(true)},
		EnableECSManagedTags: jsii.Bool(true),
		PropagateTags:        awsecs.PropagatedTagSource_SERVICE,
	})
	props.Network.admit(p.Service)
	startWithRights(p.Service, task)
	addBalancer(here, p, props.workplace)
	p.Service.AutoScaleTaskCount(&awsapplicationautoscaling.EnableScalingProps{
		MinCapacity: jsii.Number(config.Producer.MinTasks), MaxCapacity: jsii.Number(config.Producer.MaxTasks),
	}).ScaleOnRequestCount(jsii.String("Requests"), &awsecs.RequestCountScalingProps{
		RequestsPerTarget: jsii.Number(config.Producer.RequestsPerTask),
		TargetGroup:       p.Targets,
		ScaleOutCooldown:  seconds(scaleOutCooldown),
		ScaleInCooldown:   seconds(scaleInCooldown),
	})
	return p
}

// producerVariables are the producer's settings.
func producerVariables(scope constructs.Construct, props *producerProps) map[string]string {
	variables := sharedVariables(scope, props.workplace)
	variables["SQSONCE_ADDR"] = "0.0.0.0:" + strconv.Itoa(producerPort)
	// The time for requests to finish after SIGTERM: the longest "Prefer: wait", and a margin.
	variables["SQSONCE_STOP_TIMEOUT"] = (longestWait + 5*time.Second).String()
	if props.Config.Producer.DLQ {
		variables["SQSONCE_DLQ_URL"] = *props.Queues.Dead.QueueUrl()
	}
	props.Schedules.variables(variables)
	return variables
}

// newToken creates a secret with a random bearer token.
func newToken(scope constructs.Construct, id, description string) awssecretsmanager.Secret {
	token := awssecretsmanager.NewSecret(scope, &id, &awssecretsmanager.SecretProps{
		Description: &description,
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			PasswordLength: jsii.Number(tokenLength), ExcludePunctuation: jsii.Bool(true),
		},
	})
	suppress(token, "AwsSolutions-SMG4",
		"A token changed by a timer would lock out its callers; it is rotated by hand with two valid at a time, see docs/deploy.md")
	return token
}
