// Package deadcopy makes the attributes of a message's copy for its dead-letter queue.
package deadcopy

import (
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/attributes"
)

// MaxMessageBytes is the size of a message that SQS accepts, its attributes included.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const MaxMessageBytes = 1 << 20

const (
	maxAttributes = 10      // of a message; the same page
	maxErrorBytes = 1 << 10 // of a failure's text: enough to recognise it
	minErrorBytes = 16      // less of it says nothing
)

// Details are about the end of a message.
type Details struct {
	Reason     string // in a few words
	Err        error  // the failure; nil: there was none
	Name       string // of the message; empty: it has none
	OriginalID string // SQS message id of the message
	Attempts   int    // attempts counted, or receives where nothing counts attempts
}

// Attributes returns the attributes of a dead-letter copy: the message's own, and as many of
// ours as SQS has room for beside a body of so many bytes, the reason first. Details for
// which there is no attribute left are packed into the reason, in brackets. The second
// result is false when not even the reason fits.
func Attributes(own map[string]types.MessageAttributeValue, body int, d Details) (map[string]types.MessageAttributeValue, bool) {
	result := maps.Clone(own)
	if result == nil {
		result = make(map[string]types.MessageAttributeValue, 5)
	}
	// An earlier trip's attributes make room for this one's.
	for _, ours := range []string{attributes.Reason, attributes.Error, attributes.Attempts, attributes.OriginalID} {
		delete(result, ours)
	}
	details := []struct{ key, value string }{
		{attributes.Name, printable(d.Name)},
		{attributes.OriginalID, d.OriginalID},
		{attributes.Attempts, strconv.Itoa(d.Attempts)},
		{attributes.Error, ""},
	}
	if d.Err != nil {
		details[3].value = cut(printable(d.Err.Error()), maxErrorBytes)
	}
	room := MaxMessageBytes - body - Bytes(result) - attributeBytes(attributes.Reason, text(printable(d.Reason)))
	if room < 0 || len(result) >= maxAttributes {
		return nil, false
	}
	reason := printable(d.Reason)
	result[attributes.Reason] = text(reason)
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
		if detail.key == attributes.Error {
			value = cut(value, max(0, room-attributeBytes(detail.key, text(""))))
		}
		v := text(value)
		if need := attributeBytes(detail.key, v); need <= room && (value == detail.value || len(value) >= minErrorBytes) {
			result[detail.key] = v
			room -= need
		}
	}
	if more := " (" + strings.Join(packed, "; "); len(packed) > 0 && room > minErrorBytes {
		result[attributes.Reason] = text(reason + cut(more, room-1) + ")")
	}
	return result, true
}

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

// Bytes is the size of attributes, as SQS counts it.
func Bytes(attributes map[string]types.MessageAttributeValue) int {
	n := 0
	for name, v := range attributes {
		n += attributeBytes(name, v)
	}
	return n
}

func attributeBytes(name string, v types.MessageAttributeValue) int {
	return len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
}

// printable replaces the characters that SQS does not accept in a text: it takes tab, line
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
