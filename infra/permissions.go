package infra

import (
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
)

// What each role may do is written out here, because the grants of the CDK
// give more: GrantReadWriteData brings Scan, streams and deletion, and
// none brings PartiQL. A test holds it against the calls that the code makes.
var (
	consumeActions = []string{
		"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl",
	}
	// deadLetterActions: a copy with the reason on it, and a look at the
	// retention, which the worker compares with its window.
	deadLetterActions = []string{"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
	sendActions       = []string{"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
	// recordActions cover single, batched (PartiQL) and transactional writes,
	// which need the right for each of their parts. Nothing deletes an item:
	// to forget a name leaves a tombstone, to expire it is DynamoDB's work.
	recordActions = []string{
		"dynamodb:GetItem", "dynamodb:BatchGetItem",
		"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem",
		"dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate",
		"dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive",
	}
	// listActions list the records that need attention, on the index of them alone.
	listActions = []string{"dynamodb:Query"}
	// askActions are the doctor's on the queue: batches with a handle that does not exist.
	askActions = []string{"sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
	// doctorActions are for records of the doctor's own scope only.
	doctorActions = []string{"dynamodb:DeleteItem"}
	// fetchActions are on the payloads in S3, findActions on their buckets.
	fetchActions   = []string{"s3:GetObject"}
	findActions    = []string{"s3:ListBucket"}
	protectActions = []string{"ecs:UpdateTaskProtection", "ecs:GetTaskProtection"}
	// redriveActions are what the command line does with the dead-letter queue. It redrives message by
	// message, and starts no move task of SQS.
	redriveActions = []string{
		"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:PurgeQueue",
		"sqs:GetQueueAttributes", "sqs:GetQueueUrl",
	}
)

// allow is a statement that allows actions on resources.
func allow(sid string, actions []string, resources ...*string) awsiam.PolicyStatement {
	return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:       &sid,
		Actions:   jsii.Strings(actions...),
		Resources: &resources,
	})
}

// allowProtection lets a task protect itself from being scaled in while it
// works. The resource cannot name the task, which does not exist yet; it and
// the condition name the cluster.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
func allowProtection(scope constructs.Construct, cluster, clusterArn *string) awsiam.PolicyStatement {
	tasks := awscdk.Stack_Of(scope).FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("ecs"), Resource: jsii.String("task"), ResourceName: jsii.String(*cluster + "/*"),
	})
	statement := allow("ProtectTheTaskItself", protectActions, tasks)
	statement.AddCondition(jsii.String("ArnEquals"), map[string]any{"ecs:cluster": clusterArn})
	return statement
}

// suppress says why a rule of cdk-nag does not apply to a construct and what
// is in it. Where findings are given, only to these.
func suppress(construct constructs.IConstruct, rule, reason string, findings ...any) {
	suppression := &cdknag.NagPackSuppression{Id: &rule, Reason: &reason}
	if len(findings) > 0 {
		suppression.AppliesTo = &findings
	}
	cdknag.NagSuppressions_AddResourceSuppressions(construct, &[]*cdknag.NagPackSuppression{suppression}, jsii.Bool(true))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
