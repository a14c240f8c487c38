package target

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
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
	Attributes    map[string]string // string attributes; contentType becomes the Content-Type
	Headers       map[string]string // what an envelope around the message says
	TraceParent   string            // W3C trace context; may be empty
}

// newRequest makes the HTTP request for r.
func (t *Target) newRequest(ctx context.Context, r Request, now time.Time) (*http.Request, error) {
	// A body without GetBody: the transport takes the Idempotency-Key as a
	// leave to send the request again by itself, and must not have it.
	body := io.NopCloser(strings.NewReader(r.Body))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, body)
	if err != nil {
		return nil, fmt.Errorf("request for %q: %w", r.Name, err)
	}
	req.ContentLength = int64(len(r.Body))
	t.setHeaders(req.Header, r)
	if t.key != nil {
		sign(req.Header, t.key, headerValue(r.MessageID), r.Body, now)
	}
	return req, nil
}

func (t *Target) setHeaders(h http.Header, r Request) {
	set := func(key, value string) {
		if value != "" {
			h.Set(key, headerValue(value))
		}
	}
	for name, value := range r.Attributes {
		if isToken(name) { // as every name that SQS accepts is
			// Not through Set: attributes may differ in nothing but case.
			h["X-Aws-Sqsd-Attr-"+name] = []string{headerValue(value)}
		}
	}
	for name, value := range r.Headers {
		set(name, value)
	}
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
	set("Traceparent", r.TraceParent)
	set("User-Agent", userAgent)
	if t.authorization != "" {
		h.Set("Authorization", t.authorization)
	}
}
