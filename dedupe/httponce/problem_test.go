package httponce_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/httponce"
)

// problemOf decodes an error of the middleware and checks its header.
func problemOf(t *testing.T, w *httptest.ResponseRecorder, status int) (p httponce.Problem) {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("answered %d %s %q, want %d", w.Code, w.Header().Get("Content-Type"), w.Body, status)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != status || p.Title == "" || p.Type == "" {
		t.Fatalf("problem %+v, %v", p, err)
	}
	return p
}

func TestWriteProblem(t *testing.T) {
	a := newAPI()
	a.cfg.WriteProblem = func(w http.ResponseWriter, r *http.Request, p httponce.Problem) {
		http.Error(w, r.Method+" "+p.Title, p.Status)
	}
	w := ask(a.handler(t), post("/charges", "", ""))
	if w.Code != 400 || w.Body.String() != "POST Idempotency-Key is missing\n" {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

// Every answer after which a client may repeat its request has Retry-After.
func TestRetryAfter(t *testing.T) {
	a := newAPI()
	a.cfg.RetryAfter = 1500 * time.Millisecond
	stopped, stop := context.WithCancel(t.Context())
	stop()
	a.cfg.Stop = stopped
	if w := ask(a.handler(t), post("/charges", key, "")); w.Header().Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
}
