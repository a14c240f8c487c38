package consumer

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/deadcopy"
)

// maxMessageBytes is SQS's bound on a message with its attributes.
const maxMessageBytes = deadcopy.MaxMessageBytes

// Reasons of messages that were not handled, or not to the end.
const (
	reasonStopped       = "stopped"
	reasonParkedAtStop  = "in progress elsewhere at stop"
	reasonParkedTooLong = "in progress elsewhere"
	reasonUntried       = "stopped before it was tried"
	reasonHeldUp        = "held up and never tried"
	reasonSnoozedAtStop = "snoozed at stop"
)

// deadCopy is a message to be sent to the dead-letter queue.
type deadCopy struct {
	body, group, dedup, trace string
	attributes                map[string]types.MessageAttributeValue
}

// bytes returns the size that SQS counts.
func (d *deadCopy) bytes() int { return len(d.body) + deadcopy.Bytes(d.attributes) }

// entry returns the copy as the i-th entry of a batch.
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

// deadLetter copies a message with the reason to the dead-letter queue. It reports whether the copy
// was accepted. Otherwise the message must not be deleted: an error is logged, the message goes
// back to its queue after delay, and SQS moves it when its receives are used up.
func (r *run) deadLetter(d *delivery) (delay time.Duration, ok bool) {
	name := d.name()
	log := r.log.With("name", name, "message_id", d.ID, "receive", d.ReceiveCount, "reason", d.end.Reason)
	delay = max(time.Second, failureDelay(d.end.Err, d.Message, r.limits(d)))
	dlq := r.redrive.load().dlqURL
	if dlq == "" {
		log.Error("message cannot be dead-lettered: no dead-letter queue is known; it stays in the queue", "error", d.end.Err)
		r.hooks.copyFailed(d.Message, d.end, errors.New("no dead-letter queue is known"))
		return delay, false
	}
	attributes, fits := copyAttributes(d.Message, name, d.end)
	if !fits {
		log.Error("message cannot be dead-lettered with its reason: it has no room for an attribute; left to SQS's own redrive",
			"error", d.end.Err)
		r.hooks.copyFailed(d.Message, d.end, errors.New("no room for an attribute"))
		return delay, false
	}
	dead := &deadCopy{body: d.Body, group: d.GroupID, trace: d.TraceHeader, attributes: attributes}
	if strings.HasSuffix(dlq, ".fifo") {
		dead.dedup = d.ID // SQS ignores a copy that is sent twice
	}
	err := r.insistOnCopy(d, dead)
	switch {
	case err == nil:
		log.Info("dead-lettered", "error", d.end.Err)
		r.hooks.deadLettered(d.Message, d.end)
		return 0, true
	case r.calls.Err() != nil:
		return delay, false // no time left, which insist has logged
	case isRefused(err):
		log.Error("message cannot be dead-lettered: the dead-letter queue does not take it; it stays in the queue",
			"queue", dlq, "error", err)
	default:
		log.Error("message cannot be dead-lettered: the copy keeps failing; it goes back to the queue",
			"queue", dlq, "visible_after", copyAgainAfter, "error", err)
		delay = copyAgainAfter
	}
	r.hooks.copyFailed(d.Message, d.end, err)
	return delay, false
}

// Times of copies that fail.
const (
	copyPatience   = 5 * time.Minute  // of tries after an error that may be temporary
	copyAgainAfter = 15 * time.Minute // until the message becomes visible and is tried again
)

// insistOnCopy sends a copy until it is accepted, is refused, or has failed for too long. A message
// whose copy fails waits like any other: it stops receiving only when a bound is reached.
func (r *run) insistOnCopy(d *delivery, dead *deadCopy) error {
	start, waits := time.Now(), false
	defer func() {
		if waits {
			r.admission.wait(-1, -len(d.Body))
			r.admission.ending(1)
		}
	}()
	return r.insist("SendMessageBatch", d, func(err error) bool {
		if !waits {
			waits = true
			r.admission.ending(-1)
			r.admission.wait(1, len(d.Body))
		}
		return isRefused(err) || time.Since(start) >= copyPatience || r.admission.isFull()
	}, func() error {
		_, err := r.settler.copies.Do(r.calls, dead)
		return err
	})
}

// copy makes one SendMessageBatch call. A single copy that SQS does not accept may fail the whole
// call. Then each copy is sent alone.
func (c *client) copy(ctx context.Context, dlqURL string, copies []*deadCopy) []entryAnswer {
	limited, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	entries := make([]types.SendMessageBatchRequestEntry, len(copies))
	for i, d := range copies {
		entries[i] = d.entry(i)
	}
	start := time.Now()
	out, err := c.queue.SendMessageBatch(limited, &sqs.SendMessageBatchInput{QueueUrl: &dlqURL, Entries: entries})
	if err != nil {
		if len(copies) == 1 || !isRefused(err) || isFatal(err) {
			return c.allFailed("SendMessageBatch", len(copies), err)
		}
		var alone []entryAnswer
		for i := range copies {
			alone = append(alone, c.copy(ctx, dlqURL, copies[i:i+1])...)
		}
		return alone
	}
	done := make([]string, len(out.Successful))
	for i, s := range out.Successful {
		done[i] = aws.ToString(s.Id)
	}
	return c.answers("SendMessageBatch", start, len(copies), done, out.Failed)
}

// copyAttributes returns the attributes of a message's dead-letter copy. It returns false if there
// is not even room for the reason.
func copyAttributes(m Message, name string, d Disposition) (map[string]types.MessageAttributeValue, bool) {
	return deadcopy.Attributes(m.Attributes, len(m.Body), deadcopy.Details{
		Reason: d.Reason, Err: d.Err, Name: name, OriginalID: m.ID, Attempts: d.Attempts,
	})
}

func systemText(s string) types.MessageSystemAttributeValue {
	return types.MessageSystemAttributeValue{DataType: aws.String("String"), StringValue: &s}
}
