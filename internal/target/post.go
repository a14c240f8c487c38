package target

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxExcerpt = 256 // bytes of a response body in an error
	// All idle connections may have been closed by the target, and an HTTP/2 server may refuse a
	// stream.
	maxTries = 4
)

// Response is the target's answer to successful work.
type Response struct {
	Body        []byte            // at most Config.MaxResult bytes
	ContentType string            // of the answer; may be empty
	Size        int64             // bytes of the whole body, which may be more than in Body
	SHA256      [sha256.Size]byte // of the whole body
}

// Post sends r to the target and waits for its answer, at most for the timeout. A nil error means
// 2xx: the work is done.
//
// Otherwise the error is a [*StatusError] (another status; redirects are not followed), an
// [*UnknownOutcomeError] (a part of the request was sent, and no complete answer came back in time)
// or a [*DownError] (no byte was sent). If ctx ends before a byte was sent, the error wraps only
// its cause and [context.Canceled] or [context.DeadlineExceeded].
//
// The target processes at most one request per call.
func (t *Target) Post(ctx context.Context, r Request) (Response, error) {
	return t.exchange(ctx, t.maxResult, func(ctx context.Context) (*http.Request, error) {
		return t.newRequest(ctx, r, time.Now())
	})
}

// exchange is [Target.Post] for the request that build makes. It keeps at most keep bytes of the
// body.
func (t *Target) exchange(ctx context.Context, keep int, build func(context.Context) (*http.Request, error)) (Response, error) {
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()

	var err error
	for range maxTries {
		var f flight
		var resp *http.Response
		resp, err = t.send(f.traced(limited), build) //nolint:bodyclose // read closes it
		if err == nil {
			return t.read(ctx, resp, start, keep)
		}
		refused := notProcessed(err)
		if !refused && !f.nothingSent(err, t.ours) {
			return Response{}, t.unknown(ctx, err, start)
		}
		if limited.Err() != nil || !refused && !f.stale() {
			break
		}
	}
	if ctx.Err() != nil {
		return Response{}, stopped(ctx, err)
	}
	return Response{}, &DownError{Err: err}
}

// send makes one request and returns its response with the body unread.
func (t *Target) send(ctx context.Context, build func(context.Context) (*http.Request, error)) (*http.Response, error) {
	req, err := build(ctx)
	if err != nil {
		return nil, err
	}
	// Without an http.Client, because that would follow redirects, or fail on them.
	return t.transport.RoundTrip(req)
}

// done reports whether a status means that the work is done.
func (t *Target) done(status int) bool {
	return status == http.StatusOK || !t.sqsd && status > 200 && status <= 299
}

// read reads the response and keeps at most keep bytes of the body of a 2xx.
func (t *Target) read(ctx context.Context, resp *http.Response, start time.Time, keep int) (Response, error) {
	defer func() { _ = resp.Body.Close() }()
	if !t.done(resp.StatusCode) {
		// The status counts even if the body breaks off.
		var body []byte
		if !bare(resp) {
			body, _ = io.ReadAll(io.LimitReader(resp.Body, maxExcerpt+utf8.UTFMax))
		}
		return Response{}, &StatusError{
			Status:     resp.StatusCode,
			Excerpt:    excerpt(body),
			permanent:  slices.Contains(t.permanent, resp.StatusCode),
			retryAfter: retryAfter(resp.Header, time.Now()),
		}
	}
	// The whole body is read, because an incomplete answer does not count.
	sum := sha256.New()
	whole := io.TeeReader(resp.Body, sum)
	body, err := io.ReadAll(io.LimitReader(whole, int64(keep)))
	var rest int64
	if err == nil {
		rest, err = io.Copy(io.Discard, whole)
	}
	if err != nil {
		return Response{}, t.unknown(ctx, fmt.Errorf("answer %d broke off: %w", resp.StatusCode, err), start)
	}
	out := Response{Body: body, ContentType: resp.Header.Get("Content-Type"), Size: int64(len(body)) + rest}
	sum.Sum(out.SHA256[:0])
	return out, nil
}

// bare reports whether the body of resp is the connection itself, whose reads do not end with a
// context. net/http returns it with 101, which no request here asks for.
func bare(resp *http.Response) bool { return resp.StatusCode == http.StatusSwitchingProtocols }

// unknown returns the error of a request that was sent and not answered.
func (t *Target) unknown(ctx context.Context, err error, start time.Time) error {
	unknown := &UnknownOutcomeError{Err: err, until: start.Add(t.timeout)}
	switch {
	case ctx.Err() != nil:
		unknown.Err = stopped(ctx, err)
	case time.Since(start) >= t.timeout:
		unknown.Err, unknown.timedOut = fmt.Errorf("no answer within %s: %w", t.timeout, err), true
	}
	return unknown
}

// stopped adds the cause of the caller's ended context to err.
func stopped(ctx context.Context, err error) error {
	for _, reason := range []error{ctx.Err(), context.Cause(ctx)} {
		if !errors.Is(err, reason) {
			err = fmt.Errorf("%w: %w", reason, err)
		}
	}
	return err
}

// excerpt returns the beginning of a body on one line, for logs and records.
func excerpt(body []byte) string {
	text := strings.ToValidUTF8(string(body), "�")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if len(text) <= maxExcerpt {
		return text
	}
	cut := maxExcerpt
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
