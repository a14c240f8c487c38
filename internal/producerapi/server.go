package producerapi

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// maxHeader bounds the names and values of a request's headers, in bytes.
const maxHeader = 16 << 10

// exchange is one request under way, and what its line in the log says.
type exchange struct {
	*http.Request
	api   *API
	w     *recorder
	id    string // of the request
	began time.Time

	client    string // a token's hash, or an address
	reserved  int64  // bytes of the budget
	read      int64  // bytes of the body
	broken    bool   // the rest of the body cannot be read
	name      string
	messageID string
	outcome   string
	cause     error
}

// exchangeKey is where the context of a request keeps its exchange.
type exchangeKey struct{}

// exchangeOf returns the exchange that ctx belongs to, or nil.
func exchangeOf(ctx context.Context) *exchange {
	c, _ := ctx.Value(exchangeKey{}).(*exchange)
	return c
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
	c := &exchange{api: a, w: &recorder{ResponseWriter: w}, id: requestID(r), began: time.Now()}
	c.Request = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, c))
	w.Header().Set("X-Request-Id", c.id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	at, name, found, err := a.routes.find(r)
	if err == nil && !found {
		at = a.mirrored(r)
		found = at != nil
	}
	op := at.operation(r.Method)
	defer func() { a.log(c, op.is(isQuiet)) }()
	if a.cfg.Watch != nil {
		watched, answered := a.cfg.Watch(c.Request, op.route())
		c.Request = watched
		defer func() { answered(c.w.status) }()
	}
	defer a.contain(c)
	defer a.release(c)
	switch {
	case err != nil:
		err = badRequest("name", "is not percent-encoded")
	case !found:
		err = newProblem(http.StatusNotFound, "", fmt.Sprintf("there is nothing at %q; GET /openapi.json says what there is", r.URL.Path))
	case op == nil:
		p := newProblem(http.StatusMethodNotAllowed, "method", fmt.Sprintf("%s is not for %s", r.Method, r.URL.Path))
		p.header = http.Header{"Allow": {at.allow()}}
		err = p
	default:
		err = a.admit(c, op)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.SetPathValue("name", name)
	op.handle(humaContext{humago.NewContext(op.Operation, c.Request, c.w), a, c})
}

// admit checks what every request is checked for, whatever its operation.
func (a *API) admit(c *exchange, op *operation) error {
	if n := headerBytes(c.Header); n > maxHeader {
		return newProblem(http.StatusRequestHeaderFieldsTooLarge, "headers", fmt.Sprintf("%d bytes, more than %d", n, maxHeader))
	}
	if op.is(isOpen) {
		return nil
	}
	if err := a.meant(c.Request); err != nil {
		return err
	}
	var err error
	if c.client, err = a.authorize(c.Request); err != nil {
		return err
	}
	if err := a.rates.admit(c.client, c.began); err != nil {
		return err
	}
	if op.isOperators() {
		return a.operator(c.Request)
	}
	return nil
}

// plainContext is a [huma.Context] that can be embedded: its own name is that of
// one of its methods.
type plainContext huma.Context

// humaContext is a request as huma sees it.
type humaContext struct {
	plainContext
	api *API
	c   *exchange
}

// Header implements [huma.Context]. A header that was sent more than once is a
// list: https://www.rfc-editor.org/rfc/rfc9110.html#section-5.3
func (h humaContext) Header(name string) string { return strings.Join(h.c.Header.Values(name), ", ") }

// BodyReader implements [huma.Context].
func (h humaContext) BodyReader() io.Reader {
	return &bodyReader{api: h.api, c: h.c, limit: bodyLimit(h.Operation())}
}

// problem is err as a problem of this exchange, and the line in the log says so.
func (c *exchange) problem(err error) *problem {
	p := *asProblem(err)
	p.RequestID = c.id
	c.cause = p.cause
	if c.api.cfg.Embedded && p.cause != nil {
		p.Detail += ": " + p.cause.Error()
	}
	if c.outcome == "" {
		c.outcome = p.Detail
	}
	return &p
}

// fail answers with err, unless an answer has begun.
func (c *exchange) fail(err error) {
	p := c.problem(err)
	if c.w.status != 0 {
		return
	}
	c.drain()
	for name, values := range p.GetHeaders() {
		c.w.Header()[name] = values
	}
	c.w.Header().Set("Content-Type", problemType)
	c.w.WriteHeader(p.Status)
	_ = huma.DefaultJSONFormat.Marshal(c.w, p) // a client that has gone needs no answer
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
	left, logged := a.samples.take(c.w.status)
	if !logged {
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
	if left > 0 {
		attrs = append(attrs, slog.Int64("unlogged_before", left))
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
