package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// The queues and the table. Attributes that matter to a worker are as in infra.
const (
	queueName       = "sqsonce"
	dlqName         = "sqsonce-dlq"
	tableName       = "sqsonce"
	maxReceiveCount = 10
)

type resources struct{ queueURL, dlqURL string }

// create creates the queue, the dead-letter queue and the table unless they exist.
func create(ctx context.Context, sqsEndpoint, dynamoEndpoint string) (resources, error) {
	queues := sqs.NewFromConfig(emulators.Config(sqsEndpoint))
	dlqURL, err := createQueue(ctx, queues, dlqName, nil)
	if err != nil {
		return resources{}, err
	}
	dlq, err := queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       aws.String(dlqURL),
		AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return resources{}, fmt.Errorf("get the ARN of queue %s: %w", dlqName, err)
	}
	redrive, err := json.Marshal(map[string]any{
		"deadLetterTargetArn": dlq.Attributes[string(sqstypes.QueueAttributeNameQueueArn)],
		"maxReceiveCount":     maxReceiveCount,
	})
	if err != nil {
		return resources{}, fmt.Errorf("write the redrive policy: %w", err)
	}
	queueURL, err := createQueue(ctx, queues, queueName, map[string]string{
		string(sqstypes.QueueAttributeNameRedrivePolicy):     string(redrive),
		string(sqstypes.QueueAttributeNameVisibilityTimeout): "60",
	})
	if err != nil {
		return resources{}, err
	}

	tables := dynamodb.NewFromConfig(emulators.Config(dynamoEndpoint))
	err = dynamo.CreateTable(ctx, tables, tableName)
	if _, exists := errors.AsType[*dynamodbtypes.ResourceInUseException](err); err != nil && !exists {
		return resources{}, fmt.Errorf("create table %s: %w", tableName, err)
	}
	return resources{queueURL: queueURL, dlqURL: dlqURL}, nil
}

func createQueue(ctx context.Context, client *sqs.Client, name string, attributes map[string]string) (string, error) {
	created, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
	if err != nil {
		return "", fmt.Errorf("create queue %s: %w", name, err)
	}
	return aws.ToString(created.QueueUrl), nil
}
