// Package redrive reads the redrive policy of an SQS queue: the dead-letter queue, and the number
// of receives after which SQS moves a message to it.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
package redrive

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Queue is the part of *[sqs.Client] that this package calls. The package sets no deadline: bound
// calls by their context.
type Queue interface {
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

// Policy is the redrive policy of a queue. The zero value means that the queue has none, so that
// SQS never moves its messages.
type Policy struct {
	MaxReceives int    // receives after which SQS moves a message instead of delivering it; 1 to 1000
	TargetARN   string // of the dead-letter queue
}

// Parse reads the RedrivePolicy attribute of a queue. An empty attribute gives the zero Policy.
// maxReceiveCount may be a number or a string. The error names the value.
func Parse(attribute string) (Policy, error) {
	if attribute == "" {
		return Policy{}, nil
	}
	var p struct {
		Target string `json:"deadLetterTargetArn"`
		Count  any    `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(attribute), &p); err != nil {
		return Policy{}, fmt.Errorf("redrive policy %q: %w", attribute, err)
	}
	count, err := strconv.Atoi(fmt.Sprint(p.Count))
	if err != nil || count < 1 || p.Target == "" {
		return Policy{}, fmt.Errorf("redrive policy %q: must have deadLetterTargetArn and a maxReceiveCount of at least 1", attribute)
	}
	return Policy{MaxReceives: count, TargetARN: p.Target}, nil
}

// Read asks SQS for the redrive policy of the queue at queueURL. Its error names the queue and
// wraps that of the SDK.
func Read(ctx context.Context, client Queue, queueURL string) (Policy, error) {
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       &queueURL,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		return Policy{}, fmt.Errorf("read RedrivePolicy of %s: %w", queueURL, err)
	}
	p, err := Parse(out.Attributes[string(types.QueueAttributeNameRedrivePolicy)])
	if err != nil {
		return Policy{}, fmt.Errorf("queue %s: %w", queueURL, err)
	}
	return p, nil
}

// TargetURL asks SQS for the URL of the dead-letter queue. It is empty for the zero Policy. The
// lookup names the account in the ARN, because the queues may belong to another account than the
// caller.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueUrl.html
//
// The error names the ARN and wraps that of the SDK, among them
// [types.QueueDoesNotExist].
func (p Policy) TargetURL(ctx context.Context, client Queue) (string, error) {
	if p.TargetARN == "" {
		return "", nil
	}
	in := &sqs.GetQueueUrlInput{QueueName: new(p.TargetARN[strings.LastIndexByte(p.TargetARN, ':')+1:])}
	if account := p.account(); account != "" {
		in.QueueOwnerAWSAccountId = &account
	}
	out, err := client.GetQueueUrl(ctx, in)
	if err != nil {
		return "", fmt.Errorf("look up the URL of dead-letter queue %s: %w", p.TargetARN, err)
	}
	return aws.ToString(out.QueueUrl), nil
}

// account returns the fifth part of arn:aws:sqs:region:account:name. It is empty if the target is
// not an ARN, as with some emulators.
func (p Policy) account() string {
	parts := strings.Split(p.TargetARN, ":")
	if len(parts) != 6 {
		return ""
	}
	return parts[4]
}
