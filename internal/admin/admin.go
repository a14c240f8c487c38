// Package admin is the worker's admin server. It also runs the HTTP servers of the worker and the
// producer.
package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Config configures the admin server. An endpoint without a function here answers 404, except
// /healthz and /readyz.
type Config struct {
	// Queues are the queues of the process.
	Queues []Queue
	// Ready is called by GET /readyz, in addition to Ready of the queues. Its error is the reason
	// why the process should get no new work. Nil means ready.
	Ready func() error
	// Metrics answers GET /metrics.
	Metrics http.Handler
	// Drain is called by POST /drain, for authorized requests. It must return soon.
	Drain func()
	// Token authorizes POSTs from other machines. If it is empty, only this machine may POST.
	Token string
	// Hosts are host names, without a port, under which a proxy on this machine may call this
	// server, in addition to localhost and addresses; see [AllowsHost].
	Hosts []string
	// Logger gets a line for each successful POST. Default: none.
	Logger *slog.Logger
	// Version is part of every answer; may be empty.
	Version string

	guesses Guesses
}

// Queue is a queue of the process. A nil func means that the queue has no such function.
type Queue struct {
	// Name is the queue's name.
	Name string
	// Health is called by GET /healthz with the current time. Its error is the reason why the
	// process should be replaced. Nil means always healthy.
	Health func(now time.Time) error
	// Ready is called by GET /readyz. Its error is the reason why the queue should get no new work.
	// Nil means always ready.
	Ready func() error
	// Settings is called by GET /config. Its result must encode to JSON, with secrets masked.
	Settings func() any
	// Pause, Resume and Believe are called by the POSTs with these names. They must return soon.
	// Believe is nil if the queue's handler calls no target.
	Pause, Resume, Believe func()
	// Concurrency is called by POST /concurrency with the number in the body, at least 1. Its error
	// is the reason why the number is refused.
	Concurrency func(n int) error
}

// answer is the response body of most endpoints.
type answer struct {
	Status  string           `json:"status"` // ok, done, unavailable or refused
	Reason  string           `json:"reason,omitempty"`
	Version string           `json:"version,omitempty"`
	Queues  map[string]state `json:"queues,omitempty"` // by name
}

// state is the part of an answer about one queue.
type state struct {
	Status string `json:"status"` // ok, done or unavailable
	Reason string `json:"reason,omitempty"`
}

// New returns the handler of the admin server:
//
//   - GET /healthz and GET /readyz answer 200, or 503 with the reason, in JSON. Neither calls any
//     other process, because a worker must not be restarted when its dependency is down. /healthz
//     answers 503 if one queue is unhealthy, because only a new process cures it. /readyz answers
//     503 if no queue is ready.
//   - GET /metrics.
//   - GET /config answers with the settings of each queue, by name. This and /metrics answer 421 to
//     a request without the token that [AllowsHost] refuses.
//   - POST /pause, /resume and /believe answer 202. They require a request from this machine, or
//     the token. They apply to all queues, or to one with ?queue=NAME. They answer 404 if there is
//     no such queue, or none to which the verb applies, and 400 to another parameter, to a second
//     value of it, and to a body.
//   - POST /concurrency is the same with a number in the body, and answers 400 if the body is not a
//     number of at least 1.
//   - POST /drain is the same for the process.
//
// Other methods get 405. After five wrong tokens from an address, each further one gets 429 unless
// a second has passed. The right token is never refused.
func New(cfg Config) http.Handler {
	cfg.guesses = NewGuesses()
	mux := cfg.probes()
	mux.Handle("GET /config", cfg.named(cfg.takes(http.HandlerFunc(cfg.getConfig))))
	mux.Handle("POST /pause", cfg.verb("pause", plain(func(q Queue) func() { return q.Pause })))
	mux.Handle("POST /resume", cfg.verb("resume", plain(func(q Queue) func() { return q.Resume })))
	mux.Handle("POST /believe", cfg.verb("believe", plain(func(q Queue) func() { return q.Believe })))
	mux.Handle("POST /concurrency", cfg.verb("concurrency", concurrency))
	if cfg.Drain != nil {
		mux.Handle("POST /drain", cfg.guard(cfg.takes(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := noBody(r); err != nil {
				write(w, http.StatusBadRequest, answer{Status: "refused", Reason: err.Error(), Version: cfg.Version})
				return
			}
			cfg.Drain()
			cfg.log(r, "drain")
			write(w, http.StatusAccepted, answer{Status: "done", Version: cfg.Version})
		}))))
	}
	return mux
}

// NewProbes returns the handler of a server for probes and metrics alone: /healthz, /readyz and
// /metrics as in [New]. It shows no message names and changes nothing.
func NewProbes(cfg Config) http.Handler {
	cfg.Token = "" // the token is not accepted here, so it cannot be guessed here
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

// named passes a request to h if its Host header is allowed or it has the token.
func (cfg Config) named(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case AllowsHost(r, cfg.Hosts) || HasToken(r, cfg.Token):
			h.ServeHTTP(w, r)
		case cfg.guesses.Refuses(r, cfg.Token):
			cfg.tooManyGuesses(w)
		default:
			write(w, http.StatusMisdirectedRequest, answer{
				Status: "unavailable", Reason: "the Host header has a foreign name; use localhost or an address", Version: cfg.Version,
			})
		}
	})
}

// tooManyGuesses refuses a request that may be guessing the token.
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

// verb answers the POST of a verb. of reads the request and returns the function to call for a
// queue, or nil if the verb does not apply to it.
func (cfg Config) verb(name string, of func(*http.Request, Queue) (func() error, error)) http.Handler {
	return cfg.guard(cfg.takes(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		queues := make(map[string]state)
		for _, q := range cfg.Queues {
			if query.Has("queue") && query.Get("queue") != q.Name {
				continue
			}
			do, err := of(r, q)
			if err == nil && do != nil {
				queues[q.Name] = state{Status: "done"}
				err = do() // before logging, because a blocked log blocks its writers
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
	}), "queue"))
}

// whyNone returns the reason why the verb applies to no queue.
func (cfg Config) whyNone(verb string, query url.Values) string {
	named := func(q Queue) bool { return q.Name == query.Get("queue") }
	switch {
	case len(cfg.Queues) == 0:
		return "no queue has started yet"
	case !query.Has("queue"):
		return verb + ": applies to no queue here, only " + appliesTo(verb)
	case !slices.ContainsFunc(cfg.Queues, named):
		return fmt.Sprintf("queue %q: not a queue of this worker", query.Get("queue"))
	default:
		return fmt.Sprintf("queue %q: %s applies only %s", query.Get("queue"), verb, appliesTo(verb))
	}
}

// appliesTo describes the queues to which a verb applies.
func appliesTo(verb string) string {
	switch verb {
	case "believe":
		return "to queues with a target"
	case "concurrency":
		return "to queues with slots of their own"
	default:
		return "to running queues"
	}
}

// plain returns a verb without a body.
func plain(of func(Queue) func()) func(*http.Request, Queue) (func() error, error) {
	return func(r *http.Request, q Queue) (func() error, error) {
		do := of(q)
		if err := noBody(r); err != nil || do == nil {
			return nil, err
		}
		return func() error { do(); return nil }, nil
	}
}

// concurrency is the verb with a number of at least 1 in its body.
func concurrency(r *http.Request, q Queue) (func() error, error) {
	if q.Concurrency == nil {
		return nil, nil
	}
	body, err := shortBody(r)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(body)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("body %q: must be a whole number of at least 1", body)
	}
	return func() error { return q.Concurrency(n) }, nil
}

func (cfg Config) log(r *http.Request, action string, fields ...any) {
	if cfg.Logger != nil {
		cfg.Logger.InfoContext(r.Context(), "admin action", append([]any{"action", action, "who", whoIs(r, cfg.Token)}, fields...)...)
	}
}

// writeHealth answers 200, or 503 with the reasons. The reasons of the queues count once at least
// most queues have one. process may be nil.
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
	_ = json.NewEncoder(w).Encode(body) // fails only if the client has gone
}
