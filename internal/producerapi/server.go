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

// exchange is a request under way, with the fields of its log line.
type exchange struct {
	*http.Request
	api   *API
	w     *recorder
	id    string // X-Request-Id
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

// exchangeKey is the key of the exchange in a request's context.
type exchangeKey struct{}

// exchangeOf returns the exchange of a request's context, or nil.
func exchangeOf(ctx context.Context) *exchange {
	c, _ := ctx.Value(exchangeKey{}).(*exchange)
	return c
}

// recorder records the status of the answer.
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

// Unwrap lets [http.ResponseController] reach the inner writer.
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
		err = badRequest("name", "must be percent-encoded")
	case !found:
		err = newProblem(http.StatusNotFound, "", fmt.Sprintf("no such path: %q; GET /openapi.json lists all paths", r.URL.Path))
	case op == nil:
		p := newProblem(http.StatusMethodNotAllowed, "method", fmt.Sprintf("%s is not allowed for %s", r.Method, r.URL.Path))
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

// admit makes the checks that are common to all operations: size of the headers, host, token, rate,
// operator and query. Its error is a [*problem].
func (a *API) admit(c *exchange, op *operation) error {
	if n := headerBytes(c.Header); n > maxHeader {
		return newProblem(http.StatusRequestHeaderFieldsTooLarge, "headers", fmt.Sprintf("have %d bytes, must have at most %d", n, maxHeader))
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
		if err := a.operator(c.Request); err != nil {
			return err
		}
	}
	return op.checkQuery(c.Request)
}

// plainContext is a [huma.Context] under another name, because an embedded field named Context
// would hide its method Context.
type plainContext huma.Context

// humaContext is the request for huma.
type humaContext struct {
	plainContext
	api *API
	c   *exchange
}

// Header implements [huma.Context]. It joins the values of a repeated header:
// https://www.rfc-editor.org/rfc/rfc9110.html#section-5.3
func (h humaContext) Header(name string) string { return strings.Join(h.c.Header.Values(name), ", ") }

// BodyReader implements [huma.Context].
func (h humaContext) BodyReader() io.Reader {
	return &bodyReader{api: h.api, c: h.c, limit: bodyLimit(h.Operation())}
}

// problem returns err as a problem of this request, and sets it as the outcome in the log.
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

// fail answers with err, unless the answer has started.
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
	_ = huma.DefaultJSONFormat.Marshal(c.w, p) // fails if the client has gone
}

// contain turns a panic into a 500, so that other requests continue.
func (a *API) contain(c *exchange) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares the value itself
		panic(v)
	}
	c.fail(panicked(v))
}

// panicked returns the error of a panic, with its stack.
func panicked(v any) error { return fmt.Errorf("panic: %v\n%s", v, debug.Stack()) }

// log logs the request.
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

// requestID returns the client's X-Request-Id if it is short and printable, and a new id otherwise.
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
