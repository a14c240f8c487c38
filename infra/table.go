package infra

import (
	"cmp"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

type tableProps struct {
	Config Config
}

type table = awsdynamodb.ITable

// newTable returns the existing table of the configuration, or a new one. It uses the construct for
// a single Region, not that for global tables. Conditions hold within one Region only, so with
// replicas two Regions could each run a name once.
func newTable(scope constructs.Construct, id string, props *tableProps) table {
	config := props.Config
	if config.TableName != "" {
		return awsdynamodb.Table_FromTableAttributes(scope, &id, &awsdynamodb.TableAttributes{TableName: &config.TableName})
	}
	made := awsdynamodb.NewTable(scope, &id, &awsdynamodb.TableProps{
		PartitionKey:        &awsdynamodb.Attribute{Name: jsii.String(dynamo.AttrID), Type: awsdynamodb.AttributeType_STRING},
		TimeToLiveAttribute: jsii.String(cmp.Or(config.TTLAttribute, dynamo.AttrTTL)),
		BillingMode:         awsdynamodb.BillingMode_PAY_PER_REQUEST,
		Encryption:          awsdynamodb.TableEncryption_AWS_MANAGED,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(true),
		},
		DeletionProtection: jsii.Bool(!config.Throwaway && !config.FirstDeployment),
		RemovalPolicy:      config.keep(),
	})
	addAttention(made)
	return made
}

// addAttention adds the sparse index of the records that need attention, with the attributes that
// [dynamo.Store.List] reads. Completed names have neither of its keys, so their writes do not touch
// it.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-indexes-general-sparse-indexes.html
func addAttention(made awsdynamodb.Table) {
	made.AddGlobalSecondaryIndex(&awsdynamodb.GlobalSecondaryIndexProps{
		IndexName:      jsii.String(dynamo.IndexAttention),
		PartitionKey:   &awsdynamodb.Attribute{Name: jsii.String(dynamo.AttrAttention), Type: awsdynamodb.AttributeType_STRING},
		SortKey:        &awsdynamodb.Attribute{Name: jsii.String(dynamo.AttrAttentionAt), Type: awsdynamodb.AttributeType_NUMBER},
		ProjectionType: awsdynamodb.ProjectionType_INCLUDE,
		NonKeyAttributes: jsii.Strings(
			dynamo.AttrName, dynamo.AttrStatus, dynamo.AttrVersion, dynamo.AttrAttempts, dynamo.AttrError),
	})
}

// attentionArn returns the ARN of the index.
func attentionArn(of table) *string {
	return jsii.String(*of.TableArn() + "/index/" + dynamo.IndexAttention)
}
