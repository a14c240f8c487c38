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

// Request is one attempt on one message, as the target gets to see it.
type Request struct {
	Name          string            // of the message; the same for all its attempts and duplicates
	Fence         int64             // of the attempt; only grows for a name
	Attempt       int               // number of the attempt; 1 for the first
	Body          string            // of the message, sent as it is
	MessageID     string            // SQS message id
	FirstReceived time.Time         // when the message was first delivered; zero when not known
	ReceiveCount  int               // deliveries so far, this one included
	SentAt        time.Time         // when the message was sent; zero when not known
	SenderID      string            // of the message, as SQS gives it; may be empty
	Attributes    map[string]string // attributes that are texts; contentType becomes the Content-Type
	Binary        map[string][]byte // attributes that are bytes
	Headers       map[string]string // what an envelope around the message says
	TraceParent   string            // W3C trace context; may be empty
	Mirror        *mirror.Request   // the request to make, below the target's path; nil: POST to the target's URL
}

// Preview returns the request that [Target.Post] would make for r now, with its secrets.
func (t *Target) Preview(ctx context.Context, r Request) (*http.Request, error) {
	return t.newRequest(ctx, r, time.Now())
}

// newRequest makes the HTTP request for r.
func (t *Target) newRequest(ctx context.Context, r Request, now time.Time) (*http.Request, error) {
	// A body without GetBody: the transport takes the Idempotency-Key as a
	// leave to send the request again by itself, and must not have it.
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

// mirrorHeaders sets the headers of a request that a message carries.
func mirrorHeaders(h http.Header, r mirror.Request) {
	h.Del("Content-Type")
	for name, value := range r.Headers {
		if fits(name, value) {
			h.Set(name, value) // as the client sent it
		}
	}
	if r.Empty {
		// The transport looks for the canonical name to send a request without a body
		// again by itself.
		h["idempotency-key"] = h["Idempotency-Key"]
		delete(h, "Idempotency-Key")
	}
}

// address is the target's URL. A message that carries a request chooses the path below
// it, and as Elastic Beanstalk's daemon does, one may choose the whole path.
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

// below is the target's URL with a path below its own, and a query after its own.
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

// Bounds of header fields. Apache and gunicorn refuse a field of more than 8,190
// bytes by default, and a target's server bounds all fields together.
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

// setAttributes sets the headers of message attributes, in the order of their
// names, as far as there is room, and says which are left out.
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
			// Not through Set: attributes may differ in nothing but case.
			h[name] = []string{value}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Attributes)) {
		if isToken(name) { // as every name that SQS accepts is
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
