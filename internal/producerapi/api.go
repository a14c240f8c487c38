// Package producerapi is the HTTP front of a queue: POST puts a named message
// on it, GET says what became of a name, and operators settle what is stuck.
//
// A 202 is answered only after SQS has accepted that very message. A 503 says
// that it was not accepted as far as anybody knows: sending it again is safe,
// because the name makes both copies one piece of work.
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

// Config says what the API works on. The zero value of a field that is not
// required means its default.
type Config struct {
	// SQS and QueueURL are the queue that messages go to. Required.
	SQS      *sqs.Client
	QueueURL string

	// DLQURL is the dead-letter queue that operators look into. Default: the
	// target of the queue's redrive policy, looked up when first needed.
	DLQURL string

	// Records is where outcomes are read. Required. Operators' verbs need it to
	// be a [dedupe.Store] too.
	Records dedupe.Reader

	// Scope prefixes every name in the store; the workers' own. Required.
	Scope string

	// Keys finds names and fingerprints in bodies; the workers' own. Required.
	Keys *names.Extractor

	// Payloads fetches what dead letters point to in S3, for their names. Nil: such letters
	// have a name only where the message itself says it.
	Payloads deadletter.Payloads

	// Skew and Window are the workers' own. Defaults: those of
	// [dedupe.Config].
	Skew   time.Duration
	Window time.Duration

	// CacheAge is how long workers may answer from memory after a name was
	// forgotten. Default 60s, which is theirs.
	CacheAge time.Duration

	// AuthTokens are the bearer tokens that are accepted; several, so that they
	// can be rotated. Empty: everybody may send and read, nobody may forget,
	// resolve or touch the dead-letter queue.
	AuthTokens []string

	// AnyHost lets requests from this machine in under any name, where AuthTokens
	// is empty: for a proxy on it that passes on the names it was asked for. Without
	// it they have to name localhost or an address, so that no web page that a
	// browser on this machine shows can send them.
	AnyHost bool

	// ClientRate is how many requests a second one client (a token, or without
	// one an IP address; of IPv6 a /64) may make, with bursts of twice that. Each
	// message of a batch counts as a request. Zero: no limit.
	ClientRate float64

	// PathPrefixes are paths that are mirrored: a POST, PUT, PATCH or DELETE to one of
	// them or below is a message that carries method, path, query and PathHeaders, for a
	// worker that makes the request of its target. Paths of this API go first. Its name
	// is the Idempotency-Key, or is in the body. Defaults: no paths; the headers that
	// describe a body, a language or a condition (mirror.DefaultHeaders).
	PathPrefixes []string
	PathHeaders  []string

	// LocalOperators makes an operator of a client on this machine, not behind a
	// proxy, where AuthTokens is empty: for a server whose data lives in this
	// process, and is nobody else's.
	LocalOperators bool

	// Embedded is for an API in the process of its only client: a problem shows
	// its cause, and an address where nothing listens is not tried again.
	Embedded bool

	// SendTimeout bounds the tries to get one message accepted. Default 10s.
	SendTimeout time.Duration

	// MaxPending bounds the bytes of all bodies that are in memory, from their
	// arrival until their request is answered. One client may hold as much as is
	// free, so half of it when it is alone. Beyond that requests get 503 at once.
	// Default 64 MiB; at least 32 MiB.
	MaxPending int64

	// Logger gets one line for each request, and what an operator should know.
	// Default [slog.Default].
	Logger *slog.Logger

	// LogRate is how many requests a second are logged at most, of each kind: done,
	// refused (4xx) and failed (5xx). A line says how many of its kind were left out
	// before it. Zero: no limit.
	LogRate float64

	// Scheduler keeps messages that are delayed for longer than SQS does itself: 15 minutes,
	// on a FIFO queue not at all. Nil: such delays are refused.
	Scheduler schedule.Scheduler

	// Metrics answers GET /metrics, where the token is needed as for any other
	// request. Nil: there is no such path.
	Metrics http.Handler

	// Watch is told of each request before anything of it is read, with its path in
	// the document ("" for none). It returns the request to go on with, and a function
	// to be called with the status of the answer. Nil: not told.
	Watch func(r *http.Request, route string) (*http.Request, func(status int))

	// Sent is told what came of each message that was given to SQS: accepted, refused
	// (for good), or failed. Nil: not told.
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

// validate reports everything that is wrong with c, defaults filled in.
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

// API answers the requests. Use New; safe for concurrent use. It holds no
// goroutine of its own while no request is under way.
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
	document []byte // in OpenAPI

	dead *deadletter.Queue // nil: Records cannot be written
}

// New returns the API's handler, or an error that lists everything wrong with
// cfg. It makes no call. Close it after its server has stopped.
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
			&huma.Operation{Path: "/metrics", Metadata: map[string]any{isQuiet: true}},
			func(ctx huma.Context) { c := exchangeOf(ctx.Context()); cfg.Metrics.ServeHTTP(c.w, c.Request) },
		}
	}
	return a, a.describe()
}

// Close waits until every message that was handed to SQS has its answer.
func (a *API) Close() {
	a.sender.Close()
	a.watches.wait()
}

// fifo reports whether the queue is a FIFO queue.
func (a *API) fifo() bool { return strings.HasSuffix(a.cfg.QueueURL, ".fifo") }
