package producerapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

// maxBody is the limit of SQS for a message, including its attributes, in bytes.
const maxBody = 1 << 20

// settings are the headers' settings for the messages of a request.
type settings struct {
	key    string // Idempotency-Key
	hasKey bool
	group  string
	dedup  string
	delay  int32         // delay by SQS, in seconds
	later  time.Duration // delay by a schedule; 0: none
	trace  string
	xray   string
	retry  bool // run a rejected name again

	carried map[string]string // attributes that hold a mirrored request; nil: none
}

// message is a message to send.
type message struct {
	settings
	name        string
	body        string
	fingerprint protocol.Fingerprint
}

// MessageHeaders are the optional headers of requests with messages.
type MessageHeaders struct {
	Group       string `header:"X-Sqsonce-Group" maxLength:"128" pattern:"^[!-~]*$" doc:"Message group id. Default: none; on a FIFO queue one group for each name."`
	Delay       string `header:"X-Sqsonce-Delay" doc:"Delay in seconds, or a duration such as 30s or 3h. SQS itself delays up to 900 seconds. Longer delays up to a year, and all delays on a FIFO queue, use a schedule, if the server has a scheduler: the message is never early, and up to two minutes late. The answer then is SCHEDULED, a second POST of the name returns the time of the first, and Prefer: wait has no effect. In a batch it is the delay of each message without its own (X-Sqsonce-Delay-Field)."`
	Dedup       string `header:"X-Sqsonce-Dedup" maxLength:"128" pattern:"^[!-~]*$" doc:"FIFO queues drop a message with the same name and body for five minutes. A different value here makes a different message."`
	Retry       bool   `header:"X-Sqsonce-Retry-Rejected" doc:"true: if the name is REJECTED, this message runs it again, with any body. A COMPLETED name stays completed, and an UNKNOWN name is still held."`
	Traceparent string `header:"Traceparent" doc:"W3C trace context. The message carries it as an attribute and as AWSTraceHeader."`
}

// settings returns the settings, with the name of the Idempotency-Key. The error is a [*problem].
func (in MessageHeaders) settings(key string, hasKey, fifo, scheduling bool) (settings, error) {
	s := settings{key: key, hasKey: hasKey, group: in.Group, dedup: in.Dedup, retry: in.Retry}
	var err error
	s.delay, s.later, err = delay(headerDelay, in.Delay, fifo, scheduling)
	s.trace, s.xray = trace(in.Traceparent)
	return s, err
}

// ownDelay returns the settings with the delay in a member of the body. It returns s if field is
// empty or the body has no such member. [parseMessage] reports a body that is not JSON. The error
// is a [*problem].
func (s settings) ownDelay(field, body string, fifo, scheduling bool) (settings, error) {
	var members map[string]json.RawMessage
	if field != "" {
		_ = json.Unmarshal([]byte(body), &members)
	}
	text := string(members[field])
	switch {
	case text == "" || text == "null":
		return s, nil
	case text[0] == '"':
		if err := json.Unmarshal(members[field], &text); err != nil || text == "" {
			return s, notADelay(field, members[field])
		}
	case text[0] != '-' && (text[0] < '0' || text[0] > '9'):
		return s, notADelay(field, members[field])
	}
	var err error
	s.delay, s.later, err = delay(field, text, fifo, scheduling)
	return s, err
}

// notADelay is the problem of a member that is neither a number nor a string with a delay.
func notADelay(field string, value json.RawMessage) *problem {
	return badRequest(field, fmt.Sprintf("%.60q must be a delay, such as 30 or \"3h\"", value))
}

// parseMessage returns the message of a body. It is pure, and makes all checks of a message: SQS
// accepts every message that passes, and a worker can read its name. The error is a [*problem] that
// names the field.
func parseMessage(keys *names.Extractor, s settings, body string) (message, error) {
	m := message{settings: s, body: body}
	if len(body) > maxBody {
		return m, newProblem(http.StatusRequestEntityTooLarge, "body", fmt.Sprintf("%d bytes, more than %d", len(body), maxBody))
	}
	named, err := keys.Extract(names.Message{Body: body})
	bad, isField := errors.AsType[*names.FieldError](err)
	if isField && bad.Field != "body" && s.hasKey && absent(body, bad.Field) {
		named, err = keys.Extract(names.Message{Body: body, Attributes: s.attributes()})
		bad, isField = errors.AsType[*names.FieldError](err)
	}
	switch {
	case isField && strings.HasPrefix(bad.Field, "@"):
		return m, badRequest(headerKey, "is missing, and the name is not in the body (--key "+bad.Field+")")
	case isField && bad.Field == names.NameAttribute: // holds the Idempotency-Key
		return m, badRequest("name", strings.TrimPrefix(bad.Problem, "name "))
	case isField:
		return m, badRequest(bad.Field, strings.TrimPrefix(bad.Problem, "name "))
	case err != nil:
		return m, badRequest("body", err.Error())
	case s.hasKey && named.Name != normal(keys, s.key):
		return m, badRequest(headerKey, fmt.Sprintf("%q must be equal to the name in the body, %q", s.key, named.Name))
	}
	name, fingerprint := named.Name, protocol.Fingerprint(named.Fingerprint)
	m.name = name // set also if a later check fails
	if err := checkObject(body, fingerprint); err != nil {
		return m, badRequest("body", err.Error())
	}
	m.fingerprint = fingerprint
	return m, m.checkCarried()
}

// checkCarried returns a [*problem] if SQS would refuse the message.
func (m message) checkCarried() error {
	if at := uncarried(m.name); at >= 0 {
		return badRequest("name", fmt.Sprintf("has a character at byte %d that SQS does not accept", at))
	}
	if !utf8.ValidString(m.body) {
		return badRequest("body", "must be text in UTF-8, because SQS accepts no other")
	}
	if at := uncarried(m.body); at >= 0 {
		return badRequest("body", fmt.Sprintf("has a character at byte %d that SQS does not accept", at))
	}
	if size := m.size(); size > maxBody {
		return newProblem(http.StatusRequestEntityTooLarge, "body",
			fmt.Sprintf("%d bytes together with the name and other attributes, more than %d", size, maxBody))
	}
	return nil
}

// normal returns the normal form of a name.
func normal(keys *names.Extractor, name string) string {
	if known, err := keys.Normal(name); err == nil {
		return known
	}
	return name
}

// attributes returns the message attribute that holds the Idempotency-Key as the name.
func (s settings) attributes() map[string]names.Attribute {
	return map[string]names.Attribute{names.NameAttribute: names.Text(s.key)}
}

// absent reports whether the body has no value at key. For a JMESPath it cannot distinguish a
// missing value from a bad name, and returns true unless the body has a member of that text.
func absent(body, key string) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &members) != nil {
		return true // later checks report the problem of the body
	}
	value, there := members[key]
	return !there || string(value) == "null"
}

// checkObject returns an error unless the body is a JSON object without repeated keys.
func checkObject(body string, fp protocol.Fingerprint) error {
	// A fingerprint of scheme 1 without an expression has checked the whole document already.
	if fp[0] != 1 || [4]byte(fp[1:5]) != [4]byte{} {
		if _, err := names.Canonical(nil, []byte(body)); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{") {
		return errors.New("is not a JSON object")
	}
	return nil
}

// uncarried returns the byte position of the first character that is not a character of XML 1.0; -1
// if there is none. SQS refuses such characters.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func uncarried(s string) int {
	return strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF || !utf8.ValidRune(r)
	})
}

// groupID returns the message group id. On a FIFO queue, the default is a group for each name, so
// that different names do not wait for each other.
func (m message) groupID(fifo bool) string {
	if m.group != "" || !fifo {
		return m.group
	}
	sum := sha256.Sum256([]byte(m.name))
	return "name-" + hex.EncodeToString(sum[:16])
}

// deduplicationID returns the id by which a FIFO queue drops repeated messages for five minutes. It
// is the same for the same name and body, so that a POST may be repeated. It changes with
// X-Sqsonce-Dedup, with X-Sqsonce-Retry-Rejected, and with generation, the version of a record that
// an operator has forgotten or re-opened; 0 if there is none or it was not read.
func (m message) deduplicationID(generation protocol.Version) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d:%s%d:%s%d:%d:", len(m.name), m.name, len(m.dedup), m.dedup, generation, len(m.body))
	_, _ = io.WriteString(h, m.body)
	if m.retry {
		_, _ = io.WriteString(h, "retry")
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
