package consumer

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/attributes"
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
	reasonStopped       = "stopped"
	reasonParkedAtStop  = "in progress elsewhere at stop"
	reasonParkedTooLong = "in progress elsewhere"
	reasonUntried       = "stopped before it was tried"
	reasonHeldUp        = "held up and never tried"
	reasonSnoozedAtStop = "snoozed at stop"
	reasonBatchAtStop   = "batch failed at stop"
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

// deadLetter copies a message to the dead-letter queue, with the reason, and reports
// whether the copy stands there. Without it the message is not deleted: it goes back to its
// queue after a delay, loudly, and SQS moves it when its receives are used up.
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
		dead.dedup = d.ID // a copy sent twice is one
	}
	err := r.insistOnCopy(d, dead)
	switch {
	case err == nil:
		log.Info("dead-lettered", "error", d.end.Err)
		r.hooks.deadLettered(d.Message, d.end)
		return 0, true
	case r.calls.Err() != nil:
		return delay, false // no time left; insist has logged it
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

// Copies that fail.
const (
	copyPatience   = 5 * time.Minute  // of tries for a reason that is not known to be final
	copyAgainAfter = 15 * time.Minute // when the message is received, and copied, again
)

// insistOnCopy sends a copy until it stands in the dead-letter queue, is refused, or has
// failed for too long. A message whose copy has failed waits here like any other: it does
// not keep others from being received before a bound is reached.
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

// copy makes one SendMessageBatch call. One copy that SQS does not take may fail the call
// for all; then each is sent alone.
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

// copyAttributes returns the attributes of a message's dead-letter copy: its
// own, and as many of ours as SQS has room for, the reason first. What finds no
// attribute is packed into the reason, in brackets. It reports false when not
// even the reason fits.
func copyAttributes(m Message, name string, d Disposition) (map[string]types.MessageAttributeValue, bool) {
	result := maps.Clone(m.Attributes)
	if result == nil {
		result = make(map[string]types.MessageAttributeValue, 5)
	}
	// An earlier trip's attributes make room for this one's.
	for _, ours := range []string{AttrReason, AttrError, attributes.Attempts, attributes.OriginalID} {
		delete(result, ours)
	}
	details := []struct{ key, value string }{
		{AttrName, printable(name)},
		{attributes.OriginalID, m.ID},
		{attributes.Attempts, strconv.Itoa(d.Attempts)},
		{AttrError, ""},
	}
	if d.Err != nil {
		details[3].value = cut(printable(d.Err.Error()), maxErrorBytes)
	}
	room := maxMessageBytes - len(m.Body) - attributesBytes(result) - attributeBytes(AttrReason, text(printable(d.Reason)))
	if room < 0 || len(result) >= maxAttributes {
		return nil, false
	}
	reason := printable(d.Reason)
	result[AttrReason] = text(reason)
	var packed []string
	for _, detail := range details {
		if _, there := result[detail.key]; there || detail.value == "" {
			continue
		}
		if len(result) == maxAttributes {
			packed = append(packed, strings.TrimPrefix(detail.key, "sqsonce.")+": "+detail.value)
			continue
		}
		value := detail.value
		if detail.key == AttrError {
			value = cut(value, max(0, room-attributeBytes(detail.key, text(""))))
		}
		v := text(value)
		if need := attributeBytes(detail.key, v); need <= room && (value == detail.value || len(value) >= minErrorBytes) {
			result[detail.key] = v
			room -= need
		}
	}
	if more := " (" + strings.Join(packed, "; "); len(packed) > 0 && room > minErrorBytes {
		result[AttrReason] = text(reason + cut(more, room-1) + ")")
	}
	return result, true
}

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

func systemText(s string) types.MessageSystemAttributeValue {
	return types.MessageSystemAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

func attributesBytes(attributes map[string]types.MessageAttributeValue) int {
	n := 0
	for name, v := range attributes {
		n += attributeBytes(name, v)
	}
	return n
}

func attributeBytes(name string, v types.MessageAttributeValue) int {
	return len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
}

// printable replaces what SQS does not accept in a text: it takes tab, line
// feed, carriage return, and U+0020 upwards without surrogates and the last two
// code points of the basic plane.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r != 0xfffe && r != 0xffff {
			return r
		}
		return utf8.RuneError
	}, s)
}

// cut shortens s to at most n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
