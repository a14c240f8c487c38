package target

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/internal/mirror"
)

const (
	userAgent          = "sqsonce"
	defaultContentType = "application/json"
	contentTypeKey     = "contentType" // message attribute
)

// Request is one attempt on one message.
type Request struct {
	Name          string            // of the message; the same for all its attempts and duplicates
	Fence         int64             // of the attempt; rises with each attempt on a name
	Attempt       int               // number of the attempt, from 1
	Body          string            // of the message, sent unchanged
	MessageID     string            // SQS message ID
	FirstReceived time.Time         // when the message was first delivered; zero if not known
	ReceiveCount  int               // deliveries so far, including this one
	SentAt        time.Time         // when the message was sent; zero if not known
	SenderID      string            // of the message, as given by SQS; may be empty
	Attributes    map[string]string // text attributes; contentType becomes the Content-Type
	Binary        map[string][]byte // binary attributes
	Headers       map[string]string // headers from an envelope around the message
	TraceParent   string            // W3C trace context; may be empty
	Mirror        *mirror.Request   // the request to make, below the target's path; nil: POST to the target's URL
}

// Preview returns the request that [Target.Post] would make for r now, with its secrets.
func (t *Target) Preview(ctx context.Context, r Request) (*http.Request, error) {
	return t.newRequest(ctx, r, time.Now())
}

// newRequest makes the HTTP request for r.
func (t *Target) newRequest(ctx context.Context, r Request, now time.Time) (*http.Request, error) {
	// Without GetBody, because net/http treats an Idempotency-Key as permission to repeat the
	// request by itself.
	method, body := http.MethodPost, io.NopCloser(strings.NewReader(r.Body))
	if r.Mirror != nil {
		if method = r.Mirror.Method; r.Mirror.Empty {
			r.Body, body = "", http.NoBody
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, t.address(r), body)
	if err != nil {
		return nil, fmt.Errorf("request for %q: %w", r.Name, err)
	}
	req.ContentLength = int64(len(r.Body))
	t.setHeaders(req.Header, r)
	if r.Mirror != nil {
		mirrorHeaders(req.Header, *r.Mirror)
	}
	if t.key != nil {
		sign(req.Header, t.key, headerValue(r.MessageID), r.Body, now)
	}
	return req, nil
}

// mirrorHeaders sets the headers of a request from a message.
func mirrorHeaders(h http.Header, r mirror.Request) {
	h.Del("Content-Type")
	for name, value := range r.Headers {
		if fits(name, value) {
			h.Set(name, value) // as the client sent it
		}
	}
	if r.Empty {
		// The transport looks up the canonical name to decide whether it may repeat a request
		// without a body.
		h["idempotency-key"] = h["Idempotency-Key"]
		delete(h, "Idempotency-Key")
	}
}

// address returns the URL for a message. A message with a mirrored request sets the path below the
// target's. As with Elastic Beanstalk's daemon, a periodic task sets the whole path.
func (t *Target) address(r Request) string {
	if r.Mirror != nil {
		return t.below(r.Mirror.Path)
	}
	path := r.Attributes[sqsdPath]
	if !t.sqsd || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return t.url
	}
	u, err := url.Parse(t.url)
	if err != nil {
		return t.url
	}
	to, err := url.Parse(path)
	if err != nil {
		return t.url
	}
	u.Path, u.RawPath, u.RawQuery = to.Path, to.RawPath, to.RawQuery
	return u.String()
}

// below returns the target's URL with a path appended to its own, and a query appended to its own.
func (t *Target) below(path string) string {
	base, _, _ := strings.Cut(t.url, "#")
	base, rest, _ := strings.Cut(base, "?")
	path, query, _ := strings.Cut(path, "?")
	address := strings.TrimSuffix(base, "/") + path
	switch {
	case rest != "" && query != "":
		return address + "?" + rest + "&" + query
	case rest+query != "":
		return address + "?" + rest + query
	}
	return address
}

// Bounds of header fields. Apache and gunicorn refuse a field of more than 8,190 bytes by default,
// and servers also bound the total size.
// https://httpd.apache.org/docs/2.4/mod/core.html#limitrequestfieldsize
// https://docs.gunicorn.org/en/stable/settings.html#limit-request-field-size
const (
	maxField      = 8190 // of a line: name, colon, space and value
	maxAttributes = 32 << 10
)

// Message attributes with which Elastic Beanstalk's daemon sends periodic tasks.
// https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/using-features-managing-env-tiers.html
const (
	sqsdTask      = "beanstalk.sqsd.task_name"
	sqsdScheduled = "beanstalk.sqsd.scheduled_time"
	sqsdPath      = "beanstalk.sqsd.path"
)

func fits(name, value string) bool { return len(name)+len(": ")+len(value) <= maxField }

// setAttributes sets the headers of message attributes in the order of their names while there is
// room, and a header that lists the omitted ones.
func setAttributes(h http.Header, r Request) {
	room := maxAttributes
	var omitted []string
	put := func(attribute string, fields map[string]string) {
		size := 0
		for name, value := range fields {
			if !fits(name, value) {
				size = maxAttributes + 1
			}
			size += len(name) + len(": ") + len(value)
		}
		if size > room {
			omitted = append(omitted, attribute)
			return
		}
		room -= size
		for name, value := range fields {
			// Without Set, because attribute names may differ in case alone.
			h[name] = []string{value}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Attributes)) {
		if isToken(name) { // true for every name that SQS accepts
			put(name, map[string]string{"X-Aws-Sqsd-Attr-" + name: headerValue(r.Attributes[name])})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Binary)) {
		if isToken(name) {
			put(name, map[string]string{
				"X-Aws-Sqsd-Attr-" + name:     base64.StdEncoding.EncodeToString(r.Binary[name]),
				"X-Sqsonce-Attr-Type-" + name: "Binary; base64",
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		if value := headerValue(r.Headers[name]); fits(name, value) {
			h.Set(name, value)
		} else {
			omitted = append(omitted, name)
		}
	}
	list := ""
	for i, name := range omitted {
		if longer := list + ", " + name; fits("X-Sqsonce-Omitted", longer+", ...") {
			list = longer
		} else {
			list += fmt.Sprintf(", ... %d more", len(omitted)-i)
			break
		}
	}
	if list != "" {
		h.Set("X-Sqsonce-Omitted", strings.TrimPrefix(list, ", "))
	}
}

func (t *Target) setHeaders(h http.Header, r Request) {
	set := func(key, value string) {
		if value = headerValue(value); value != "" && fits(key, value) {
			h.Set(key, value)
		}
	}
	setAttributes(h, r)
	set("Content-Type", defaultContentType)
	set("Content-Type", r.Attributes[contentTypeKey])
	h.Set("Idempotency-Key", structuredString(r.Name))
	set("X-Sqsonce-Name", r.Name)
	set("X-Sqsonce-Fence", strconv.FormatInt(r.Fence, 10))
	set("X-Sqsonce-Attempt", strconv.Itoa(r.Attempt))
	set("X-Aws-Sqsd-Msgid", r.MessageID)
	set("X-Aws-Sqsd-Queue", t.queue)
	set("X-Aws-Sqsd-Receive-Count", strconv.Itoa(r.ReceiveCount))
	if !r.FirstReceived.IsZero() {
		set("X-Aws-Sqsd-First-Received-At", r.FirstReceived.UTC().Format(time.RFC3339))
	}
	if t.sqsd {
		set("X-Aws-Sqsd-Taskname", r.Attributes[sqsdTask])
		set("X-Aws-Sqsd-Scheduled-At", r.Attributes[sqsdScheduled])
		set("X-Aws-Sqsd-Path", r.Attributes[sqsdPath])
		set("X-Aws-Sqsd-Sender-Id", r.SenderID)
		if !r.SentAt.IsZero() {
			set("X-Aws-Sqsd-Sent-At", r.SentAt.UTC().Format(time.RFC3339))
		}
	}
	set("Traceparent", r.TraceParent)
	set("User-Agent", t.userAgent)
	if t.authorization != "" {
		h.Set("Authorization", t.authorization)
	}
}
