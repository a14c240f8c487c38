// Package admin is the worker's admin server, and the way both binaries run an
// HTTP server.
package admin

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"
)

// Config says what the admin server answers with. Endpoints whose field is nil
// answer 404, apart from the two about health.
type Config struct {
	// Health is asked with the current time by GET /healthz; an error is the
	// reason why the process should be replaced. Nil means always healthy.
	Health func(now time.Time) error
	// Ready is asked by GET /readyz; an error is the reason why there should be
	// no new work. Nil means always ready.
	Ready func() error
	// Metrics answers GET /metrics.
	Metrics http.Handler
	// Settings is asked by GET /config for something that encodes to JSON.
	// Secrets must be masked in it already.
	Settings func() any
	// Pause, Resume and Drain are called by POSTs of those names, and should
	// not take long. See [Guard] for who may do that.
	Pause, Resume, Drain func()
	// Token lets others than this machine POST; empty lets nobody else.
	Token string
	// Logger is told who has paused, resumed or drained; nil: nobody is.
	Logger *slog.Logger
	// Version is shown in every answer; may be empty.
	Version string
}

// answer is the body of most endpoints.
type answer struct {
	Status  string `json:"status"` // ok, done, or unavailable
	Reason  string `json:"reason,omitempty"`
	Version string `json:"version,omitempty"`
}

// New returns the admin server's handler:
//
//   - GET /healthz and GET /readyz answer 200, or 503 with the reason, in JSON.
//     Neither asks anything outside the process: a worker whose dependency is
//     down must not be restarted for it.
//   - GET /metrics and GET /config.
//   - POST /pause, /resume and /drain answer 202, behind [Guard].
//
// Other methods get 405.
func New(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		var err error
		if cfg.Health != nil {
			err = cfg.Health(time.Now())
		}
		writeHealth(w, cfg.Version, err)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		var err error
		if cfg.Ready != nil {
			err = cfg.Ready()
		}
		writeHealth(w, cfg.Version, err)
	})
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	}
	if cfg.Settings != nil {
		mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
			write(w, http.StatusOK, cfg.Settings())
		})
	}
	for path, verb := range map[string]func(){"/pause": cfg.Pause, "/resume": cfg.Resume, "/drain": cfg.Drain} {
		if verb == nil {
			continue
		}
		mux.Handle("POST "+path, Guard(cfg.Token, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			verb() // before it is logged: a log that nobody reads blocks its writers
			if cfg.Logger != nil {
				cfg.Logger.InfoContext(r.Context(), "admin action", "action", path[1:], "who", whoIs(r, cfg.Token))
			}
			write(w, http.StatusAccepted, answer{Status: "done", Version: cfg.Version})
		})))
	}
	return mux
}

// writeHealth answers 200, or 503 with err as the reason.
func writeHealth(w http.ResponseWriter, version string, err error) {
	status, body := http.StatusOK, answer{Status: "ok", Version: version}
	if err != nil {
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
