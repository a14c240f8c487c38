// Package deadcopy computes the attributes of a message's copy in its dead-letter queue.
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

// MaxMessageBytes is the largest message that SQS accepts, in bytes, attributes included.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const MaxMessageBytes = 1 << 20

const (
	maxAttributes = 10      // of a message; the same page
	maxErrorBytes = 1 << 10 // bound of a failure's text
	minErrorBytes = 16      // an error text that would be cut to fewer bytes is left out
)

// Details describe the end of a message.
type Details struct {
	Reason     string // a short text
	Err        error  // the failure; nil: none
	Name       string // of the message; empty: none
	OriginalID string // SQS message id of the message
	Attempts   int    // counted attempts, or receives if attempts are not counted
}

// Attributes returns the attributes of a dead-letter copy: the message's own, and as many of d's as
// fit into SQS's limits beside a body of the given bytes, the reason first. Details beyond the
// limit of ten attributes are added to the reason in brackets. The second result is false if the
// reason does not fit.
func Attributes(own map[string]types.MessageAttributeValue, body int, d Details) (map[string]types.MessageAttributeValue, bool) {
	result := maps.Clone(own)
	if result == nil {
		result = make(map[string]types.MessageAttributeValue, 5)
	}
	// The attributes of an earlier dead-letter copy are replaced.
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
		details[3].value = cut(printable(cause(d.Err.Error(), d.Name)), maxErrorBytes)
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

// cause returns the text of an error, which is cut afterwards. Errors often begin with the quoted
// name. In a long text, a long name is shortened, so that the cause after it is kept. The name is
// an attribute of its own.
func cause(text, name string) string {
	const shown = 64
	if len(text) > maxErrorBytes && len(name) > shown {
		text = strings.ReplaceAll(text, strconv.Quote(name), strconv.Quote(cut(name, shown)+"…"))
	}
	return text
}

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

// Bytes returns the size of attributes as SQS counts it.
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

// printable replaces the characters that SQS does not accept in a text. SQS accepts tab, line feed,
// carriage return, and all characters from U+0020 on except surrogates, U+FFFE and U+FFFF.
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
