package producercmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/names"
)

// client calls the HTTP API.
type client struct {
	base    *url.URL
	http    *http.Client
	token   string
	timeout time.Duration // of a call, in addition to request.wait
	close   func()
}

// apiError is an error response.
type apiError struct {
	status     int
	detail     string
	field      string        // the field at fault; empty: none, or not an answer of the API
	from       string        // address of an answer that is not the API's; empty: it is the API's
	at         string        // address of a 404 without a field; empty: another answer
	names      []string      // the names at fault; may be empty
	retryAfter time.Duration // 0: not set
}

// Error implements error.
func (e *apiError) Error() string {
	if e.from != "" {
		return fmt.Sprintf("%d %s from %s, which is not a producer API: %s", e.status, http.StatusText(e.status), e.from, orDash(e.detail))
	}
	if e.at != "" {
		return fmt.Sprintf("%d %s at %s: %s", e.status, http.StatusText(e.status), e.at, e.detail)
	}
	return fmt.Sprintf("%d %s: %s", e.status, http.StatusText(e.status), e.detail)
}

// statusOf returns the HTTP status of an [*apiError]; 0 for other errors.
func statusOf(err error) int {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.status
	}
	return 0
}

// request is a call of the API.
type request struct {
	method, path string
	header       http.Header
	body         []byte        // nil: none
	wait         time.Duration // time that the API may take, in addition to client.timeout
}

// response is an answer, read to the end.
type response struct {
	status int
	header http.Header
	body   []byte
}

// errNoAnswer is the cause of a context that ended with the timeout of a call.
var errNoAnswer = errors.New("no answer in time")

// maxAnswer bounds the bytes read of an answer.
const maxAnswer = 64 << 20

// do makes a call. Its error is an [*apiError] for a status of 400 or more.
func (c *client) do(ctx context.Context, r request) (response, error) {
	target := strings.TrimSuffix(c.base.String(), "/") + r.path
	bound := c.timeout + r.wait
	ctx, cancel := context.WithTimeoutCause(ctx, bound, errNoAnswer)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return response{}, fmt.Errorf("call %s: %w", target, err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.body == nil {
		req.Body, req.GetBody, req.ContentLength = http.NoBody, nil, 0
	} else if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.method != http.MethodGet {
		req.Header.Set("X-Sqsonce-By", operator())
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if failed, ok := errors.AsType[*url.Error](err); ok && errors.Is(err, syscall.ECONNREFUSED) && failed.URL != req.URL.Redacted() {
		return response{}, fmt.Errorf("nothing listens at %s, to which %s redirects", failed.URL, c.base.Redacted())
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return response{}, fmt.Errorf("nothing listens at %s: start the API (worker --local, or producer serve), set its address with --url, or use AWS directly with --queue-url and --table", c.base)
	}
	if errors.Is(context.Cause(ctx), errNoAnswer) {
		return response{}, fmt.Errorf("%s %s: no answer within %s (--timeout)", r.method, target, bound)
	}
	if err != nil {
		return response{}, fmt.Errorf("call the API: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if errors.Is(context.Cause(ctx), errNoAnswer) {
		return response{}, fmt.Errorf("%s %s: the answer was not complete within %s (--timeout)", r.method, target, bound)
	}
	if err != nil {
		return response{}, fmt.Errorf("read the answer of %s %s: %w", r.method, target, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return response{}, problemOf(resp, body)
	}
	return response{resp.StatusCode, resp.Header, body}, nil
}

// problemOf returns the error of a problem document, or of another server's answer.
func problemOf(resp *http.Response, body []byte) error {
	e := &apiError{status: resp.StatusCode}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.retryAfter = time.Duration(n) * time.Second
	}
	var p struct {
		Detail, Field string
		Names         []string
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // on error media differs, too
	if media == "application/problem+json" && json.Unmarshal(body, &p) == nil && p.Detail != "" {
		e.detail, e.field, e.names = p.Detail, p.Field, p.Names
		// A 404 without a field may come from another server, or from another path.
		if e.status == http.StatusNotFound && e.field == "" && resp.Request.URL.Host != inProcessHost {
			e.at = resp.Request.URL.Redacted()
		}
		return e
	}
	e.from = resp.Request.URL.Redacted()
	e.detail = strings.ToValidUTF8(strings.TrimSpace(string(body[:min(len(body), 200)])), "?")
	return e
}

// messagePath returns the path of a name's record.
func messagePath(name string) string {
	return "/messages/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
}

// record reads a name's record; found is false if there is none.
func (c *client) record(ctx context.Context, name string) (r producerapi.Record, found bool, err error) {
	resp, err := c.do(ctx, request{method: http.MethodGet, path: messagePath(name)})
	if e, ok := errors.AsType[*apiError](err); ok && e.status == http.StatusNotFound && e.field == "name" {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	if err := json.Unmarshal(resp.body, &r); err != nil || r.Name != name && r.Name != shortened(name) {
		return r, false, fmt.Errorf("record of %q: the answer of %s is not a record of this name", name, c.base.Redacted())
	}
	return r, true, nil
}

// shortened returns the name of the record of a name that is too long, from an API with
// --long-names hash. Another name is unchanged.
func shortened(name string) string {
	keys, err := names.New(names.Config{LongNames: names.HashLong})
	if err != nil {
		return name
	}
	short, err := keys.Normal(name)
	if err != nil {
		return name
	}
	return short
}

// depth returns the approximate numbers of messages in the queue.
func (c *client) depth(ctx context.Context) (d producerapi.Depth, err error) {
	resp, err := c.do(ctx, request{method: http.MethodGet, path: "/queue"})
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(resp.body, &d); err != nil {
		return d, fmt.Errorf("depth of the queue: %w", err)
	}
	return d, nil
}

// call sends v as JSON, unless it is nil, and reads the answer into out.
func (c *client) call(ctx context.Context, method, path string, v, out any) error {
	return c.callFor(ctx, 0, method, path, v, out)
}

// callFor is call with a longer timeout: wait is added to it.
func (c *client) callFor(ctx context.Context, wait time.Duration, method, path string, v, out any) error {
	r := request{method: method, path: path, wait: wait}
	if v != nil {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("call %s %s: %w", method, path, err)
		}
		r.body = b
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(resp.body, out); err != nil {
		return fmt.Errorf("answer of %s %s of %s: %w", method, path, c.base.Redacted(), err)
	}
	return nil
}
