package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	base  *url.URL
	http  *http.Client
	token string
	close func()
}

// apiError is an answer other than the one hoped for.
type apiError struct {
	status     int
	detail     string
	names      []string      // that it is about; may be empty
	retryAfter time.Duration // zero: not said
}

// Error implements error.
func (e *apiError) Error() string {
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
	body         []byte // nil: none
}

// response is its answer, read to the end.
type response struct {
	status int
	header http.Header
	body   []byte
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// do makes a call. A status of 400 and more is an *[apiError].
func (c *client) do(ctx context.Context, r request) (response, error) {
	target := strings.TrimSuffix(c.base.String(), "/") + r.path
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
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return response{}, fmt.Errorf("nothing listens at %s: start it (worker --local, or producer serve), or say where it is with --url, or work on the queue itself with --queue-url and --table", c.base)
	}
	if err != nil {
		return response{}, fmt.Errorf("call the API: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
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
		Detail string
		Names  []string
	}
	if json.Unmarshal(body, &p) == nil && p.Detail != "" {
		e.detail, e.names = p.Detail, p.Names
	} else {
		e.detail = strings.TrimSpace(string(body[:min(len(body), 200)]))
	}
	return e
}

// messagePath is the path of a name's record.
func messagePath(name string) string {
	return "/messages/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
}

// record reads a name's record; found is false when there is none.
func (c *client) record(ctx context.Context, name string) (r producerapi.Record, found bool, err error) {
	resp, err := c.do(ctx, request{method: http.MethodGet, path: messagePath(name)})
	if statusOf(err) == http.StatusNotFound {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	if err := json.Unmarshal(resp.body, &r); err != nil {
		return r, false, fmt.Errorf("record of %q: %w", name, err)
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
	r := request{method: method, path: path}
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
		return fmt.Errorf("answer of %s %s: %w", method, path, err)
	}
	return nil
}
