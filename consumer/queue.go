package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// Queue is what the consumer calls. A *[sqs.Client] is one.
type Queue interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

var _ Queue = (*sqs.Client)(nil)

// batchSize is what one SQS call can carry, and what one receive can bring.
const batchSize = 10

// maxHold is how long SQS lets a message stay invisible after one receive.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
const maxHold = 12 * time.Hour

// facts are what the queue itself says about redrives.
type facts struct {
	maxReceives int    // 0: no redrive policy
	dlqURL      string // empty: none known
}

// inspect asks the queue for its redrive policy until it answers. It fails
// when no later try can succeed: the queue is missing or access is denied.
func (c *Consumer) inspect(ctx context.Context) (facts, error) {
	for try := 0; ; try++ {
		if ctx.Err() != nil {
			return facts{}, ctx.Err()
		}
		f, err := c.askFacts(ctx)
		if err == nil || isFatal(err) {
			return f, err
		}
		c.failed("look at the queue", err)
		if !sleep(ctx, c.backoff(try, time.Second, maxPollBackoff)) {
			return f, ctx.Err()
		}
	}
}

func (c *Consumer) askFacts(ctx context.Context) (facts, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	out, err := c.queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       &c.cfg.QueueURL,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		return facts{}, fmt.Errorf("attributes of queue %s: %w", c.cfg.QueueURL, err)
	}
	f := facts{dlqURL: c.cfg.DLQURL}
	policy := out.Attributes[string(types.QueueAttributeNameRedrivePolicy)]
	if policy == "" {
		return f, nil
	}
	arn, maxReceives, err := parseRedrive(policy)
	if err != nil {
		return f, err
	}
	f.maxReceives = maxReceives
	if f.dlqURL != "" {
		return f, nil
	}
	name, account := arn[strings.LastIndexByte(arn, ':')+1:], arnAccount(arn)
	dlq, err := c.queue.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name, QueueOwnerAWSAccountId: account})
	switch {
	case isFatal(err):
		// Not ours to fix, and no reason to stand still: SQS's own redrive goes on.
		c.cfg.Logger.Error("dead-letter queue is not to be found; set its URL", "arn", arn, "error", err)
		return f, nil
	case err != nil:
		return f, fmt.Errorf("URL of dead-letter queue %s: %w", arn, err)
	}
	f.dlqURL = aws.ToString(dlq.QueueUrl)
	return f, nil
}

// parseRedrive reads a queue's RedrivePolicy. The count comes as a number or
// as a string, depending on who wrote the policy.
func parseRedrive(policy string) (arn string, maxReceives int, err error) {
	var p struct {
		ARN   string `json:"deadLetterTargetArn"`
		Count any    `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return "", 0, fmt.Errorf("redrive policy %q: %w", policy, err)
	}
	maxReceives, err = strconv.Atoi(fmt.Sprint(p.Count))
	if err != nil || maxReceives < 1 || p.ARN == "" {
		return "", 0, fmt.Errorf("redrive policy %q: want deadLetterTargetArn and maxReceiveCount", policy)
	}
	return p.ARN, maxReceives, nil
}

// arnAccount returns the account of arn:aws:sqs:region:account:name, or nil.
func arnAccount(arn string) *string {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[4] == "" {
		return nil
	}
	return &parts[4]
}

// isFatal reports whether a call to the queue cannot succeed later.
func isFatal(err error) bool {
	if _, missing := errors.AsType[*types.QueueDoesNotExist](err); missing {
		return true
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "AccessDenied", "AccessDeniedException", "InvalidAddress", "AWS.SimpleQueueService.NonExistentQueue":
			return true
		}
	}
	return false
}
