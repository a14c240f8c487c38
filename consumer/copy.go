package consumer

import (
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

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
	for _, ours := range []string{AttrReason, AttrError, AttrAttempts, AttrOriginalID} {
		delete(result, ours)
	}
	details := []struct{ key, value string }{
		{AttrName, printable(name)},
		{AttrOriginalID, m.ID},
		{AttrAttempts, strconv.Itoa(d.Attempts)},
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
