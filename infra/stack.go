package infra

import (
	"errors"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
)

// Service is the result of [New].
type Service struct {
	Queue, DeadLetters awssqs.IQueue
	Table              awsdynamodb.ITable
	// Worker and WorkerTask are the worker's service and task definition. Add further rights to
	// their role and security group.
	Worker     awsecs.FargateService
	WorkerTask awsecs.FargateTaskDefinition
	AlarmTopic awssns.ITopic
}

// NewStack adds a stack with config's name to an app. The stack has no account and Region, so that
// one template serves all, unless a VPC must be looked up. It fails with a [*ConfigError], or if a
// VPC must be looked up and CDK_DEFAULT_ACCOUNT or CDK_DEFAULT_REGION is not set.
func NewStack(app constructs.Construct, config Config) (awscdk.Stack, error) {
	var env *awscdk.Environment
	if config.Network.looked() {
		account, region := os.Getenv("CDK_DEFAULT_ACCOUNT"), os.Getenv("CDK_DEFAULT_REGION")
		if account == "" || region == "" {
			return nil, errNoAccount
		}
		env = &awscdk.Environment{Account: &account, Region: &region}
	}
	return newStack(app, config.Name, config, env)
}

// errNoAccount is returned if a VPC must be looked up in an unknown account.
var errNoAccount = errors.New("vpcId: the look-up needs AWS credentials and a Region; or give vpcZones and vpcPrivateSubnetIds, too")

func newStack(scope constructs.Construct, id string, config Config, env *awscdk.Environment) (awscdk.Stack, error) {
	stack := awscdk.NewStack(scope, &id, &awscdk.StackProps{
		Env: env, StackName: &config.Name,
		Description:           jsii.String("sqsonce: handles every named SQS message once"),
		TerminationProtection: jsii.Bool(!config.Throwaway),
	})
	// The rules are checked at every synthesis, not only in tests.
	awscdk.Aspects_Of(stack).Add(cdknag.NewAwsSolutionsChecks(nil), nil)
	_, err := New(stack, "Default", config) // the id Default is left out of logical ids
	return stack, err
}

// New adds all resources of a service to a stack: queues, table, tasks, scaling, alarms and
// dashboard. The error is a [*ConfigError].
func New(scope constructs.Construct, id string, config Config) (*Service, error) {
	if problems := config.problems(); len(problems) > 0 {
		return nil, &ConfigError{Problems: problems}
	}
	here := constructs.NewConstruct(scope, &id)
	awscdk.Tags_Of(here).Add(jsii.String("app"), &config.Name, nil)

	if arn := config.PermissionsBoundary; arn != "" {
		awsiam.PermissionsBoundary_Of(here).Apply(awsiam.ManagedPolicy_FromManagedPolicyArn(here, jsii.String("Boundary"), &arn))
	}

	queues := newQueues(here, "Queues", &queuesProps{Config: config})
	table := newTable(here, "Table", &tableProps{Config: config})
	network := newNetwork(here, "Network", &networkProps{Config: config})
	cluster := newCluster(here, "Cluster", &clusterProps{Config: config, Network: network})
	image := newImage(here, "Image", &imageProps{Config: config})
	work := workplace{Config: config, Network: network, Cluster: cluster, Image: image, Queues: queues, Table: table}

	many, others, err := severalQueues(work)
	if err != nil {
		return nil, err
	}
	config.Dashboard.Queues = shown(config.Dashboard.Queues, others)
	worker := newWorker(here, "Worker", &workerProps{workplace: work, File: many, Others: others})
	metrics := newMetrics(here, "Metrics", &metricsProps{
		Config: config, Queues: queues, Table: table, Cluster: cluster, Worker: worker.Service, WorkerLogs: worker.Logs,
	})
	newScaling(here, "Scaling", &scalingProps{Config: config, Cluster: cluster, Worker: worker.Service, Metrics: metrics})
	var later *schedules
	if config.Delays {
		later = newSchedules(here, "Schedules", &schedulesProps{Config: config, Queues: queues})
	}
	var front *producer
	if !config.Producer.Off {
		front = newProducer(here, "Producer", &producerProps{workplace: work, Schedules: later})
	}
	rights := &operatorProps{Config: config, Queues: queues, Table: table, Schedules: later}
	operator, doctor := newOperator(here, "Operator", rights), newDoctor(here, "Doctor", rights)
	alarms := newAlarms(here, "Alarms", &alarmsProps{
		Config: config, Metrics: metrics, Worker: worker.Service, Producer: front, Schedules: later,
	})
	if !config.Dashboard.Off {
		dashboard := newDashboard(here, "Dashboard", &dashboardProps{
			Config: config, Metrics: metrics, Worker: worker, Producer: front, Alarms: alarms.All,
		})
		output(here, "DashboardUrl", "Look here first", dashboard.URL)
	}

	output(here, "QueueUrl", "The queue that the worker polls", queues.Main.QueueUrl())
	output(here, "DlqUrl", "The dead-letter queue", queues.Dead.QueueUrl())
	output(here, "TableName", "The table with one record per name", table.TableName())
	output(here, "AlarmTopicArn", "Where alarms go: subscribe to it", alarms.Topic.TopicArn())
	output(here, "OperatorPolicyArn", "The rights of the producer's command line", operator.ManagedPolicyArn())
	output(here, "DoctorPolicyArn", "The rights of worker doctor", doctor.ManagedPolicyArn())
	output(here, "WorkerLogGroup", "The worker's logs", worker.Logs.LogGroupName())
	if worker.AdminToken != nil {
		output(here, "AdminTokenSecretArn", "Holds the token of the workers' admin servers, port 9090", worker.AdminToken.SecretArn())
	}
	later.outputs(here)
	if front != nil {
		output(here, "ApiUrl", "The producer's HTTP API", front.URL)
		output(here, "AuthTokenSecretArn", "Holds the bearer token of the API", front.Token.SecretArn())
		output(here, "BalancerDns", "The load balancer's own name: point apiDomain at it", front.Balancer.LoadBalancerDnsName())
	}
	return &Service{
		Queue: queues.Main, DeadLetters: queues.Dead, Table: table,
		Worker: worker.Service, WorkerTask: worker.Task, AlarmTopic: alarms.Topic,
	}, nil
}

// workplace holds the resources that worker and producer share.
type workplace struct {
	Config  Config
	Network *network
	Cluster awsecs.ICluster
	Image   awsecs.ContainerImage
	Queues  *queues
	Table   table
}

func output(scope constructs.Construct, id, description string, value *string) {
	awscdk.NewCfnOutput(scope, &id, &awscdk.CfnOutputProps{Value: value, Description: &description})
}

// queueArn returns the ARN of a queue of this stack by its name, for places where a reference would
// be circular.
func queueArn(scope constructs.Construct, name string) *string {
	return awscdk.Stack_Of(scope).FormatArn(&awscdk.ArnComponents{Service: jsii.String("sqs"), Resource: &name})
}
