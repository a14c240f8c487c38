package consumer

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// What SQS accepts of a message.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	maxAttributes   = 10
	maxMessageBytes = 1 << 20
	maxErrorBytes   = 1 << 10 // ours: enough to see what it was
	minErrorBytes   = 16      // less says nothing
)

// Reasons of messages that were not handled, or not to their end.
const (
	reasonParkedAtStop  = "in progress elsewhere at stop"
	reasonParkedTooLong = "in progress elsewhere"
	reasonUntried       = "stopped before it was tried"
	reasonHeldUp        = "held up and never tried"
)

// deadCopy is a message on its way to the dead-letter queue.
type deadCopy struct {
	body, group, dedup, trace string
	attributes                map[string]types.MessageAttributeValue
}

// bytes is what SQS counts of it.
func (d *deadCopy) bytes() int { return len(d.body) + attributesBytes(d.attributes) }

// entry is the copy as the i-th entry of a batch.
func (d *deadCopy) entry(i int) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{Id: position(i), MessageBody: &d.body, MessageAttributes: d.attributes}
	if d.group != "" {
		e.MessageGroupId = &d.group
	}
	if d.dedup != "" {
		e.MessageDeduplicationId = &d.dedup
	}
	if d.trace != "" {
		e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): systemText(d.trace),
		}
	}
	return e
}

// deadLetter copies a message to the dead-letter queue, with the reason, and
// reports whether the copy stands there. Without it the message is not deleted.
func (c *Consumer) deadLetter(t *task, d Disposition) bool {
	name := c.name(t)
	log := c.cfg.Logger.With("name", name, "message_id", t.ID, "receive", t.ReceiveCount, "reason", d.Reason)
	if c.facts.dlqURL == "" {
		log.Error("message cannot be dead-lettered: no dead-letter queue is known; it stays in the queue", "error", d.Err)
		return false
	}
	attributes, ok := copyAttributes(t.Message, name, d)
	if !ok {
		log.Error("message cannot be dead-lettered with its reason: it has no room for an attribute; left to SQS's own redrive",
			"error", d.Err)
		return false
	}
	dead := &deadCopy{body: t.Body, group: t.GroupID, trace: t.TraceHeader, attributes: attributes}
	if strings.HasSuffix(c.facts.dlqURL, ".fifo") {
		dead.dedup = t.ID // a copy sent twice is one
	}
	err := c.insist("SendMessageBatch", t, isRefused, func() error {
		_, err := c.acks.copies.Do(c.calls, dead)
		return err
	})
	switch {
	case err == nil:
	case isRefused(err):
		log.Error("message cannot be dead-lettered: the dead-letter queue does not take it; it stays in the queue",
			"queue", c.facts.dlqURL, "error", err)
		return false
	default:
		return false // no time left; told of by insist
	}
	log.Info("dead-lettered", "error", d.Err)
	if c.cfg.Hooks.DeadLettered != nil {
		c.cfg.Hooks.DeadLettered(t.Message, d)
	}
	return true
}

// sendCopies makes one SendMessageBatch call. One copy that SQS does not take
// may fail the call for all; then each is sent alone.
func (c *Consumer) sendCopies(copies []*deadCopy) []answer {
	ctx, cancel := context.WithTimeout(c.calls, callDeadline)
	defer cancel()
	entries := make([]types.SendMessageBatchRequestEntry, len(copies))
	for i, d := range copies {
		entries[i] = d.entry(i)
	}
	start := time.Now()
	out, err := c.queue.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &c.facts.dlqURL, Entries: entries})
	if err != nil {
		if len(copies) == 1 || !isRefused(err) || isFatal(err) {
			return c.allFailed("SendMessageBatch", len(copies), err)
		}
		var alone []answer
		for i := range copies {
			alone = append(alone, c.sendCopies(copies[i:i+1])...)
		}
		return alone
	}
	done := make([]string, len(out.Successful))
	for i, s := range out.Successful {
		done[i] = aws.ToString(s.Id)
	}
	return c.answers("SendMessageBatch", start, len(copies), done, out.Failed)
}

// isRefused reports whether SQS will not take this message in this queue.
func isRefused(err error) bool {
	if isFatal(err) {
		return true
	}
	code := ""
	if e, ok := errors.AsType[*entryError](err); ok {
		code = e.code
	} else if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	switch strings.TrimPrefix(code, "AWS.SimpleQueueService.") {
	case "InvalidMessageContents", "InvalidParameterValue", "MissingParameter", "InvalidAttributeValue",
		"UnsupportedOperation", "BatchRequestTooLong", "AccessDenied", "KmsAccessDenied", "KmsDisabled", "KmsNotFound":
		return true
	}
	return false
}
