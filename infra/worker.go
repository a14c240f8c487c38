package infra

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// ownVariables are the environment variables that the stack itself sets on worker and producer.
var ownVariables = []string{
	"AWS_REGION",
	"SQSONCE_QUEUE_URL", "SQSONCE_DLQ_URL", "SQSONCE_TABLE", "SQSONCE_TTL_ATTRIBUTE", "SQSONCE_SCOPE", "SQSONCE_KEY", "SQSONCE_FINGERPRINT",
	"SQSONCE_CONCURRENCY", "SQSONCE_MAX_ATTEMPTS", "SQSONCE_VISIBILITY", "SQSONCE_LEASE", "SQSONCE_WINDOW",
	"SQSONCE_DRAIN_TIMEOUT", "SQSONCE_STOP_TIMEOUT", "SQSONCE_LOG_FORMAT", "SQSONCE_METRICS", "SQSONCE_ADMIN_ADDR", "SQSONCE_ADMIN_TOKEN", "SQSONCE_ADDR", "SQSONCE_AUTH_TOKEN",
	"SQSONCE_HANDLER", "SQSONCE_TARGET_URL", "SQSONCE_TARGET_HEALTH", "SQSONCE_TARGET_TOKEN", "SQSONCE_TARGET_SECRET",
	"SQSONCE_SCHEDULE_ROLE", "SQSONCE_SCHEDULE_GROUP", "SQSONCE_SCHEDULE_DLQ",
	payloadVariable, fileVariable,
}

// fileVariable is the text of a file with several queues.
const fileVariable = "SQSONCE_CONFIG_TEXT"

// payloadVariable makes the worker fetch payloads from S3.
const payloadVariable = "SQSONCE_S3_PAYLOADS"

// earlierVariable names a second table, of Powertools' records, that the worker may read. It is set
// by workerEnv.
const earlierVariable = "SQSONCE_POWERTOOLS_TABLE"

type workerProps struct {
	workplace
	// File is the text of the worker's file of queues, Others are the queues and tables in it that
	// are not the stack's own. Default: none.
	File   string
	Others []otherQueue
}

// worker is the worker's service.
type worker struct {
	Service awsecs.FargateService
	Task    awsecs.FargateTaskDefinition
	// AdminToken is nil unless AdminFrom is set.
	AdminToken awssecretsmanager.Secret
	Logs       awslogs.LogGroup
}

// newWorker creates the worker's service. With a target image each task has a container of it
// beside the worker.
func newWorker(scope constructs.Construct, id string, props *workerProps) *worker {
	here := constructs.NewConstruct(scope, &id)
	config := props.Config
	w := &worker{Logs: newLogGroup(here, "Logs", config)}
	w.Task = newTask(here, "Task", config, config.Worker.CPU, config.Worker.Memory)
	task := w.Task
	variables, secrets := workerVariables(here, props), targetSecrets(here, config.Target)
	if len(config.Worker.AdminFrom) > 0 {
		w.AdminToken = newToken(here, "AdminToken", "sqsonce: token of the workers' admin servers")
		variables["SQSONCE_ADMIN_ADDR"] = fmt.Sprintf("0.0.0.0:%d", adminPort)
		secrets["SQSONCE_ADMIN_TOKEN"] = awsecs.Secret_FromSecretsManager(w.AdminToken, nil)
	}
	container := task.AddContainer(jsii.String("worker"), &awsecs.ContainerDefinitionOptions{
		Image:                  props.Image,
		EntryPoint:             jsii.Strings(workerBinary),
		Environment:            texts(variables),
		Secrets:                &secrets,
		Logging:                logTo(w.Logs, "worker"),
		StopTimeout:            seconds(stopTimeout),
		ReadonlyRootFilesystem: jsii.Bool(true),
		// Fargate ignores HEALTHCHECK in a Dockerfile.
		HealthCheck: &awsecs.HealthCheck{
			Command:     jsii.Strings("CMD", workerBinary, "check"),
			Interval:    seconds(15 * time.Second),
			Timeout:     seconds(10 * time.Second), // longer than the check's own timeout
			Retries:     jsii.Number(3),
			StartPeriod: seconds(time.Minute),
		},
	})
	if config.Target.Image != "" {
		addTarget(here, task, container, w.Logs, config)
		addPolicies(here, task, config.Target)
	}
	grantWorker(here, task, props)
	w.Service = awsecs.NewFargateService(here, jsii.String("Service"), &awsecs.FargateServiceProps{
		Cluster:        props.Cluster,
		TaskDefinition: task,
		VpcSubnets:     props.Network.Tasks,
		AssignPublicIp: &props.Network.PublicIPs,
		// Old and new workers can share a queue, so a deployment causes no pause. A deployment
		// whose tasks do not become healthy is rolled back.
		MinHealthyPercent:          jsii.Number(100),
		MaxHealthyPercent:          jsii.Number(200),
		CircuitBreaker:             &awsecs.DeploymentCircuitBreaker{Rollback: jsii.Bool(true)},
		CapacityProviderStrategies: spotStrategy(config.Worker.SpotShare),
		EnableECSManagedTags:       jsii.Bool(true),
		PropagateTags:              awsecs.PropagatedTagSource_SERVICE,
	})
	props.Network.admit(w.Service)
	startWithRights(w.Service, task)
	for _, clients := range config.Worker.AdminFrom {
		w.Service.Connections().AllowFrom(awsec2.Peer_Ipv4(&clients), awsec2.Port_Tcp(jsii.Number(adminPort)), jsii.String("operators"))
	}
	return w
}

// startWithRights makes a service depend on the rights of the execution role. Without them the
// first pulls fail, and three failures end a deployment. The CDK adds the dependency for the task's
// own role only. https://github.com/aws/aws-cdk/issues/24880
func startWithRights(service awsecs.FargateService, task awsecs.FargateTaskDefinition) {
	if role := task.ExecutionRole(); role != nil {
		service.Node().AddDependency(role)
	}
}

// sharedVariables returns the environment variables of worker and producer, which must agree on the
// name of a message and its record.
func sharedVariables(scope constructs.Construct, place workplace) map[string]string {
	config := place.Config
	variables := map[string]string{
		"AWS_REGION":         *awscdk.Stack_Of(scope).Region(),
		"SQSONCE_QUEUE_URL":  *place.Queues.Main.QueueUrl(),
		"SQSONCE_TABLE":      *place.Table.TableName(),
		"SQSONCE_SCOPE":      config.queueName(),
		"SQSONCE_LOG_FORMAT": "json",
	}
	if config.TTLAttribute != "" {
		variables["SQSONCE_TTL_ATTRIBUTE"] = config.TTLAttribute
	}
	if config.Worker.Key != "" {
		variables["SQSONCE_KEY"] = config.Worker.Key
	}
	if config.Worker.Fingerprint != "" {
		variables["SQSONCE_FINGERPRINT"] = config.Worker.Fingerprint
	}
	return variables
}

// workerVariables returns the worker's environment variables.
func workerVariables(scope constructs.Construct, props *workerProps) map[string]string {
	config, w := props.Config, props.Config.Worker
	variables := sharedVariables(scope, props.workplace)
	variables["GOMEMLIMIT"] = memoryLimit(config)
	maps.Copy(variables, w.Env)
	maps.Copy(variables, map[string]string{
		"SQSONCE_DLQ_URL":       *props.Queues.Dead.QueueUrl(),
		"SQSONCE_CONCURRENCY":   strconv.Itoa(w.Concurrency),
		"SQSONCE_MAX_ATTEMPTS":  strconv.Itoa(w.MaxAttempts),
		"SQSONCE_VISIBILITY":    w.Visibility.String(),
		"SQSONCE_LEASE":         w.Lease.String(),
		"SQSONCE_WINDOW":        w.Window.String(),
		"SQSONCE_DRAIN_TIMEOUT": w.Drain.String(),
		"SQSONCE_STOP_TIMEOUT":  stopTimeout.String(),
		"SQSONCE_METRICS":       "emf",
	})
	if t := config.Target; t.URL != "" {
		variables["SQSONCE_TARGET_URL"] = t.URL
	} else if t.Image != "" {
		// Containers of a task share one network interface.
		variables["SQSONCE_TARGET_URL"] = fmt.Sprintf("http://127.0.0.1:%d%s", t.Port, t.Path)
	}
	if len(w.PayloadBuckets) > 0 {
		variables[payloadVariable] = "true"
	}
	if config.Demo {
		variables["SQSONCE_HANDLER"] = "log"
	}
	if w.File != "" {
		// These are the defaults of every queue in the file, and would be wrong for the others.
		for _, own := range []string{"SQSONCE_QUEUE_URL", "SQSONCE_DLQ_URL", "SQSONCE_SCOPE"} {
			delete(variables, own)
		}
		variables[fileVariable] = props.File
	}
	if config.Target.Health != "" {
		variables["SQSONCE_TARGET_HEALTH"] = config.Target.Health
	}
	return variables
}

// memoryLimit returns GOMEMLIMIT for the worker: three quarters of the task's memory, half of it
// with a target. It makes the garbage collector run before the task is out of memory.
func memoryLimit(config Config) string {
	mebibytes := config.Worker.Memory * 3 / 4
	if config.Target.Image != "" {
		mebibytes = config.Worker.Memory / 2
	}
	return strconv.Itoa(mebibytes) + "MiB"
}

// targetSecrets returns the worker's token and signing key for the target.
func targetSecrets(scope constructs.Construct, target TargetConfig) map[string]awsecs.Secret {
	secrets := make(map[string]awsecs.Secret)
	for variable, arn := range map[string]string{
		"SQSONCE_TARGET_TOKEN": target.TokenSecret, "SQSONCE_TARGET_SECRET": target.SigningSecret,
	} {
		if arn != "" {
			secret := awssecretsmanager.Secret_FromSecretCompleteArn(scope, &variable, &arn)
			secrets[variable] = awsecs.Secret_FromSecretsManager(secret, nil)
		}
	}
	return secrets
}

// grantWorker grants the task the rights for the worker's calls.
func grantWorker(scope constructs.Construct, task awsecs.FargateTaskDefinition, props *workerProps) {
	task.AddToTaskRolePolicy(allow("WorkOnTheQueue", consumeActions, props.Queues.Main.QueueArn()))
	task.AddToTaskRolePolicy(allow("DeadLetter", deadLetterActions, props.Queues.Dead.QueueArn()))
	task.AddToTaskRolePolicy(allow("KeepRecords", recordActions, props.Table.TableArn()))
	task.AddToTaskRolePolicy(allow("ListRecords", listActions, attentionArn(props.Table)))
	task.AddToTaskRolePolicy(allowProtection(scope, props.Cluster.ClusterName(), props.Cluster.ClusterArn()))
	grant(task, allowWorkerKeys(props.Config)...)
	grantOthers(scope, task, props.Others)
	grantPayloads(scope, task, props.Config.Worker.PayloadBuckets)
	if name := props.Config.Worker.Env[earlierVariable]; name != "" {
		earlier := awsdynamodb.Table_FromTableName(scope, jsii.String("EarlierTable"), &name)
		task.AddToTaskRolePolicy(allow("ReadEarlierRecords", earlierActions, earlier.TableArn()))
	}
	suppressTask(task)
	suppress(task, "AwsSolutions-IAM5",
		"UpdateTaskProtection is for the calling task, whose id nobody knows before it runs; the resource and a condition name the cluster",
		map[string]string{"regex": `/^Resource::arn:.*:task\/.*\/\*$/g`})
}

// grantPayloads allows the task to read the objects of buckets. The right to list a bucket only
// improves the error: without it S3 answers 403 for a missing object.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html#API_GetObject_RequestSyntax
func grantPayloads(scope constructs.Construct, task awsecs.FargateTaskDefinition, names []string) {
	if len(names) == 0 {
		return
	}
	var buckets, objects []*string
	for _, name := range names {
		bucket := awss3.Bucket_FromBucketName(scope, jsii.String("Payloads-"+name), &name)
		buckets, objects = append(buckets, bucket.BucketArn()), append(objects, bucket.ArnForObjects(jsii.String("*")))
	}
	task.AddToTaskRolePolicy(allow("FetchPayloads", fetchActions, objects...))
	task.AddToTaskRolePolicy(allow("TellMissingPayloads", findActions, buckets...))
	suppress(task, "AwsSolutions-IAM5", "Payloads may be any object of the buckets that are named for them",
		map[string]string{"regex": `/^Resource::arn:.*:s3:::.*\/\*$/g`})
}

// suppressTask suppresses the rules that every task definition here breaks, with the reasons.
func suppressTask(task awsecs.FargateTaskDefinition) {
	suppress(task, "AwsSolutions-ECS2",
		"The variables are addresses and times, and public to whoever may read the stack; secrets come from Secrets Manager")
	suppress(task, "AwsSolutions-IAM5",
		"ecr:GetAuthorizationToken has no resources: AWS takes * only; the role can pull its own image and nothing else",
		"Resource::*")
}

// spotStrategy runs the given percentage of tasks on Spot. The first task runs on regular capacity,
// unless share is 100.
func spotStrategy(share int) *[]*awsecs.CapacityProviderStrategy {
	if share == 0 {
		return nil
	}
	spot := &awsecs.CapacityProviderStrategy{CapacityProvider: jsii.String("FARGATE_SPOT"), Weight: jsii.Number(share)}
	if share == 100 {
		return &[]*awsecs.CapacityProviderStrategy{spot}
	}
	return &[]*awsecs.CapacityProviderStrategy{
		{CapacityProvider: jsii.String("FARGATE"), Weight: jsii.Number(100 - share), Base: jsii.Number(1)}, spot,
	}
}
