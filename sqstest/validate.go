package sqstest

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxBatch = 10 // entries

// foreign returns an error text if s has a character outside those of XML 1.0, which SQS refuses,
// and "" otherwise.
func foreign(s string) string {
	for i, r := range s {
		switch {
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return fmt.Sprintf("Invalid UTF-8 at byte %d", i)
			}
		case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000:
		default:
			return fmt.Sprintf("Invalid character %U at byte %d", r, i)
		}
	}
	return ""
}

// check fails for a message that every queue refuses.
func (o outgoing) check() error {
	if o.MessageBody == "" {
		return missing("MessageBody")
	}
	if wrong := foreign(o.MessageBody); wrong != "" {
		return sender("InvalidMessageContents", "%s.", wrong)
	}
	if n := valueOr(o.DelaySeconds, 0); n < 0 || n > 900 {
		return invalid("DelaySeconds", n, "Must be between 0 and 900")
	}
	if n := len(o.MessageAttributes); n > 10 {
		return sender(codeInvalidParameter, "Number of message attributes [%d] exceeds the allowed maximum [10].", n)
	}
	for name, a := range o.MessageAttributes {
		if err := a.check(name); err != nil {
			return err
		}
	}
	for name, a := range o.MessageSystemAttributes {
		switch {
		case name != "AWSTraceHeader":
			return sender(codeInvalidParameter, "Message system attribute name %q is invalid. Valid values: AWSTraceHeader.", name)
		case a.DataType != "String" || a.text() == "":
			return sender(codeInvalidParameter, "Message system attribute %s must be a non-empty String, not %q.", name, a.DataType)
		}
	}
	if err := checkID("MessageGroupId", o.MessageGroupId); err != nil {
		return err
	}
	return checkID("MessageDeduplicationId", o.MessageDeduplicationId)
}

// checkID fails for an id that is present and invalid.
func checkID(name string, id *string) error {
	if id == nil || *id != "" && len(*id) <= 128 && !strings.ContainsFunc(*id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil
	}
	return invalid(name, *id, name+" can only include alphanumeric and punctuation characters. 1 to 128 in length")
}

// check fails for an invalid message attribute.
func (a attribute) check(name string) error {
	if !attributeName(name) {
		return sender(codeInvalidParameter, "Message attribute name %q is invalid: 1 to 256 letters, digits, '_', '-' and single inner '.', not starting with AWS. or Amazon.", name)
	}
	kind, _, _ := strings.Cut(a.DataType, ".")
	switch {
	case len(a.DataType) > 256, kind != "String" && kind != "Number" && kind != "Binary":
		return sender(codeInvalidParameter, "The message attribute '%s' has an invalid message attribute type %q, the set of supported type prefixes is Binary, Number, and String.", name, a.DataType)
	case kind == "Binary" && (len(a.BinaryValue) == 0 || a.StringValue != nil),
		kind != "Binary" && (a.text() == "" || len(a.BinaryValue) > 0):
		return sender(codeInvalidParameter, "Message (user) attribute '%s' must contain a non-empty value of type '%s'.", name, a.DataType)
	case kind == "Number":
		if _, _, err := big.ParseFloat(a.text(), 10, 128, big.ToNearestEven); err != nil {
			return sender(codeInvalidParameter, "Can't cast the value %q of message (user) attribute '%s' to a number.", a.text(), name)
		}
	}
	if wrong := foreign(a.text()); wrong != "" {
		return sender(codeInvalidParameter, "Message (user) attribute '%s': %s.", name, wrong)
	}
	return nil
}

func attributeName(s string) bool {
	if s == "" || len(s) > 256 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	lower := strings.ToLower(s)
	if strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") {
		return false
	}
	// SQS accepts letters of all scripts, although its documentation allows A to Z only. Recorded:
	// test_send_message_with_invalid_string_attributes.
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '.' && !nameRune(r) && !unicode.IsLetter(r) })
}

// nameRune reports whether r is allowed in names of queues and ids of batch entries.
func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// simpleName reports whether s is 1 to 80 letters, digits, '-' and '_'.
func simpleName(s string) bool {
	return s != "" && len(s) <= 80 && !strings.ContainsFunc(s, func(r rune) bool { return !nameRune(r) })
}

// size returns the bytes of the message that count towards the limits.
func (o outgoing) size() int {
	n := len(o.MessageBody)
	for name, a := range o.MessageAttributes {
		n += len(name) + len(a.DataType) + len(a.text()) + len(a.BinaryValue)
	}
	return n
}

// checkBatch fails for a batch that is refused as a whole.
func checkBatch[E identified](entries []E) error {
	switch n := len(entries); {
	case n == 0:
		return sender("EmptyBatchRequest", "There should be at least one entry in the request.")
	case n > maxBatch:
		return sender("TooManyEntriesInBatchRequest", "Maximum number of entries per request are %d. You have sent %d.", maxBatch, n)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		id := e.entryID()
		if !simpleName(id) {
			return sender("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[id] {
			return sender("BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		}
		seen[id] = true
	}
	return nil
}

func failed(id string, err error) failedEntry {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Message: err.Error()}
	}
	return failedEntry{ID: id, SenderFault: e.SenderFault, Code: e.code(), Message: e.Message}
}
