package infra

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// longestPoll is what SQS waits for a message at most; the queue's default
	// for whoever does not say it.
	longestPoll = 20
	// largestMessage is SQS's own limit, body and attributes together.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
	largestMessage = 1 << 20
)

type queuesProps struct {
	Config Config
}

// queues are the queue and its dead-letter queue.
type queues struct {
	Main, Dead awssqs.IQueue
}

// newQueues takes existing queues, or makes both of one kind, encrypted and closed to plain HTTP.
// Only this queue may dead-letter into the other.
func newQueues(scope constructs.Construct, id string, props *queuesProps) *queues {
	here := constructs.NewConstruct(scope, &id)
	config := props.Config
	if q := config.Queue; q.ARN != "" {
		return &queues{
			Main: awssqs.Queue_FromQueueArn(here, jsii.String("Main"), &q.ARN),
			Dead: awssqs.Queue_FromQueueArn(here, jsii.String("Dead"), &q.DLQARN),
		}
	}
	dead := queueProps(config, config.dlqName())
	dead.RetentionPeriod = seconds(dlqRetention)
	dlq := awssqs.NewQueue(here, jsii.String("Dead"), dead)
	// By its ARN in letters: a reference would go in a circle, since the queue
	// already refers to this one.
	dlq.Node().DefaultChild().(awssqs.CfnQueue).SetRedriveAllowPolicy(map[string]any{
		"redrivePermission": "byQueue",
		"sourceQueueArns":   []*string{queueArn(here, config.queueName())},
	})

	main := queueProps(config, config.queueName())
	main.RetentionPeriod = seconds(config.Queue.Retention)
	main.VisibilityTimeout = seconds(config.Worker.Visibility)
	main.ReceiveMessageWaitTime = awscdk.Duration_Seconds(jsii.Number(longestPoll))
	main.DeadLetterQueue = &awssqs.DeadLetterQueue{Queue: dlq, MaxReceiveCount: jsii.Number(config.Queue.MaxReceiveCount)}
	return &queues{Main: awssqs.NewQueue(here, jsii.String("Main"), main), Dead: dlq}
}

// queueProps is what both queues have in common.
func queueProps(config Config, name string) *awssqs.QueueProps {
	props := &awssqs.QueueProps{
		QueueName:           &name,
		Encryption:          awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:          jsii.Bool(true),
		MaxMessageSizeBytes: jsii.Number(largestMessage),
		RemovalPolicy:       config.keep(),
	}
	if config.Queue.FIFO {
		props.Fifo = jsii.Bool(true)
		// 300 calls a second for the whole queue otherwise.
		props.DeduplicationScope = awssqs.DeduplicationScope_MESSAGE_GROUP
		props.FifoThroughputLimit = awssqs.FifoThroughputLimit_PER_MESSAGE_GROUP_ID
	}
	return props
}
