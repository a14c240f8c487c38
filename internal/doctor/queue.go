package doctor

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/redrive"
)

// deadLetters finds the dead-letter queue.
func deadLetters(ctx context.Context, p *patient) (string, error) {
	if p.cfg.DLQURL != "" {
		return p.cfg.DLQURL, nil
	}
	policy, err := redrive.Read(ctx, p.cfg.Queue, p.cfg.QueueURL)
	if err != nil {
		return "", err
	}
	if policy == (redrive.Policy{}) {
		return "the queue has no redrive policy", errDiffers
	}
	p.cfg.DLQURL, err = policy.TargetURL(ctx, p.cfg.Queue)
	return p.cfg.DLQURL, err
}

// place compares the Regions and accounts in the ARNs of queues and table.
func place(ctx context.Context, p *patient) (string, error) {
	arns := make(map[string]string)
	for what, queueURL := range map[string]string{"queue": p.cfg.QueueURL, "dead-letter queue": p.cfg.DLQURL} {
		if queueURL == "" {
			continue
		}
		out, err := p.cfg.Queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
		})
		if err != nil {
			return "", fmt.Errorf("GetQueueAttributes of the %s: %w", what, err)
		}
		arns[what] = out.Attributes["QueueArn"]
		if account := accountIn(queueURL); account != "" && !strings.Contains(arns[what], ":"+account+":") {
			return fmt.Sprintf("the URL %s is of %s", queueURL, arns[what]), errDiffers
		}
	}
	described, err := p.cfg.Table.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &p.cfg.Name})
	if err != nil {
		return "", fmt.Errorf("DescribeTable: %w", err)
	}
	arns["table"] = aws.ToString(described.Table.TableArn)
	var places []string
	for what, arn := range arns {
		places = append(places, what+" "+placeOf(arn))
		if region, _, _ := strings.Cut(placeOf(arn), ":"); region != p.cfg.Region {
			return fmt.Sprintf("%s is in %s, the clients' Region is %s", arn, region, p.cfg.Region), errDiffers
		}
		if what != "table" && placeOf(arn) != placeOf(arns["queue"]) {
			return fmt.Sprintf("%s is not where %s is", arn, arns["queue"]), errDiffers
		}
	}
	slices.Sort(places)
	return strings.Join(places, ", "), nil
}

// placeOf returns the Region and the account of an ARN, arn:aws:sqs:REGION:ACCOUNT:NAME.
func placeOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 5 {
		return arn
	}
	return parts[3] + ":" + parts[4]
}

// accountIn returns the account in a queue URL, https://HOST/ACCOUNT/NAME.
func accountIn(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) != 2 {
		return ""
	}
	return parts[0]
}

// badHandle is not a receipt handle of SQS.
const badHandle = "sqsonce-doctor"

// badDelete and badVisibility send a batch whose only entry has badHandle.
func badDelete(ctx context.Context, p *patient) (string, error) {
	out, err := p.cfg.Queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
		QueueUrl: &p.cfg.QueueURL, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("bad"), ReceiptHandle: aws.String(badHandle)}},
	})
	if err != nil {
		return "", fmt.Errorf("DeleteMessageBatch: %w", err)
	}
	return failedAlone(out.Failed, len(out.Successful), 0)
}

func badVisibility(ctx context.Context, p *patient) (string, error) {
	out, err := p.cfg.Queue.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: &p.cfg.QueueURL,
		Entries:  []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("bad"), ReceiptHandle: aws.String(badHandle), VisibilityTimeout: 30}},
	})
	if err != nil {
		return "", fmt.Errorf("ChangeMessageVisibilityBatch: %w", err)
	}
	return failedAlone(out.Failed, len(out.Successful), 0)
}

// failedAlone checks that exactly one entry has failed, with SenderFault, and want have succeeded.
func failedAlone(failed []types.BatchResultErrorEntry, succeeded, want int) (string, error) {
	if len(failed) != 1 || succeeded != want {
		return fmt.Sprintf("%d entries failed, %d succeeded", len(failed), succeeded), errDiffers
	}
	seen := fmt.Sprintf("%s for that entry, %d others succeeded", aws.ToString(failed[0].Code), succeeded)
	if aws.ToString(failed[0].Id) != "bad" || !failed[0].SenderFault {
		return seen, errDiffers
	}
	return seen, nil
}

// deadLetter sends a message to the dead-letter queue and deletes it in a batch with badHandle.
func deadLetter(ctx context.Context, p *patient) (string, error) {
	if p.cfg.DLQURL == "" {
		return "there is no dead-letter queue", errDiffers
	}
	entry := types.SendMessageBatchRequestEntry{Id: aws.String("one"), MessageBody: aws.String(p.scope)}
	if strings.HasSuffix(p.cfg.DLQURL, ".fifo") {
		entry.MessageGroupId, entry.MessageDeduplicationId = &p.scope, &p.scope
	}
	sent, err := p.cfg.Queue.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
		QueueUrl: &p.cfg.DLQURL, Entries: []types.SendMessageBatchRequestEntry{entry},
	})
	if err != nil {
		return "", fmt.Errorf("SendMessageBatch: %w", err)
	}
	if len(sent.Successful) != 1 {
		return "the message was not accepted", errDiffers
	}
	m, err := p.find(ctx, aws.ToString(sent.Successful[0].MessageId))
	if err != nil {
		return "", err
	}
	changed, err := p.cfg.Queue.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: &p.cfg.DLQURL,
		Entries:  []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 60}},
	})
	if err != nil {
		return "", fmt.Errorf("ChangeMessageVisibilityBatch: %w", err)
	}
	deleted, err := p.cfg.Queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
		QueueUrl: &p.cfg.DLQURL, Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle}, {Id: aws.String("bad"), ReceiptHandle: aws.String(badHandle)},
		},
	})
	if err != nil {
		return "", fmt.Errorf("DeleteMessageBatch: %w", err)
	}
	if len(changed.Successful) != 1 {
		return "the visibility timeout was not changed", errDiffers
	}
	return failedAlone(deleted.Failed, len(deleted.Successful), 1)
}

// find receives from the dead-letter queue until it gets the message. Other messages become visible
// again after a second.
func (p *patient) find(ctx context.Context, id string) (types.Message, error) {
	for {
		out, err := p.cfg.Queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &p.cfg.DLQURL, MaxNumberOfMessages: 10, VisibilityTimeout: 1, WaitTimeSeconds: 1,
		})
		if err != nil {
			return types.Message{}, fmt.Errorf("message %s is left in the dead-letter queue: ReceiveMessage: %w", id, err)
		}
		for _, m := range out.Messages {
			if aws.ToString(m.MessageId) == id {
				return m, nil
			}
		}
	}
}
