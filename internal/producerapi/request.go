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

// maxBody is what SQS takes of a message, its attributes included.
const maxBody = 1 << 20

// settings are what the headers of a request say of the messages in it.
type settings struct {
	key    string // Idempotency-Key
	hasKey bool
	group  string
	dedup  string
	delay  int32         // seconds, by SQS
	later  time.Duration // by a schedule; 0: none
	trace  string
	xray   string
	retry  bool // a name that was rejected is tried again

	carried map[string]string // attributes of the request that is mirrored; nil: none
}

// message is one that may be sent.
type message struct {
	settings
	name        string
	body        string
	fingerprint protocol.Fingerprint
}

// MessageHeaders are the headers that may come with messages.
type MessageHeaders struct {
	Group       string `header:"X-Sqsonce-Group" maxLength:"128" pattern:"^[!-~]*$" doc:"Message group. Default on a FIFO queue: one group for each name."`
	Delay       string `header:"X-Sqsonce-Delay" doc:"Seconds (or a duration such as 30s or 3h) for which the message is held back. Up to 900 it stays invisible in the queue. More, up to a year, and any on a FIFO queue, is a schedule, where the server has one: never early, and up to two minutes late. Then the answer is SCHEDULED, a second post of the name has the time of the first, and Prefer: wait waits for nothing. In a batch it is the delay of each message without its own (X-Sqsonce-Delay-Field)."`
	Dedup       string `header:"X-Sqsonce-Dedup" maxLength:"128" pattern:"^[!-~]*$" doc:"FIFO queues drop the same name with the same body for five minutes. Another value here makes it another message."`
	Retry       bool   `header:"X-Sqsonce-Retry-Rejected" doc:"true: if the name was rejected, this message tries it again, whatever its body. A COMPLETED name stays completed, and an UNKNOWN one parked."`
	Traceparent string `header:"Traceparent" doc:"W3C trace context; goes on the message as an attribute and as AWSTraceHeader."`
}

// settings are what the headers say, with the name of Idempotency-Key.
func (in MessageHeaders) settings(key string, hasKey, fifo, scheduling bool) (settings, error) {
	s := settings{key: key, hasKey: hasKey, group: in.Group, dedup: in.Dedup, retry: in.Retry}
	var err error
	s.delay, s.later, err = delay(headerDelay, in.Delay, fifo, scheduling)
	s.trace, s.xray = trace(in.Traceparent)
	return s, err
}

// ownDelay returns the settings with the delay in a field of the message's body; s itself where
// the field has no name, or the body no such field. It leaves a body that is not JSON to
// [parseMessage]. The error is a *[problem].
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
			return s, badRequest(field, "must be a delay, such as 30 or \"3h\"")
		}
	case text[0] != '-' && (text[0] < '0' || text[0] > '9'):
		return s, badRequest(field, "must be a delay, such as 30 or \"3h\"")
	}
	var err error
	s.delay, s.later, err = delay(field, text, fifo, scheduling)
	return s, err
}

// parseMessage reads one body. It is pure, and the only place that decides
// what is fit to be sent: everything it lets through, SQS accepts and a worker
// can name. The error is a *[problem] that names the field.
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
		return m, badRequest(headerKey, "is missing: the name is not taken from the body here ("+bad.Field+")")
	case isField && bad.Field == names.NameAttribute: // which Idempotency-Key becomes
		return m, badRequest("name", strings.TrimPrefix(bad.Problem, "name "))
	case isField:
		return m, badRequest(bad.Field, strings.TrimPrefix(bad.Problem, "name "))
	case err != nil:
		return m, badRequest("body", err.Error())
	case s.hasKey && named.Name != normal(keys, s.key):
		return m, badRequest(headerKey, fmt.Sprintf("%q is not the name in the body, %q", s.key, named.Name))
	}
	name, fingerprint := named.Name, protocol.Fingerprint(named.Fingerprint)
	m.name = name // known from here on, whatever else is wrong
	if err := checkObject(body, fingerprint); err != nil {
		return m, badRequest("body", err.Error())
	}
	m.fingerprint = fingerprint
	return m, m.checkCarried()
}

// checkCarried returns a *[problem] for what SQS does not carry.
func (m message) checkCarried() error {
	if at := uncarried(m.name); at >= 0 {
		return badRequest("name", fmt.Sprintf("has a character at byte %d that SQS does not carry", at))
	}
	if !utf8.ValidString(m.body) {
		return badRequest("body", "is not text in UTF-8, and SQS carries no other")
	}
	if at := uncarried(m.body); at >= 0 {
		return badRequest("body", fmt.Sprintf("has a character at byte %d that SQS does not carry", at))
	}
	if size := m.size(); size > maxBody {
		return newProblem(http.StatusRequestEntityTooLarge, "body",
			fmt.Sprintf("%d bytes together with the name and other attributes, more than %d", size, maxBody))
	}
	return nil
}

// normal is the name under which a message with the given name is known.
func normal(keys *names.Extractor, name string) string {
	if known, err := keys.Normal(name); err == nil {
		return known
	}
	return name
}

// attributes are the message attributes that say the name: the Idempotency-Key's.
func (s settings) attributes() map[string]names.Attribute {
	return map[string]names.Attribute{names.NameAttribute: names.Text(s.key)}
}

// absent reports whether the body has nothing at all where the name should be.
// Only a plain member can be told from one that is there and no name.
func absent(body, key string) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &members) != nil {
		return true // the checks that follow say what it is
	}
	value, there := members[key]
	return !there || string(value) == "null"
}

// checkObject returns what keeps the body from being a JSON object without
// repeated keys.
func checkObject(body string, fp protocol.Fingerprint) error {
	// A fingerprint by scheme 1 over no expression has seen every key of a
	// well-formed document.
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

// uncarried returns where the first character stands that is no character of
// XML 1.0, or -1: SQS refuses those.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func uncarried(s string) int {
	return strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF || !utf8.ValidRune(r)
	})
}

// groupID is the message group. On a FIFO queue a message without one gets a
// group of its name's own, so that different names do not wait for each other.
func (m message) groupID(fifo bool) string {
	if m.group != "" || !fifo {
		return m.group
	}
	sum := sha256.Sum256([]byte(m.name))
	return "name-" + hex.EncodeToString(sum[:16])
}

// deduplicationID is what a FIFO queue drops repeats by, for five minutes: the
// same name with the same body, byte for byte, is one message, so that a POST
// may be repeated. X-Sqsonce-Dedup goes into it, so that a caller who wants
// another attempt changes that. So does generation, the version of a record
// that an operator has forgotten or opened again (0: none, or not looked at), and so
// does X-Sqsonce-Retry-Rejected.
func (m message) deduplicationID(generation protocol.Version) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d:%s%d:%s%d:%d:", len(m.name), m.name, len(m.dedup), m.dedup, generation, len(m.body))
	_, _ = io.WriteString(h, m.body)
	if m.retry {
		_, _ = io.WriteString(h, "retry")
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
