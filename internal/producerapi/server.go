package producerapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// maxHeader bounds the names and values of a request's headers, in bytes.
const maxHeader = 16 << 10

// exchange is one request under way, and what its line in the log says.
type exchange struct {
	*http.Request
	w     *recorder
	id    string // of the request
	began time.Time

	reserved  int64  // bytes of the budget
	pathName  string // name in the path, if any
	name      string
	messageID string
	outcome   string
	cause     error
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int // 0: nothing yet
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &exchange{Request: r, w: &recorder{ResponseWriter: w}, id: requestID(r), began: time.Now()}
	w.Header().Set("X-Request-Id", c.id)
	e, name, found, err := route(r)
	c.pathName = name
	defer func() { a.log(c, e.quiet) }()
	defer a.contain(c)
	switch {
	case err != nil:
		err = badRequest("name", "is not percent-encoded")
	case !found:
		err = newProblem(http.StatusNotFound, "", fmt.Sprintf("there is nothing at %q; GET /openapi.json says what there is", r.URL.Path))
	default:
		err = a.do(c, e)
	}
	if err != nil {
		c.fail(err)
	}
}

// do checks what every request is checked for, then answers it.
func (a *API) do(c *exchange, e endpoint) error {
	act, ok := e.action(c.Method)
	if !ok {
		p := newProblem(http.StatusMethodNotAllowed, "method", fmt.Sprintf("%s is not for %s", c.Method, c.URL.Path))
		p.header = http.Header{"Allow": {e.allow()}}
		return p
	}
	if n := headerBytes(c.Header); n > maxHeader {
		return newProblem(http.StatusRequestHeaderFieldsTooLarge, "headers", fmt.Sprintf("%d bytes, more than %d", n, maxHeader))
	}
	if !e.open {
		if err := a.meant(c.Request); err != nil {
			return err
		}
		client, err := a.authorize(c.Request)
		if err != nil {
			return err
		}
		if err := a.rates.admit(client, c.began); err != nil {
			return err
		}
	}
	return act(a, c)
}

// fail answers with err.
func (c *exchange) fail(err error) {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = newProblem(http.StatusInternalServerError, "", "something is broken here; the log knows more")
		p.cause = err
	}
	c.cause = p.cause
	if c.outcome == "" {
		c.outcome = p.Detail
	}
	if c.w.status == 0 {
		p.write(c.w, c.id)
	}
}

// contain turns a panic into an answer, so that one request harms no other.
func (a *API) contain(c *exchange) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // the value itself is what net/http looks for
		panic(v)
	}
	c.fail(panicked(v))
}

// panicked is a panic as an error.
func panicked(v any) error { return fmt.Errorf("panic: %v\n%s", v, debug.Stack()) }

// log writes the request's line.
func (a *API) log(c *exchange, quiet bool) {
	level := slog.LevelInfo
	switch {
	case c.w.status >= http.StatusInternalServerError:
		level = slog.LevelWarn
	case quiet:
		level = slog.LevelDebug
	}
	ctx := context.WithoutCancel(c.Context())
	if !a.cfg.Logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", c.Method), slog.String("path", c.URL.EscapedPath()), slog.Int("status", c.w.status),
		slog.Duration("took", time.Since(c.began)), slog.String("request_id", c.id), slog.String("client", c.RemoteAddr),
	}
	for _, field := range []struct{ key, value string }{{"name", c.name}, {"message_id", c.messageID}, {"outcome", c.outcome}} {
		if field.value != "" {
			attrs = append(attrs, slog.String(field.key, field.value))
		}
	}
	if c.cause != nil {
		attrs = append(attrs, slog.Any("error", c.cause))
	}
	a.cfg.Logger.LogAttrs(ctx, level, "request", attrs...)
}

// requestID is the client's own, where that is fit to be written anywhere, or
// a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	ok := id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
	if ok {
		return id
	}
	return rand.Text()
}

func headerBytes(h http.Header) int {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}
