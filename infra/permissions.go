package infra

import (
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
)

// The actions of each role. They are listed here because the grants of the CDK do not fit:
// GrantReadWriteData includes Scan, streams and deletion, and no grant includes PartiQL. A test
// compares them with the calls in the code.
var (
	consumeActions = []string{
		"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl",
	}
	// deadLetterActions send a copy with the reason, and read the retention, which the worker
	// compares with its window.
	deadLetterActions = []string{"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
	sendActions       = []string{"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
	// recordActions cover single, batched (PartiQL) and transactional writes, which need the right
	// for each of their parts. Items are not deleted: forget writes a tombstone, and DynamoDB
	// deletes expired items itself.
	recordActions = []string{
		"dynamodb:GetItem", "dynamodb:BatchGetItem",
		"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem",
		"dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate",
		"dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive",
	}
	// listActions list the records that need attention. They apply to the index only.
	listActions = []string{"dynamodb:Query"}
	// askActions are the doctor's actions on the queue: batches with an invalid receipt handle.
	askActions = []string{"sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
	// doctorActions apply to records in the doctor's own scope only.
	doctorActions = []string{"dynamodb:DeleteItem"}
	// earlierActions apply to the table of Powertools' records, which the worker only reads.
	earlierActions = []string{"dynamodb:GetItem"}
	// fetchActions apply to the payloads in S3, findActions to their buckets.
	fetchActions   = []string{"s3:GetObject"}
	findActions    = []string{"s3:ListBucket"}
	protectActions = []string{"ecs:UpdateTaskProtection", "ecs:GetTaskProtection"}
	// scheduleActions are the producer's actions on schedules, scheduleSendActions those of the
	// schedules' role, which the producer passes on.
	scheduleActions     = []string{"scheduler:CreateSchedule", "scheduler:GetSchedule", "scheduler:DeleteSchedule"}
	scheduleSendActions = []string{"sqs:SendMessage"}
	passActions         = []string{"iam:PassRole"}
	// keyActions apply to the KMS keys of queues: the first encrypts what is sent, the second
	// decrypts what is received, and is needed for sending, too.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
	keyActions = []string{"kms:GenerateDataKey", "kms:Decrypt"}
	// redriveActions are the command line's actions on the dead-letter queue. It redrives message
	// by message, without a move task of SQS.
	redriveActions = []string{
		"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:PurgeQueue",
		"sqs:GetQueueAttributes", "sqs:GetQueueUrl",
	}
)

// allow returns a statement that allows actions on resources.
func allow(sid string, actions []string, resources ...*string) awsiam.PolicyStatement {
	return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:       &sid,
		Actions:   jsii.Strings(actions...),
		Resources: &resources,
	})
}

// allowKeys allows the use of the keys of existing queues; none if the stack's own queue is new:
// the keys are then those of the worker's other queues.
func allowKeys(config Config) []awsiam.PolicyStatement {
	if config.Queue.ARN == "" {
		return nil
	}
	return allowWorkerKeys(config)
}

// allowWorkerKeys allows the use of the keys of all existing queues; none without such keys.
func allowWorkerKeys(config Config) []awsiam.PolicyStatement {
	if len(config.Queue.Keys) == 0 {
		return nil
	}
	return []awsiam.PolicyStatement{allow("UseTheKeysOfQueues", keyActions, *jsii.Strings(config.Queue.Keys...)...)}
}

// grant adds statements to the role of a task.
func grant(task awsecs.FargateTaskDefinition, statements ...awsiam.PolicyStatement) {
	for _, s := range statements {
		task.AddToTaskRolePolicy(s)
	}
}

// allowProtection allows a task to protect itself from scale-in. The resource cannot name the task,
// which does not exist yet. Resource and condition name the cluster.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
func allowProtection(scope constructs.Construct, cluster, clusterArn *string) awsiam.PolicyStatement {
	tasks := awscdk.Stack_Of(scope).FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("ecs"), Resource: jsii.String("task"), ResourceName: jsii.String(*cluster + "/*"),
	})
	statement := allow("ProtectTheTaskItself", protectActions, tasks)
	statement.AddCondition(jsii.String("ArnEquals"), map[string]any{"ecs:cluster": clusterArn})
	return statement
}

// suppress suppresses a rule of cdk-nag for a construct and its children, with the reason. With
// findings it suppresses only these.
func suppress(construct constructs.IConstruct, rule, reason string, findings ...any) {
	suppression := &cdknag.NagPackSuppression{Id: &rule, Reason: &reason}
	if len(findings) > 0 {
		suppression.AppliesTo = &findings
	}
	cdknag.NagSuppressions_AddResourceSuppressions(construct, &[]*cdknag.NagPackSuppression{suppression}, jsii.Bool(true))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
