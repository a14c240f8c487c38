package consumer

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// What SQS accepts of a message.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	maxAttributes   = 10
	maxMessageBytes = 1 << 20
	maxErrorBytes   = 1 << 10 // ours: enough to see what it was
	minErrorBytes   = 16      // less says nothing
)

// Reasons of messages that waited here for somebody else's attempt.
const (
	reasonParkedAtStop  = "in progress elsewhere at stop"
	reasonParkedTooLong = "in progress elsewhere"
)

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
	in := &sqs.SendMessageInput{QueueUrl: &c.facts.dlqURL, MessageBody: &t.Body, MessageAttributes: attributes}
	if t.GroupID != "" {
		in.MessageGroupId = &t.GroupID
	}
	if strings.HasSuffix(c.facts.dlqURL, ".fifo") {
		in.MessageDeduplicationId = &t.ID // a copy sent twice is one
	}
	if t.TraceHeader != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): systemText(t.TraceHeader),
		}
	}
	err := c.insist("SendMessage", t, func() error {
		ctx, cancel := context.WithTimeout(c.calls, callDeadline)
		defer cancel()
		_, err := c.queue.SendMessage(ctx, in)
		return err
	})
	if err != nil {
		return false
	}
	log.Info("dead-lettered", "error", d.Err)
	if c.cfg.Hooks.DeadLettered != nil {
		c.cfg.Hooks.DeadLettered(t.Message, d)
	}
	return true
}

// copyAttributes returns the attributes of a message's dead-letter copy: its
// own, and as many of ours as SQS has room for, the reason first. It reports
// false when not even the reason fits.
func copyAttributes(m Message, name string, d Disposition) (map[string]types.MessageAttributeValue, bool) {
	result := maps.Clone(m.Attributes)
	if result == nil {
		result = make(map[string]types.MessageAttributeValue, 5)
	}
	// An earlier trip's attributes make room for this one's.
	for _, ours := range []string{AttrReason, AttrError, AttrAttempts, AttrOriginalID} {
		delete(result, ours)
	}
	room := maxMessageBytes - len(m.Body)
	for key, value := range result {
		room -= attributeBytes(key, value)
	}
	put := func(key, value string) bool {
		v := text(value)
		if _, there := result[key]; value == "" || there || len(result) >= maxAttributes || attributeBytes(key, v) > room {
			return false
		}
		result[key] = v
		room -= attributeBytes(key, v)
		return true
	}
	if !put(AttrReason, d.Reason) {
		return nil, false
	}
	put(AttrName, printable(name))
	put(AttrOriginalID, m.ID)
	put(AttrAttempts, strconv.Itoa(d.Attempts))
	if d.Err != nil {
		size := min(maxErrorBytes, room-len(AttrError)-len("String"))
		if size >= minErrorBytes {
			put(AttrError, cut(printable(d.Err.Error()), size))
		}
	}
	return result, true
}

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

func systemText(s string) types.MessageSystemAttributeValue {
	return types.MessageSystemAttributeValue{DataType: aws.String("String"), StringValue: &s}
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
