package httponce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
)

// middleware guards the requests of one handler.
type middleware struct {
	cfg    Config
	fields []string // recorded header fields of an answer
	guard  *dedupe.Guard[dedupe.Payload]
	limit  int // of a recorded answer, in bytes
	log    func(msg string, args ...any)
	next   http.Handler
}

// New returns middleware over store s, or an error that lists all faults of guard and cfg. All
// handlers that it wraps share one scope, in which requests differ by method and path. Behind
// [http.StripPrefix] give each prefix its own [dedupe.Config] Scope.
//
// A panic of the handler is answered 500 and logged. With [dedupe.Config] Repanic it is raised
// again, and [http.ErrAbortHandler] always is.
func New(s dedupe.Store, guard dedupe.Config, cfg Config) (func(http.Handler) http.Handler, error) {
	guard, own := guard.WithDefaults(), cfg.Fingerprint != nil
	cfg = cfg.withDefaults()
	g, err := dedupe.New[dedupe.Payload](s, guard)
	if err = errors.Join(cfg.validate(guard), err); err != nil {
		return nil, fmt.Errorf("httponce: %w", err)
	}
	m := middleware{cfg: cfg, guard: g, limit: guard.MaxResult, log: guard.Logger.Error, fields: DefaultHeaders()}
	for _, h := range cfg.Headers {
		m.fields = append(m.fields, http.CanonicalHeaderKey(h))
	}
	scheme := byte(schemeWhole)
	if own {
		scheme = schemeOwn
	}
	return func(next http.Handler) http.Handler {
		m := m
		m.next = next
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(cfg.Methods, r.Method) || cfg.Optional && len(r.Header.Values(Header)) == 0 {
				next.ServeHTTP(w, r)
				return
			}
			key, body, bad := m.read(w, r, scheme)
			if bad != nil {
				m.problem(w, r, *bad)
				return
			}
			m.answer(w, r, key, body)
		})
	}, nil
}

// read returns the key and the body of a request, or the answer for an invalid request.
func (m *middleware) read(w http.ResponseWriter, r *http.Request, scheme byte) (key dedupe.Key, body []byte, bad *Problem) {
	values := r.Header.Values(Header)
	if len(values) == 0 {
		return key, nil, &Problem{Status: http.StatusBadRequest, Title: "Idempotency-Key is missing", Detail: "This operation needs an Idempotency-Key."}
	}
	text, err := m.cfg.keyOf(values)
	if err != nil {
		return key, nil, &Problem{Status: http.StatusBadRequest, Title: "Idempotency-Key is not valid", Detail: err.Error()}
	}
	client := ""
	if m.cfg.Client != nil {
		if client = m.cfg.Client(r); client == "" {
			return key, nil, &Problem{Status: http.StatusForbidden, Title: "The client is not known", Detail: "A key belongs to a client."}
		}
	}
	if r.Body != nil {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, m.cfg.MaxBody))
	}
	if errors.As(err, new(*http.MaxBytesError)) {
		return key, nil, &Problem{Status: http.StatusRequestEntityTooLarge, Title: "The body is too large", Detail: fmt.Sprintf("At most %d bytes are accepted.", m.cfg.MaxBody)}
	} else if err != nil {
		return key, nil, &Problem{Status: http.StatusBadRequest, Title: "The body cannot be read", Detail: err.Error()}
	}
	same, err := m.cfg.Fingerprint(r, body)
	if err != nil {
		return key, nil, &Problem{Status: http.StatusBadRequest, Title: "The body is not valid", Detail: err.Error()}
	}
	return dedupe.Key{Name: m.cfg.nameOf(r, client, text), Fingerprint: fingerprint(scheme, same)}, body, nil
}

// answer runs the handler, or sends the recorded answer.
func (m *middleware) answer(w http.ResponseWriter, r *http.Request, key dedupe.Key, body []byte) {
	t := m.lifetimeOf(r.Context())
	defer t.end()
	c := call{m: m, lifetime: t, r: r, body: body}
	res, err := m.guard.Do(t.ctx, key, c.run)
	switch failed, ok := errors.AsType[*failedAnswer](err); {
	case c.aborted:
		panic(http.ErrAbortHandler)
	case ok:
		send(w, failed.status, failed.header, failed.body)
	case err != nil:
		p := problemOf(err)
		if p.Status == http.StatusInternalServerError {
			m.log("guarded request failed", "name", key.Name, "error", err)
		}
		m.problem(w, r, p)
	case !res.Replayed:
		send(w, c.rec.status, c.rec.sent, c.rec.body.Bytes())
	default:
		m.replay(w, r, res.Value)
	}
}

// replay sends the recorded answer.
func (m *middleware) replay(w http.ResponseWriter, r *http.Request, result dedupe.Payload) {
	a, whole := kept(result.Data)
	w.Header().Set("Idempotent-Replayed", "true")
	if whole {
		send(w, a.Status, a.Header, a.body())
		return
	}
	p := Problem{Status: http.StatusConflict, Title: "The request is completed, and its answer was not kept", Detail: "It is not run again."}
	if a.Status != 0 {
		p.Answer = &a
	}
	m.problem(w, r, p)
}

// lifetime is the context of a request. Before its handler runs, it ends if the client goes away or
// Config.Patience is over. From then on only Config.Stop ends it.
type lifetime struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	client func() bool // stops watching the client
	timer  *time.Timer // of Config.Patience
	stop   func() bool // stops watching Config.Stop
}

var (
	errGone      = errors.New("the client has gone away")
	errImpatient = errors.New("waited for too long")
	errStopped   = errors.New("the server stops")

	errSwitching = errors.New("answered 101: a guarded handler cannot switch protocols")
)

func (m *middleware) lifetimeOf(client context.Context) lifetime {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(client))
	if m.cfg.Stop.Err() != nil { // AfterFunc would cancel a moment later
		cancel(errStopped)
	}
	return lifetime{
		ctx: ctx, cancel: cancel,
		client: context.AfterFunc(client, func() { cancel(errGone) }),
		timer:  time.AfterFunc(m.cfg.Patience, func() { cancel(errImpatient) }),
		stop:   context.AfterFunc(m.cfg.Stop, func() { cancel(errStopped) }),
	}
}

// begin reports whether the handler may run. From now on neither the client nor the patience ends
// the context.
func (t lifetime) begin() bool {
	here, inTime := t.client(), t.timer.Stop()
	return here && inTime
}

func (t lifetime) end() {
	t.client()
	t.timer.Stop()
	t.stop()
	t.cancel(nil)
}

// call is the run of a handler.
type call struct {
	m        *middleware
	lifetime lifetime
	r        *http.Request
	body     []byte
	rec      *recorder
	aborted  bool // by http.ErrAbortHandler
}

// run calls the handler and returns the result to record.
func (c *call) run(ctx context.Context) (dedupe.Payload, error) {
	if !c.lifetime.begin() {
		return dedupe.Payload{}, notBegun{}
	}
	if c.m.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.m.cfg.Timeout, errTimedOut)
		defer cancel()
	}
	r := c.r.WithContext(ctx)
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body)), nil
	c.rec = newRecorder()
	c.serve(r)
	timedOut := errors.Is(context.Cause(ctx), errTimedOut)
	if c.rec.status == 0 && ctx.Err() != nil {
		return dedupe.Payload{}, unanswered{context.Cause(ctx)}
	}
	c.rec.WriteHeader(http.StatusOK) // as net/http does for a handler without an answer
	status, body := c.rec.status, c.rec.body.Bytes()
	if status == http.StatusSwitchingProtocols {
		return dedupe.Payload{}, errSwitching
	}
	if status >= 500 || slices.Contains(c.m.cfg.Failures, status) {
		return dedupe.Payload{}, &failedAnswer{status, c.rec.sent, body, timedOut}
	}
	return dedupe.Payload{Data: keep(status, c.rec.sent, c.m.fields, body, c.m.limit)}, nil
}

// serve calls the handler. Panics pass on to the guard.
func (c *call) serve(r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			c.aborted = p == http.ErrAbortHandler //nolint:errorlint // net/http compares so
			panic(p)
		}
	}()
	c.m.next.ServeHTTP(c.rec, r)
}

// notBegun is the error of a handler that was not called.
type notBegun struct{}

func (notBegun) Error() string {
	return "not begun: the client has gone away, or has waited for too long"
}

// Deferred reports true: the attempt is released.
func (notBegun) Deferred() bool { return true }

// unanswered is the error of a handler that returned without an answer after its context had ended.
type unanswered struct{ error }

func (e unanswered) Unwrap() error { return e.error }

// OutcomeUnknown reports whether the work may have been done; see dedupe.Config.Hold.
func (e unanswered) OutcomeUnknown() bool { return errors.Is(e.error, errTimedOut) }

// failedAnswer is the error of a handler whose answer is a failure.
type failedAnswer struct {
	status   int
	header   http.Header
	body     []byte
	timedOut bool
}

func (e *failedAnswer) Error() string {
	return fmt.Sprintf("answered %d: %.200q", e.status, e.body)
}

// OutcomeUnknown reports whether the work may have been done; see dedupe.Config.Hold.
func (e *failedAnswer) OutcomeUnknown() bool { return e.timedOut }
