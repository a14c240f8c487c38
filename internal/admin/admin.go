// Package admin is the worker's admin server, and the way both binaries run an
// HTTP server.
package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// Config says what the admin server answers with.
type Config struct {
	// Health is asked with the current time by GET /healthz; an error is the
	// reason why the process should be replaced. Nil means always healthy.
	Health func(now time.Time) error
	// Ready is asked by GET /readyz; an error is the reason why there should be
	// no new work. Nil means always ready.
	Ready func() error
	// Version is shown in every answer; may be empty.
	Version string
}

// answer is the body of both endpoints.
type answer struct {
	Status  string `json:"status"` // ok or unavailable
	Reason  string `json:"reason,omitempty"`
	Version string `json:"version,omitempty"`
}

// New returns the admin server's handler: GET /healthz and GET /readyz answer
// 200, or 503 with the reason, in JSON; other methods get 405. Neither asks
// anything outside the process: a worker whose dependency is down must not be
// restarted for it.
func New(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		var err error
		if cfg.Health != nil {
			err = cfg.Health(time.Now())
		}
		write(w, cfg.Version, err)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		var err error
		if cfg.Ready != nil {
			err = cfg.Ready()
		}
		write(w, cfg.Version, err)
	})
	return mux
}

// write answers 200, or 503 with err as the reason.
func write(w http.ResponseWriter, version string, err error) {
	status, body := http.StatusOK, answer{Status: "ok", Version: version}
	if err != nil {
		status, body.Status, body.Reason = http.StatusServiceUnavailable, "unavailable", err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone needs no answer
}
