// Package admin is the worker's admin server, and the way both binaries run an
// HTTP server.
package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config configures the admin server. Endpoints that nothing answers are 404, apart
// from the two about health.
type Config struct {
	// Queues are those that the process works on.
	Queues []Queue
	// Ready is asked by GET /readyz beside the queues; an error is the reason why
	// there should be no new work. Nil means ready.
	Ready func() error
	// Metrics answers GET /metrics.
	Metrics http.Handler
	// Drain is called by POST /drain, and should not take long. It is for those
	// who may act.
	Drain func()
	// Token lets others than this machine POST; empty lets nobody else.
	Token string
	// Hosts are names, without port, under which a proxy on this machine may call
	// this server, beside localhost and addresses; see [AllowsHost].
	Hosts []string
	// Logger gets a line for each pause, resume and drain; nil: none.
	Logger *slog.Logger
	// Version is shown in every answer; may be empty.
	Version string

	guesses Guesses
}

// Queue is a queue that the process works on. A nil func is not there.
type Queue struct {
	// Name is the queue's.
	Name string
	// Health is asked with the current time by GET /healthz; an error is the
	// reason why the process should be replaced. Nil means always healthy.
	Health func(now time.Time) error
	// Ready is asked by GET /readyz; an error is the reason why there should be
	// no new work. Nil means always ready.
	Ready func() error
	// Settings is asked by GET /config for something that encodes to JSON.
	// Secrets must be masked in it already.
	Settings func() any
	// Pause, Resume and Believe are called by POSTs of those names, and should not
	// take long. Believe is nil where the queue's handler calls no target.
	Pause, Resume, Believe func()
	// Concurrency is called by POST /concurrency with the number in its body, from
	// 1. An error says why the number is not taken.
	Concurrency func(n int) error
}

// answer is the body of most endpoints.
type answer struct {
	Status  string           `json:"status"` // ok, done, or unavailable
	Reason  string           `json:"reason,omitempty"`
	Version string           `json:"version,omitempty"`
	Queues  map[string]state `json:"queues,omitempty"` // by name
}

// state is what an endpoint says of one queue.
type state struct {
	Status string `json:"status"` // as in answer
	Reason string `json:"reason,omitempty"`
}

// New returns the admin server's handler:
//
//   - GET /healthz and GET /readyz answer 200, or 503 with the reason, in JSON.
//     Neither asks anything outside the process: a worker whose dependency is
//     down must not be restarted for it. One queue is enough for /healthz, whose cure is a
//     new process; /readyz answers 503 when no queue is ready.
//   - GET /metrics.
//   - GET /config answers with the settings of each queue, by name. Both answer
//     421 where [AllowsHost] does not hold.
//   - POST /pause, /resume and /believe answer 202, for requests of this machine and
//     those with the token. They are about
//     all queues, or with ?queue=NAME about one; 404 when there is none of that name,
//     or none that the verb applies to.
//   - POST /concurrency with a number as its body, as well; 400 when it is no number.
//   - POST /drain, as well, is about the process.
//
// Other methods get 405. An address that sends more than five wrong tokens gets 429 for
// each further one, one a second apart; the right token is never refused.
func New(cfg Config) http.Handler {
	cfg.guesses = NewGuesses()
	mux := cfg.probes()
	mux.Handle("GET /config", cfg.named(http.HandlerFunc(cfg.getConfig)))
	mux.Handle("POST /pause", cfg.verb("pause", plain(func(q Queue) func() { return q.Pause })))
	mux.Handle("POST /resume", cfg.verb("resume", plain(func(q Queue) func() { return q.Resume })))
	mux.Handle("POST /believe", cfg.verb("believe", plain(func(q Queue) func() { return q.Believe })))
	mux.Handle("POST /concurrency", cfg.verb("concurrency", concurrency))
	if cfg.Drain != nil {
		mux.Handle("POST /drain", cfg.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cfg.Drain()
			cfg.log(r, "drain")
			write(w, http.StatusAccepted, answer{Status: "done", Version: cfg.Version})
		})))
	}
	return mux
}

// NewProbes returns the handler of a server for probes and scrapers alone: /healthz,
// /readyz and /metrics as [New] answers them, and nothing else. It tells no names of
// messages, and nothing can be changed through it.
func NewProbes(cfg Config) http.Handler {
	cfg.Token = "" // asked for nowhere, so that it cannot be guessed here
	return cfg.probes()
}

func (cfg Config) probes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now()
		cfg.writeHealth(w, nil, 1, func(q Queue) error {
			if q.Health == nil {
				return nil
			}
			return q.Health(now)
		})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		cfg.writeHealth(w, cfg.Ready, len(cfg.Queues), func(q Queue) error {
			if q.Ready == nil {
				return nil
			}
			return q.Ready()
		})
	})
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.named(cfg.Metrics))
	}
	return mux
}

// named lets h answer requests that were meant for this server.
func (cfg Config) named(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case AllowsHost(r, cfg.Hosts) || HasToken(r, cfg.Token):
			h.ServeHTTP(w, r)
		case cfg.guesses.Refuses(r, cfg.Token):
			cfg.tooManyGuesses(w)
		default:
			write(w, http.StatusMisdirectedRequest, answer{
				Status: "unavailable", Reason: "this machine was asked under a foreign name; use localhost or an address", Version: cfg.Version,
			})
		}
	})
}

// tooManyGuesses answers a request that guesses the token.
func (cfg Config) tooManyGuesses(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	write(w, http.StatusTooManyRequests, answer{Status: "refused", Reason: TooManyGuesses, Version: cfg.Version})
}

// getConfig answers GET /config.
func (cfg Config) getConfig(w http.ResponseWriter, _ *http.Request) {
	all := make(map[string]any)
	for _, q := range cfg.Queues {
		if q.Settings != nil {
			all[q.Name] = q.Settings()
		}
	}
	if len(all) == 0 {
		write(w, http.StatusNotFound, answer{Status: "unavailable", Reason: "no settings are shown", Version: cfg.Version})
		return
	}
	write(w, http.StatusOK, struct {
		Queues map[string]any `json:"queues"`
	}{all})
}

// verb answers the POST of a verb. of reads the request, and returns what the verb
// does to a queue, nil where it does nothing.
func (cfg Config) verb(name string, of func(*http.Request, Queue) (func() error, error)) http.Handler {
	return cfg.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		queues := make(map[string]state)
		for _, q := range cfg.Queues {
			if query.Has("queue") && query.Get("queue") != q.Name {
				continue
			}
			do, err := of(r, q)
			if err == nil && do != nil {
				queues[q.Name] = state{Status: "done"}
				err = do() // before it is logged: a log that nobody reads blocks its writers
			}
			if err != nil {
				write(w, http.StatusBadRequest, answer{Status: "refused", Reason: err.Error(), Version: cfg.Version})
				return
			}
		}
		if len(queues) == 0 {
			write(w, http.StatusNotFound, answer{Status: "unavailable", Reason: cfg.whyNone(name, query), Version: cfg.Version})
			return
		}
		cfg.log(r, name, "queues", slices.Sorted(maps.Keys(queues)))
		write(w, http.StatusAccepted, answer{Status: "done", Version: cfg.Version, Queues: queues})
	}))
}

// whyNone says why the verb has no queue to work on: believe judges the answers of a target,
// concurrency is of queues with slots of their own, and a queue that starts has no verb.
func (cfg Config) whyNone(verb string, query url.Values) string {
	named := func(q Queue) bool { return q.Name == query.Get("queue") }
	switch {
	case len(cfg.Queues) == 0:
		return "no queue works yet"
	case !query.Has("queue"):
		return verb + ": applies to no queue here, only " + appliesTo(verb)
	case !slices.ContainsFunc(cfg.Queues, named):
		return fmt.Sprintf("queue %q: not one of those that work here", query.Get("queue"))
	default:
		return fmt.Sprintf("queue %q: %s applies only %s", query.Get("queue"), verb, appliesTo(verb))
	}
}

// appliesTo says which queues have a verb.
func appliesTo(verb string) string {
	switch verb {
	case "believe":
		return "to queues with a target"
	case "concurrency":
		return "to queues with slots of their own"
	default:
		return "to queues that work"
	}
}

// plain is a verb without a body.
func plain(of func(Queue) func()) func(*http.Request, Queue) (func() error, error) {
	return func(_ *http.Request, q Queue) (func() error, error) {
		do := of(q)
		if do == nil {
			return nil, nil
		}
		return func() error { do(); return nil }, nil
	}
}

// concurrency is the verb whose body is a whole number from 1 on.
func concurrency(r *http.Request, q Queue) (func() error, error) {
	if q.Concurrency == nil {
		return nil, nil
	}
	const longest = 20
	body, err := io.ReadAll(io.LimitReader(r.Body, longest))
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body)) // for the next queue
	n, err := strconv.Atoi(strings.TrimSpace(string(body)))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("body %.20q: must be a whole number of at least 1", body)
	}
	return func() error { return q.Concurrency(n) }, nil
}

func (cfg Config) log(r *http.Request, action string, fields ...any) {
	if cfg.Logger != nil {
		cfg.Logger.InfoContext(r.Context(), "admin action", append([]any{"action", action, "who", whoIs(r, cfg.Token)}, fields...)...)
	}
}

// writeHealth answers 200, or 503 with the reason of the process (nil: none), or with those of
// the queues once most of them have one.
func (cfg Config) writeHealth(w http.ResponseWriter, process func() error, most int, of func(Queue) error) {
	body := answer{Status: "ok", Version: cfg.Version, Queues: make(map[string]state)}
	var reasons []error
	for _, q := range cfg.Queues {
		is := state{Status: "ok"}
		if err := of(q); err != nil {
			is = state{Status: "unavailable", Reason: err.Error()}
			reasons = append(reasons, fmt.Errorf("queue %s: %w", q.Name, err))
		}
		body.Queues[q.Name] = is
	}
	if len(reasons) < most {
		reasons = nil // each is shown with its queue
	}
	if process != nil {
		reasons = append(reasons, process())
	}
	status := http.StatusOK
	if err := errors.Join(reasons...); err != nil {
		status, body.Status, body.Reason = http.StatusServiceUnavailable, "unavailable", err.Error()
	}
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone needs no answer
}
