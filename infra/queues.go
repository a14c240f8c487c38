package infra

import (
	"regexp"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// longestPoll is SQS's longest wait for a message, in seconds. It is the queue's default for
	// receives without a wait time.
	longestPoll = 20
	// largestMessage is SQS's own limit in bytes, for body and attributes together.
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

// newQueues returns the existing queues of the configuration, or new ones, encrypted and closed to
// plain HTTP. Only the main queue may use the dead-letter queue.
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
	// The ARN is written out, because a reference would be circular: the queue already refers to
	// this one.
	dlq.Node().DefaultChild().(awssqs.CfnQueue).SetRedriveAllowPolicy(map[string]any{
		"redrivePermission": "byQueue",
		"sourceQueueArns":   []*string{queueArn(here, config.queueName())},
	})

	main := queueProps(config, config.queueName())
	main.RetentionPeriod = seconds(config.Queue.Retention)
	main.VisibilityTimeout = seconds(config.Worker.Visibility)
	main.ReceiveMessageWaitTime = awscdk.Duration_Seconds(jsii.Number(longestPoll))
	main.DeadLetterQueue = &awssqs.DeadLetterQueue{Queue: dlq, MaxReceiveCount: jsii.Number(config.Queue.MaxReceiveCount)}
	made := awssqs.NewQueue(here, jsii.String("Main"), main)
	for _, arn := range config.Queue.Senders {
		admit(made, arn)
	}
	return &queues{Main: made, Dead: dlq}
}

// senderService returns the service principal of a topic, a bucket or a rule, by its ARN; "" for
// other ARNs.
func senderService(arn string) string {
	match := senderPattern.FindStringSubmatch(arn)
	if match == nil {
		return ""
	}
	service, _, _ := strings.Cut(match[1], ":")
	return service + ".amazonaws.com"
}

var senderPattern = regexp.MustCompile(`^arn:[a-z-]+:(sns:[a-z0-9-]+:\d{12}:|s3:::|events:[a-z0-9-]+:\d{12}:rule/)[A-Za-z0-9._/-]+$`)

// admit allows a topic, a bucket or a rule to send to the queue. The ARN of a bucket has no
// account, and another account can take the name of a deleted bucket. So the condition names the
// account, too.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/grant-destinations-permissions-to-s3.html
// https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
func admit(queue awssqs.Queue, arn string) {
	service := senderService(arn)
	conditions := map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": arn}}
	if service == "s3.amazonaws.com" {
		conditions["StringEquals"] = map[string]any{"aws:SourceAccount": awscdk.Stack_Of(queue).Account()}
	}
	queue.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(&service, nil)},
		Actions:    jsii.Strings("sqs:SendMessage"),
		Resources:  &[]*string{queue.QueueArn()},
		Conditions: &conditions,
	}))
}

// queueProps returns the properties that both queues share.
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
		// High throughput; otherwise the whole queue allows 300 calls a second.
		props.DeduplicationScope = awssqs.DeduplicationScope_MESSAGE_GROUP
		props.FifoThroughputLimit = awssqs.FifoThroughputLimit_PER_MESSAGE_GROUP_ID
	}
	return props
}
