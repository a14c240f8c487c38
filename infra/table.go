package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

type tableProps struct {
	Config Config
}

type table = awsdynamodb.Table

// newTable makes the table with one record per name. It is a plain table and
// not the construct for global ones, which would be one line away from
// replicas: conditions hold within one Region only, so that two Regions would
// each run a name once.
func newTable(scope constructs.Construct, id string, props *tableProps) table {
	removal := awscdk.RemovalPolicy_RETAIN
	if props.Config.Throwaway {
		removal = awscdk.RemovalPolicy_DESTROY
	}
	return awsdynamodb.NewTable(scope, &id, &awsdynamodb.TableProps{
		PartitionKey:        &awsdynamodb.Attribute{Name: jsii.String(dynamo.AttrID), Type: awsdynamodb.AttributeType_STRING},
		TimeToLiveAttribute: jsii.String(dynamo.AttrTTL),
		BillingMode:         awsdynamodb.BillingMode_PAY_PER_REQUEST,
		Encryption:          awsdynamodb.TableEncryption_AWS_MANAGED,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(true),
		},
		DeletionProtection: jsii.Bool(!props.Config.Throwaway),
		RemovalPolicy:      removal,
	})
}
