package main

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

func TestResources(t *testing.T) {
	sqsURL, dynamoURL := emulators.SQS(t), emulators.DynamoDB(t)
	first, err := create(t.Context(), sqsURL, dynamoURL)
	if err != nil {
		t.Fatal(err)
	}
	second, err := create(t.Context(), sqsURL, dynamoURL)
	if err != nil || second != first {
		t.Errorf("second time: %+v, %v, want %+v", second, err, first)
	}
	attributes, err := emulators.SQSClient(t).GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl:       &first.queueURL,
		AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		t.Fatal(err)
	}
	if policy := attributes.Attributes["RedrivePolicy"]; policy == "" {
		t.Error("the queue has no redrive policy")
	}
}
