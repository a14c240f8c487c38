// Package producerapi is an HTTP API for a queue: POST sends a named message, GET returns the
// outcome of a name, and operators settle stuck names and dead letters.
//
// The API answers 202 only after SQS has accepted the message. After a 503 SQS may or may not have
// accepted it. Sending it again is safe, because the second copy is a duplicate of the name.
package producerapi

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/danielgtaylor/huma/v2"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/batch"
	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/internal/mirror"
	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/names"
)

// Defaults of [Config].
const (
	DefaultSendTimeout = 10 * time.Second
	DefaultMaxPending  = 64 << 20
)

// minPending leaves one client room for two of the largest requests.
const minPending = 4 * maxBatchBody

// Config configures an API. The zero value of an optional field means its default.
type Config struct {
	// SQS and QueueURL are the client and the queue for messages. Required.
	SQS      *sqs.Client
	QueueURL string

	// DLQURL is the dead-letter queue for operators. Default: the target of the queue's redrive
	// policy, looked up at its first use.
	DLQURL string

	// Records reads outcomes. Required. Operators can change records only if it also is a
	// [dedupe.Store].
	Records dedupe.Reader

	// Scope prefixes every name in the store; the same as the workers'. Required.
	Scope string

	// Keys reads names and fingerprints of bodies; the same as the workers'. Required.
	Keys *names.Extractor

	// Payloads fetches the S3 payloads of dead letters, to read their names. Nil: such a letter has a
	// name only if an attribute holds it.
	Payloads deadletter.Payloads

	// Skew and Window must be the same as the workers'. Defaults: those of [dedupe.Config].
	Skew   time.Duration
	Window time.Duration

	// CacheAge is the time for which workers may answer from their caches after a name was
	// forgotten. Default 60s, the same as the workers'.
	CacheAge time.Duration

	// AuthTokens are the accepted bearer tokens; several, so that they can be rotated. Empty: every
	// client may send and read, and none may forget, resolve or use the dead-letter queue.
	AuthTokens []string

	// AnyHost accepts requests from this machine under any host name if AuthTokens is empty, for a
	// proxy that keeps the Host header. Without it their host must be localhost or an address, so
	// that web pages in a browser on this machine cannot send requests.
	AnyHost bool

	// ClientRate is the number of requests per second of one client, with bursts of twice that. A
	// client is a token, or without tokens an IPv4 address or an IPv6 /64. Each message of a batch
	// counts as a request. Zero: no limit.
	ClientRate float64

	// PathPrefixes are mirrored paths: a POST, PUT, PATCH or DELETE to one of them, or to a path
	// below, becomes a message that carries method, path, query and PathHeaders. A worker sends that
	// request to its target. Paths of this API take precedence. The name is the Idempotency-Key, or
	// is in the body. Defaults: no paths; mirror.DefaultHeaders.
	PathPrefixes []string
	PathHeaders  []string

	// LocalOperators makes clients on this machine operators if AuthTokens is empty and they use no
	// proxy. It is for a server whose data lives in this process.
	LocalOperators bool

	// Embedded is for an API in the process of its only client: problems show their causes, and a
	// refused connection is not retried.
	Embedded bool

	// SendTimeout bounds all tries to send one message. Default 10s.
	SendTimeout time.Duration

	// MaxPending bounds the bytes of all bodies in memory, from their arrival until their request is
	// answered. One client may hold as much as is free, which is half of it for a single client.
	// Further requests get 503 at once. Default 64 MiB; at least 32 MiB.
	MaxPending int64

	// Logger logs each request, warnings and operators' actions. Default [slog.Default].
	Logger *slog.Logger

	// LogRate bounds the requests logged per second, of each kind: done, refused (4xx) and failed
	// (5xx). The next line of a kind reports how many were left out. Zero: no limit.
	LogRate float64

	// Scheduler sends messages that SQS itself cannot delay: for more than 15 minutes, or on a FIFO
	// queue. Nil: such delays are refused.
	Scheduler schedule.Scheduler

	// Metrics answers GET /metrics, which needs the token. Nil: no such path.
	Metrics http.Handler

	// Watch is called for each request before it is read, with its path in the OpenAPI document; ""
	// for none. It returns the request to continue with, and a function that is called with the
	// status of the answer. May be nil.
	Watch func(r *http.Request, route string) (*http.Request, func(status int))

	// Sent is called with the outcome of each message passed to SQS: accepted, refused (for good) or
	// failed. May be nil.
	Sent func(outcome string)
}

// withDefaults returns a copy of c with the defaults filled in.
func (c Config) withDefaults() Config {
	guard := dedupe.Config{}.WithDefaults()
	c.Skew = cmp.Or(c.Skew, guard.Skew)
	c.Window = cmp.Or(c.Window, guard.Window)
	c.CacheAge = cmp.Or(c.CacheAge, guard.CacheAge)
	c.SendTimeout = cmp.Or(c.SendTimeout, DefaultSendTimeout)
	c.MaxPending = cmp.Or(c.MaxPending, DefaultMaxPending)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.PathHeaders == nil && len(c.PathPrefixes) > 0 {
		c.PathHeaders = mirror.DefaultHeaders
	}
	return c
}

// validate returns all problems of c, whose defaults are filled in.
func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.SQS == nil {
		bad("SQS: must be set")
	}
	if c.QueueURL == "" {
		bad("QueueURL: must be set")
	}
	if c.Records == nil {
		bad("Records: must be set")
	}
	if c.Keys == nil {
		bad("Keys: must be set")
	}
	if err := protocol.CheckScope(c.Scope); err != nil {
		bad("Scope: %w", err)
	}
	if c.SendTimeout < 0 {
		bad("SendTimeout %s: must not be negative", c.SendTimeout)
	}
	if c.MaxPending < minPending {
		bad("MaxPending %d: must be at least %d bytes", c.MaxPending, minPending)
	}
	if c.ClientRate < 0 {
		bad("ClientRate %g: must not be negative", c.ClientRate)
	}
	if c.LogRate < 0 {
		bad("LogRate %g: must not be negative", c.LogRate)
	}
	errs = append(errs, c.checkMirror()...)
	for i, token := range c.AuthTokens {
		if token == "" {
			bad("AuthTokens[%d]: must not be empty", i)
		}
	}
	return errors.Join(errs...)
}

// API is the HTTP handler. Create it with [New]. It is safe for concurrent use, and runs no
// goroutine while no request is under way.
type API struct {
	cfg     Config
	names   *dedupe.Operator // nil: Records cannot be written
	tokens  [][sha256.Size]byte
	sender  *batch.Batcher[outgoing, accepted]
	pending *budget
	watches watches
	rates   *rates
	guesses admin.Guesses
	ready   readiness
	samples samples

	routes   *routes
	huma     huma.API
	document []byte // the OpenAPI document

	dead *deadletter.Queue // nil: Records cannot be written
}

// New returns the API's handler, or an error that lists all problems of cfg. It makes no call. Call
// Close after the server has stopped.
func New(cfg Config) (*API, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("producerapi: %w", err)
	}
	a := &API{cfg: cfg, pending: newBudget(cfg.MaxPending), rates: newRates(cfg.ClientRate), guesses: admin.NewGuesses(), samples: newSamples(cfg.LogRate)}
	if store, ok := cfg.Records.(dedupe.Store); ok {
		var err error
		a.names, err = dedupe.NewOperator(store, dedupe.Config{
			Scope: cfg.Scope, Skew: cfg.Skew, Window: cfg.Window, CacheAge: cfg.CacheAge, Logger: cfg.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("producerapi: %w", err)
		}
		if a.dead, err = a.newDeadLetters(); err != nil {
			return nil, fmt.Errorf("producerapi: %w", err)
		}
	}
	for _, token := range cfg.AuthTokens {
		a.tokens = append(a.tokens, sha256.Sum256([]byte(token)))
	}
	a.sender = newSender(cfg, a.sendBatch)
	a.watches.read = a.record
	a.routes = &routes{fixed: make(map[string]methods), serve: a.ServeHTTP}
	a.huma = newHuma(a.routes)
	a.operations()
	if cfg.Metrics != nil {
		a.routes.at("/metrics")[http.MethodGet] = &operation{
			&huma.Operation{Path: "/metrics", Metadata: map[string]any{isQuiet: true, anyQuery: true}},
			func(ctx huma.Context) { c := exchangeOf(ctx.Context()); cfg.Metrics.ServeHTTP(c.w, c.Request) },
		}
	}
	return a, a.describe()
}

// Close waits for the calls to SQS and the reads under way.
func (a *API) Close() {
	a.sender.Close()
	a.watches.wait()
}

// fifo reports whether the queue is a FIFO queue.
func (a *API) fifo() bool { return strings.HasSuffix(a.cfg.QueueURL, ".fifo") }
