package target

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxBatchAnswer bounds the answer to a batch, in bytes. A longer one is invalid.
const maxBatchAnswer = 1 << 20

// batchItem is a message in the body of a batch request.
type batchItem struct {
	MessageID       string            `json:"messageId"`
	Name            string            `json:"name"`
	Fence           int64             `json:"fence"`
	Attempt         int               `json:"attempt"`
	ReceiveCount    int               `json:"receiveCount"`
	SentAt          time.Time         `json:"sentAt,omitzero"`
	FirstReceivedAt time.Time         `json:"firstReceivedAt,omitzero"`
	SenderID        string            `json:"senderId,omitempty"`
	Body            *string           `json:"body,omitempty"`
	Base64          []byte            `json:"base64,omitempty"` // a body that is not valid text
	Attributes      map[string]string `json:"attributes"`
	Binary          map[string][]byte `json:"binaryAttributes,omitempty"`
	Headers         map[string]string `json:"headers,omitempty"`
	TraceParent     string            `json:"traceparent,omitempty"`
}

// batchAnswer lists the messages that are not done, in the form of Lambda's partial batch
// responses. Status, RetryAfter and Error are extensions.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
type batchAnswer struct {
	Failures []struct {
		ID         string  `json:"itemIdentifier"`
		Status     *int    `json:"status"`     // as for a single request; default 500
		RetryAfter float64 `json:"retryAfter"` // seconds
		Error      string  `json:"error"`
	} `json:"batchItemFailures"`
}

// PostBatch sends messages to the target in one request, whose body is a JSON array, and waits for
// the answer like [Target.Post]. If the target answers 2xx, failed has an error for each message,
// in their order. It is nil for a message that is done. Otherwise it is a [*StatusError] with the
// status in the answer, or 500. If the answer lists no message, all are done.
//
// Any other error applies to all messages. It is an error of Post, or an [*UnknownOutcomeError] if
// a 2xx does not tell which messages are done. That is an answer that is not a JSON object, that
// misspells batchItemFailures, that has an item without an identifier, as with Lambda, or an
// identifier that is not in the batch.
func (t *Target) PostBatch(ctx context.Context, rs []Request) (failed []error, err error) {
	resp, err := t.exchange(ctx, maxBatchAnswer, func(ctx context.Context) (*http.Request, error) {
		return t.newBatchRequest(ctx, rs, time.Now())
	})
	if err != nil {
		return nil, err
	}
	failed, err = t.failures(resp, rs)
	if err != nil {
		return nil, &UnknownOutcomeError{Err: fmt.Errorf("answer to a batch: %w", err), garbled: true}
	}
	return failed, nil
}

// PreviewBatch returns the request that [Target.PostBatch] would make for rs now, with its secrets.
func (t *Target) PreviewBatch(ctx context.Context, rs []Request) (*http.Request, error) {
	return t.newBatchRequest(ctx, rs, time.Now())
}

// newBatchRequest makes the HTTP request for rs.
func (t *Target) newBatchRequest(ctx context.Context, rs []Request, now time.Time) (*http.Request, error) {
	items := make([]batchItem, len(rs))
	ids := sha256.New()
	for i, r := range rs {
		items[i] = itemOf(r)
		_, _ = fmt.Fprintf(ids, "%q", r.MessageID)
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(items); err != nil {
		return nil, fmt.Errorf("request for a batch of %d: %w", len(rs), err)
	}
	// Without GetBody, as for a single message, so that the transport cannot repeat the request.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, io.NopCloser(bytes.NewReader(body.Bytes())))
	if err != nil {
		return nil, fmt.Errorf("request for a batch of %d: %w", len(rs), err)
	}
	req.ContentLength = int64(body.Len())
	req.Header.Set("Content-Type", defaultContentType)
	req.Header.Set("X-Sqsonce-Batch", strconv.Itoa(len(rs)))
	req.Header.Set("X-Aws-Sqsd-Queue", headerValue(t.queue))
	req.Header.Set("User-Agent", t.userAgent)
	if t.authorization != "" {
		req.Header.Set("Authorization", t.authorization)
	}
	if t.key != nil {
		// The ID is the same for the same messages, and differs from the ID of each message alone.
		id := "batch_" + fmt.Sprintf("%x", ids.Sum(nil))[:32]
		sign(req.Header, t.key, id, body.String(), now)
	}
	return req, nil
}

func itemOf(r Request) batchItem {
	item := batchItem{
		MessageID: r.MessageID, Name: r.Name, Fence: r.Fence, Attempt: r.Attempt, ReceiveCount: r.ReceiveCount,
		SentAt: r.SentAt.UTC(), FirstReceivedAt: r.FirstReceived.UTC(), SenderID: r.SenderID,
		Attributes: r.Attributes, Binary: r.Binary, Headers: r.Headers, TraceParent: r.TraceParent,
	}
	if item.Attributes == nil {
		item.Attributes = map[string]string{}
	}
	if utf8.ValidString(r.Body) {
		item.Body = &r.Body
	} else {
		item.Base64 = []byte(r.Body)
	}
	return item
}

const failuresMember = "batchItemFailures"

// misspelt returns a member of an answer that is meant to be batchItemFailures, such as
// batch_item_failures. Without it every message would be taken for done. Members may differ in
// case, as in encoding/json.
func misspelt(answer []byte) string {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(answer, &members) // an answer that is no object has none
	for name := range members {
		plain := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
		if strings.TrimSuffix(plain, "s") == "batchitemfailure" && !strings.EqualFold(name, failuresMember) {
			return name
		}
	}
	return ""
}

// failures parses a 2xx answer.
func (t *Target) failures(resp Response, rs []Request) ([]error, error) {
	failed := make([]error, len(rs))
	body := bytes.TrimPrefix(resp.Body, []byte("\ufeff")) // a byte order mark, as of .NET
	if len(bytes.TrimSpace(body)) == 0 {
		return failed, nil
	}
	if resp.Size > int64(len(resp.Body)) {
		return nil, fmt.Errorf("has %d bytes, more than %d", resp.Size, len(resp.Body))
	}
	if name := misspelt(body); name != "" {
		return nil, fmt.Errorf("has the member %q: want %q", name, failuresMember)
	}
	var answer batchAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf(`want {"batchItemFailures": [{"itemIdentifier": "…"}]}, or nothing: %w: %s`, err, excerpt(resp.Body))
	}
	for n, f := range answer.Failures {
		if f.ID == "" {
			return nil, fmt.Errorf("batchItemFailures[%d]: has no itemIdentifier", n)
		}
		i := slices.IndexFunc(rs, func(r Request) bool { return r.MessageID == f.ID })
		if i < 0 {
			return nil, fmt.Errorf("batchItemFailures[%d]: itemIdentifier %q is not in the batch", n, f.ID)
		}
		e := &StatusError{Status: http.StatusInternalServerError, Excerpt: excerpt([]byte(f.Error))}
		if f.Status != nil {
			if e.Status = *f.Status; e.Status < 300 || e.Status > 599 {
				return nil, fmt.Errorf("batchItemFailures[%d]: status %d: must be from 300 to 599", n, e.Status)
			}
		}
		if f.RetryAfter < 0 || f.RetryAfter > math.MaxInt32 {
			return nil, fmt.Errorf("batchItemFailures[%d]: retryAfter %g: must be seconds, and not negative", n, f.RetryAfter)
		}
		e.permanent = slices.Contains(t.permanent, e.Status)
		e.retryAfter = min(time.Duration(f.RetryAfter*float64(time.Second)), longestRetryAfter)
		failed[i] = e
	}
	return failed, nil
}
