package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
)

type stackProps struct {
	awscdk.StackProps
	Config Config
}

// newStack is the whole system: what is kept, what runs, and what watches it.
func newStack(scope constructs.Construct, id string, props *stackProps) {
	stack := awscdk.NewStack(scope, &id, &props.StackProps)
	config := props.Config
	awscdk.Tags_Of(stack).Add(jsii.String("app"), &config.Name, nil)
	// The rules hold at every synthesis, not only in the tests.
	awscdk.Aspects_Of(stack).Add(cdknag.NewAwsSolutionsChecks(nil), nil)

	queues := newQueues(stack, "Queues", &queuesProps{Config: config})
	table := newTable(stack, "Table", &tableProps{Config: config})
	network := newNetwork(stack, "Network", &networkProps{Config: config})
	cluster := newCluster(stack, "Cluster", &clusterProps{Config: config, Network: network})
	image := newImage(stack, "Image", &imageProps{URI: config.Worker.Image})
	work := workplace{Config: config, Network: network, Cluster: cluster, Image: image, Queues: queues, Table: table}

	worker := newWorker(stack, "Worker", &workerProps{workplace: work})
	metrics := newMetrics(stack, "Metrics", &metricsProps{
		Queues: queues, Table: table, Cluster: cluster, Worker: worker.Service, WorkerLogs: worker.Logs,
	})
	newScaling(stack, "Scaling", &scalingProps{Config: config, Cluster: cluster, Worker: worker.Service, Metrics: metrics})
	var front *producer
	if !config.Producer.Off {
		front = newProducer(stack, "Producer", &producerProps{workplace: work})
	}
	operator := newOperator(stack, "Operator", &operatorProps{Queues: queues, Table: table})
	doctor := newDoctor(stack, "Doctor", &operatorProps{Queues: queues, Table: table})
	alarms := newAlarms(stack, "Alarms", &alarmsProps{Config: config, Metrics: metrics, Producer: front})
	dashboard := newDashboard(stack, "Dashboard", &dashboardProps{
		Config: config, Metrics: metrics, Worker: worker, Producer: front, Alarms: alarms.All,
	})

	output(stack, "QueueUrl", "The queue that the worker polls", queues.Main.QueueUrl())
	output(stack, "DlqUrl", "The dead-letter queue", queues.Dead.QueueUrl())
	output(stack, "TableName", "The table with one record per name", table.TableName())
	output(stack, "DashboardUrl", "Look here first", dashboard.URL)
	output(stack, "AlarmTopicArn", "Where alarms go: subscribe to it", alarms.Topic.TopicArn())
	output(stack, "OperatorPolicyArn", "Attach it to who runs the producer's command line", operator.ManagedPolicyArn())
	output(stack, "DoctorPolicyArn", "The rights of worker doctor", doctor.ManagedPolicyArn())
	output(stack, "WorkerLogGroup", "The worker's logs", worker.Logs.LogGroupName())
	if front != nil {
		output(stack, "ApiUrl", "The producer's HTTP API", front.URL)
		output(stack, "AuthTokenSecretArn", "Holds the bearer token of the API", front.Token.SecretArn())
	}
}

// workplace is what worker and producer have in common.
type workplace struct {
	Config  Config
	Network *network
	Cluster awsecs.Cluster
	Image   awsecs.ContainerImage
	Queues  *queues
	Table   table
}

func output(scope constructs.Construct, id, description string, value *string) {
	awscdk.NewCfnOutput(scope, &id, &awscdk.CfnOutputProps{Value: value, Description: &description})
}

// queueArn is the ARN of a queue of this stack by its name, where a reference
// to the queue would go in a circle.
func queueArn(scope constructs.Construct, name string) *string {
	return awscdk.Stack_Of(scope).FormatArn(&awscdk.ArnComponents{Service: jsii.String("sqs"), Resource: &name})
}
