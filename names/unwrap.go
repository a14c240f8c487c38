package names

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/sqsonce/sqsonce/internal/unzip"
)

// Values of Config.Unwrap.
const (
	UnwrapNone        = "none" // the default
	UnwrapSNS         = "sns"
	UnwrapEventBridge = "eventbridge"
	UnwrapBase64      = "base64"
	UnwrapAuto        = "auto"
)

// mostUnwrapped bounds the nesting of envelopes and pointers. An EventBridge event that was
// published to SNS has two envelopes.
const mostUnwrapped = 4

// envelope is the format in which a service wraps other messages.
type envelope struct {
	name   string // value of Config.Unwrap
	called string // in texts for people
	open   func(fields map[string]json.RawMessage) (inner, bool)
}

// inner is the content of an envelope.
type inner struct {
	body       string
	attributes map[string]Attribute
	headers    map[string]string
}

var envelopes = []envelope{
	{UnwrapSNS, "an SNS notification", openSNS},
	{UnwrapEventBridge, "an EventBridge event", openEventBridge},
}

// unwrap returns the message inside the envelope, or the message itself if it has none, and the
// headers of all opened envelopes and pointers. The message's own attributes take precedence over
// those of the envelope. It fails only if the payload in S3 cannot be read.
func (x *Extractor) unwrap(m Message) (Message, map[string]string, error) {
	var headers map[string]string
	opened := func(kind string, more map[string]string) {
		if headers == nil {
			headers = make(map[string]string)
		}
		maps.Copy(headers, more)
		headers["X-Sqsonce-Envelope"] = strings.TrimPrefix(headers["X-Sqsonce-Envelope"]+","+kind, ",")
	}
	wanted := x.unwrapping
	for range mostUnwrapped {
		if m.Fetch != nil {
			if p, ok := pointerIn(m); ok {
				inS3, location, err := m.follow(p)
				if err != nil {
					return m, nil, err
				}
				m = inS3
				opened("s3", location)
				continue
			}
		}
		e, in, ok := recognise(m.Body, wanted)
		if !ok {
			break
		}
		opened(e.name, in.headers)
		m.Body = in.body
		if len(in.attributes) > 0 {
			maps.Copy(in.attributes, m.Attributes)
			m.Attributes = in.attributes
		}
		if wanted != UnwrapAuto {
			wanted = UnwrapNone
		}
	}
	return m, headers, nil
}

// recognise returns the envelope of the wanted kind that body is, and its content.
func recognise(body, want string) (envelope, inner, bool) {
	if want == UnwrapNone {
		return envelope{}, inner{}, false
	}
	if want == UnwrapBase64 || want == UnwrapAuto {
		if document, ok := openBase64(body); ok {
			return envelope{name: UnwrapBase64, called: "base64 of a JSON document"}, inner{body: document}, true
		}
	}
	body = strings.TrimPrefix(body, byteOrderMark)
	if !strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{") {
		return envelope{}, inner{}, false
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &fields) != nil {
		return envelope{}, inner{}, false
	}
	for _, e := range envelopes {
		if want == UnwrapAuto || want == e.name {
			if in, ok := e.open(fields); ok {
				return e, in, true
			}
		}
	}
	return envelope{}, inner{}, false
}

// Recognise returns a text that names the envelope or pointer that a message is, and the flag that
// opens it. The text is empty for other messages.
func Recognise(m Message) string {
	if e, _, ok := recognise(m.Body, UnwrapAuto); ok {
		return fmt.Sprintf("the body is %s: unwrap it with --unwrap %s", e.called, e.name)
	}
	if p, ok := pointerIn(m); ok {
		return fmt.Sprintf("the body is a pointer to the payload %s: fetch it with --s3-payloads", p)
	}
	return ""
}

// hint returns [Recognise] as the end of an error text about a missing key.
func hint(m Message) string {
	if is := Recognise(m); is != "" {
		return "; " + is
	}
	return ""
}

// stringAt returns the string in a field, or false.
func stringAt(fields map[string]json.RawMessage, name string) (s string, ok bool) {
	raw := fields[name]
	return s, len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil
}

// openBase64 decodes a body that is a JSON object in base64, as kombu writes it for Celery, or the
// gzip of a JSON object in base64.
// https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.transport.SQS.html
func openBase64(body string) (document string, ok bool) {
	body = strings.TrimSpace(body)
	if body == "" || body[0] == '{' || body[0] == '[' {
		return "", false
	}
	data, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return "", false
	}
	if document = string(data); strings.HasPrefix(document, "\x1f\x8b") { // RFC 1952
		if document, err = unzip.Text(data, unzip.Bound); err != nil {
			return "", false
		}
	}
	return document, strings.HasPrefix(strings.TrimLeft(document, " \t\r\n"), "{") && json.Valid([]byte(document))
}

// openSNS opens a notification without raw delivery. The headers are those of SNS's own HTTP
// deliveries, and two more for the subject and the timestamp, which SNS has in the body.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
// https://docs.aws.amazon.com/sns/latest/dg/http-header.html
func openSNS(fields map[string]json.RawMessage) (inner, bool) {
	kind, _ := stringAt(fields, "Type")
	body, hasBody := stringAt(fields, "Message")
	topic, hasTopic := stringAt(fields, "TopicArn")
	if kind != "Notification" || !hasBody || !hasTopic {
		return inner{}, false
	}
	in := inner{body: body, headers: map[string]string{
		"X-Amz-Sns-Message-Type": kind, "X-Amz-Sns-Topic-Arn": topic,
	}}
	in.copyHeaders(fields, map[string]string{
		"X-Amz-Sns-Message-Id": "MessageId", "X-Amz-Sns-Subject": "Subject", "X-Amz-Sns-Timestamp": "Timestamp",
	})
	var attributes map[string]struct{ Type, Value string }
	if json.Unmarshal(fields["MessageAttributes"], &attributes) == nil {
		in.attributes = make(map[string]Attribute, len(attributes))
		for name, a := range attributes {
			in.attributes[name] = snsAttribute(a.Type, a.Value)
		}
	}
	return in, true
}

// openEventBridge opens an event. Its detail becomes the body, byte for byte.
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
func openEventBridge(fields map[string]json.RawMessage) (inner, bool) {
	kind, hasKind := stringAt(fields, "detail-type")
	source, hasSource := stringAt(fields, "source")
	detail, hasDetail := fields["detail"]
	if !hasKind || !hasSource || !hasDetail {
		return inner{}, false
	}
	in := inner{body: string(detail), headers: map[string]string{
		"X-Sqsonce-Event-Detail-Type": kind, "X-Sqsonce-Event-Source": source,
	}}
	in.copyHeaders(fields, map[string]string{
		"X-Sqsonce-Event-Id": "id", "X-Sqsonce-Event-Time": "time", "X-Sqsonce-Event-Account": "account", "X-Sqsonce-Event-Region": "region",
	})
	return in, true
}

func (in *inner) copyHeaders(fields map[string]json.RawMessage, from map[string]string) {
	for header, field := range from {
		if value, ok := stringAt(fields, field); ok {
			in.headers[header] = value
		}
	}
}

// snsAttribute returns a message attribute of an envelope, where a Binary value is in base64.
func snsAttribute(kind, value string) Attribute {
	a := Attribute{Type: kind, Value: value}
	if a.Binary() {
		if data, err := base64.StdEncoding.DecodeString(value); err == nil {
			a.Value = string(data)
		}
	}
	return a
}
