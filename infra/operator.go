package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

type operatorProps struct {
	Queues *queues
	Table  table
}

// newOperator is what a person needs who runs the producer's command line
// against this stack: send, replay, status, resolve, forget, dlq. No role has
// it; it is there to be attached.
func newOperator(scope constructs.Construct, id string, props *operatorProps) awsiam.ManagedPolicy {
	return awsiam.NewManagedPolicy(scope, &id, &awsiam.ManagedPolicyProps{
		Description: jsii.String("sqsonce: send, look at and redrive messages, settle records"),
		Statements: &[]awsiam.PolicyStatement{
			allow("Send", sendActions, props.Queues.Main.QueueArn()),
			allow("Redrive", redriveActions, props.Queues.Dead.QueueArn()),
			allow("SettleRecords", recordActions, props.Table.TableArn()),
		},
	})
}
