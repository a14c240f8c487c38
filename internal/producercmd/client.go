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
)

// client speaks to the HTTP API.
type client struct {
	base    *url.URL
	http    *http.Client
	token   string
	timeout time.Duration // of a call, beside what it asks the API to wait
	close   func()
}

// apiError is an error response.
type apiError struct {
	status     int
	detail     string
	field      string        // what it is about; empty: not a field, or not a problem of the API's
	from       string        // the address, where the API itself has not answered; empty: it has
	at         string        // the address, where there is nothing; empty: something is
	names      []string      // that it is about; may be empty
	retryAfter time.Duration // zero: not said
}

// Error implements error.
func (e *apiError) Error() string {
	if e.from != "" {
		return fmt.Sprintf("%d %s from %s, where no producer API answers: %s", e.status, http.StatusText(e.status), e.from, orDash(e.detail))
	}
	if e.at != "" {
		return fmt.Sprintf("%d %s at %s: %s", e.status, http.StatusText(e.status), e.at, e.detail)
	}
	return fmt.Sprintf("%d %s: %s", e.status, http.StatusText(e.status), e.detail)
}

// statusOf is the HTTP status that err stands for, or 0.
func statusOf(err error) int {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.status
	}
	return 0
}

// request is one call of the API.
type request struct {
	method, path string
	header       http.Header
	body         []byte        // nil: none
	wait         time.Duration // what it asks the API to wait
}

// response is its answer, read to the end.
type response struct {
	status int
	header http.Header
	body   []byte
}

// errNoAnswer is the end of a call's time.
var errNoAnswer = errors.New("no answer in time")

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// do makes a call. A status of 400 and more is an *[apiError].
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
		return response{}, fmt.Errorf("nothing listens at %s, where %s redirects to", failed.URL, c.base.Redacted())
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return response{}, fmt.Errorf("nothing listens at %s: start it (worker --local, or producer serve), or say where it is with --url, or work on the queue itself with --queue-url and --table", c.base)
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
		return response{}, fmt.Errorf("%s %s: the answer did not come to its end within %s (--timeout)", r.method, target, bound)
	}
	if err != nil {
		return response{}, fmt.Errorf("read the answer of %s %s: %w", r.method, target, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return response{}, problemOf(resp, body)
	}
	return response{resp.StatusCode, resp.Header, body}, nil
}

// problemOf reads a problem document, or whatever else a proxy has answered.
func problemOf(resp *http.Response, body []byte) error {
	e := &apiError{status: resp.StatusCode}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.retryAfter = time.Duration(n) * time.Second
	}
	var p struct {
		Detail, Field string
		Names         []string
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // none is not the one that is wanted
	if media == "application/problem+json" && json.Unmarshal(body, &p) == nil && p.Detail != "" {
		e.detail, e.field, e.names = p.Detail, p.Field, p.Names
		// A 404 that is about no field may be that of another server, or of another path.
		if e.status == http.StatusNotFound && e.field == "" && resp.Request.URL.Host != inProcessHost {
			e.at = resp.Request.URL.Redacted()
		}
		return e
	}
	e.from = resp.Request.URL.Redacted()
	e.detail = strings.ToValidUTF8(strings.TrimSpace(string(body[:min(len(body), 200)])), "?")
	return e
}

// messagePath is the path of a name's record.
func messagePath(name string) string {
	return "/messages/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
}

// record reads a name's record; found is false when there is none.
func (c *client) record(ctx context.Context, name string) (r producerapi.Record, found bool, err error) {
	resp, err := c.do(ctx, request{method: http.MethodGet, path: messagePath(name)})
	if e, ok := errors.AsType[*apiError](err); ok && e.status == http.StatusNotFound && e.field == "name" {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	if err := json.Unmarshal(resp.body, &r); err != nil || r.Name != name {
		return r, false, fmt.Errorf("record of %q: %s answered with something else", name, c.base.Redacted())
	}
	return r, true, nil
}

// depth asks how many messages the queue holds.
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

// call sends v, if not nil, as JSON, and reads the answer into out.
func (c *client) call(ctx context.Context, method, path string, v, out any) error {
	return c.callFor(ctx, 0, method, path, v, out)
}

// callFor is call for something that the API may take wait longer for.
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
