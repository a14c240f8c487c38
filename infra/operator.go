package infra

import (
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

type operatorProps struct {
	Config    Config
	Queues    *queues
	Table     table
	Schedules *schedules // nil: there are none
}

// newOperator creates the policy for the producer's command line on this stack: send, replay,
// status, ls, resolve, forget, dlq. It is attached to no role. Attach it to the roles of operators.
func newOperator(scope constructs.Construct, id string, props *operatorProps) awsiam.ManagedPolicy {
	statements := []awsiam.PolicyStatement{
		allow("Send", sendActions, props.Queues.Main.QueueArn()),
		allow("Redrive", redriveActions, props.Queues.Dead.QueueArn()),
		allow("SettleRecords", recordActions, props.Table.TableArn()),
		allow("ListRecords", listActions, attentionArn(props.Table)),
	}
	statements = slices.Concat(statements, props.Schedules.statements(), allowKeys(props.Config))
	made := awsiam.NewManagedPolicy(scope, &id, &awsiam.ManagedPolicyProps{
		Description: jsii.String("sqsonce: send, look at and redrive messages, settle records"),
		Statements:  &statements,
	})
	if props.Schedules != nil {
		suppressSchedules(made)
	}
	return made
}

// doctorScope is the beginning of the keys of all records that "worker doctor" writes.
const doctorScope = "sqsonce-doctor"

// newDoctor creates the policy for "worker doctor". It is not part of the operator's, because the
// doctor deletes its own items, and sends invalid receipt handles to the queue.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
func newDoctor(scope constructs.Construct, id string, props *operatorProps) awsiam.ManagedPolicy {
	remove := allow("RemoveItsOwnRecords", doctorActions, props.Table.TableArn())
	remove.AddCondition(jsii.String("ForAllValues:StringLike"), map[string]any{"dynamodb:LeadingKeys": []string{doctorScope + "-*"}})
	remove.AddCondition(jsii.String("Null"), map[string]any{"dynamodb:LeadingKeys": "false"})
	letters := slices.Compact(slices.Sorted(slices.Values(slices.Concat(consumeActions, deadLetterActions))))
	statements := append([]awsiam.PolicyStatement{
		allow("AskTheQueue", askActions, props.Queues.Main.QueueArn()),
		allow("SendAndTakeOneLetter", letters, props.Queues.Dead.QueueArn()),
		allow("KeepRecords", recordActions, props.Table.TableArn()),
		allow("ListRecords", listActions, attentionArn(props.Table)),
		remove,
	}, append(props.Schedules.statements(), allowKeys(props.Config)...)...)
	made := awsiam.NewManagedPolicy(scope, &id, &awsiam.ManagedPolicyProps{
		Description: jsii.String("sqsonce: worker doctor"),
		Statements:  &statements,
	})
	if props.Schedules != nil {
		suppressSchedules(made)
	}
	return made
}
