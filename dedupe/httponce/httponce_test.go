package httponce_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/httponce"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// api is a guarded handler with the settings of a test.
type api struct {
	store dedupe.Store
	guard dedupe.Config
	cfg   httponce.Config
	ran   atomic.Int64
	serve func(n int64, w http.ResponseWriter, r *http.Request) // nil: a new charge
}

func newAPI() *api {
	return &api{
		store: memstore.New(),
		guard: dedupe.Config{Scope: "api", Logger: slog.New(slog.DiscardHandler)},
	}
}

// handler returns the handler of one process.
func (a *api) handler(t *testing.T) http.Handler {
	t.Helper()
	guarded, err := httponce.New(a.store, a.guard, a.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := a.ran.Add(1)
		if a.serve != nil {
			a.serve(n, w, r)
			return
		}
		w.Header().Set("Location", "/charges/"+strconv.FormatInt(n, 10))
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "charge "+strconv.FormatInt(n, 10))
	}))
}

const key = `"8e03978e-40d5-43e8-bc93-6894a57f9324"`

// post returns a request with a key, or without one if key is empty.
func post(path, key, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if key != "" {
		r.Header.Set(httponce.Header, key)
	}
	return r
}

func ask(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		serve  func(w http.ResponseWriter, r *http.Request)
		status int
	}{
		"500":        {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) }, 500},
		"503":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, 503},
		"panic":      {func(http.ResponseWriter, *http.Request) { panic("broken") }, 500},
		"bad status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) }, 500},
		"switching":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) }, 500},
		"limit":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, 429},
		"timed out":  {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504},
		"late 500": {func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusInternalServerError)
		}, 500},
		"unmet effects": {func(w http.ResponseWriter, r *http.Request) {
			addEffect(r.Context())
			w.WriteHeader(http.StatusCreated)
		}, 500},
		"hijack refused": {func(w http.ResponseWriter, _ *http.Request) { hijack(w) }, 500},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				a.guard.MaxAttempts = 3
				a.cfg.Failures = []int{429}
				a.serve = func(n int64, w http.ResponseWriter, r *http.Request) {
					if n < 3 {
						tc.serve(w, r)
						return
					}
					_, _ = io.WriteString(w, "ok")
				}
				h := a.handler(t)
				for range 2 {
					if w := ask(h, post("/charges", key, "")); w.Code != tc.status {
						t.Errorf("answered %d %s, want %d", w.Code, w.Body, tc.status)
					}
				}
				for range 2 {
					if w := ask(h, post("/charges", key, "")); w.Code != 200 || w.Body.String() != "ok" {
						t.Errorf("answered %d %s after the failures", w.Code, w.Body)
					}
				}
				if a.ran.Load() != 3 {
					t.Errorf("ran %d times, want 3", a.ran.Load())
				}
			})
		})
	}
}

// addEffect adds a write whose condition fails.
func addEffect(ctx context.Context) {
	err := memstore.Add(ctx, memstore.Write{Key: "stock", Update: func(any) (any, error) { return nil, errors.New("out of stock") }})
	if err != nil {
		panic(err)
	}
}

func hijack(w http.ResponseWriter) {
	if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
		w.WriteHeader(http.StatusOK)
		return
	}
	panic("not supported")
}

// An answer below 500 is a result, even after the time-out.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		a.serve = func(_ int64, w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusCreated)
		}
		h := a.handler(t)
		for range 2 {
			if w := ask(h, post("/charges", key, "")); w.Code != http.StatusCreated {
				t.Errorf("answered %d", w.Code)
			}
		}
	})
}

func TestFailedForGood(t *testing.T) {
	a := newAPI()
	a.guard.MaxAttempts = 2
	a.serve = func(_ int64, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "own words", http.StatusBadGateway)
	}
	h := a.handler(t)
	for range 2 {
		if w := ask(h, post("/charges", key, "")); w.Code != http.StatusBadGateway || w.Body.String() != "own words\n" {
			t.Errorf("answered %d %s", w.Code, w.Body)
		}
	}
	w := ask(h, post("/charges", key, ""))
	if problemOf(t, w, http.StatusConflict); w.Header().Get("Retry-After") != "" || a.ran.Load() != 2 {
		t.Errorf("Retry-After %q, ran %d times", w.Header().Get("Retry-After"), a.ran.Load())
	}
}

// With Hold, a name of unknown outcome does not run again.
func TestHold(t *testing.T) {
	for name, tc := range map[string]struct {
		serve  func(w http.ResponseWriter, r *http.Request)
		status int
		again  bool
	}{
		"panic":     {func(http.ResponseWriter, *http.Request) { panic("broken") }, 500, false},
		"timed out": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504, false},
		"late 500": {func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusInternalServerError)
		}, 500, false},
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, 500, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				a.guard.Hold = true
				a.serve = func(_ int64, w http.ResponseWriter, r *http.Request) { tc.serve(w, r) }
				h := a.handler(t)
				if w := ask(h, post("/charges", key, "")); w.Code != tc.status {
					t.Errorf("first: %d", w.Code)
				}
				w := ask(h, post("/charges", key, ""))
				if tc.again {
					if a.ran.Load() != 2 {
						t.Errorf("ran %d times", a.ran.Load())
					}
					return
				}
				if problemOf(t, w, http.StatusConflict); a.ran.Load() != 1 {
					t.Errorf("ran %d times", a.ran.Load())
				}
			})
		})
	}
}

// Panics are answered 500, or raised: http.ErrAbortHandler always, others with Repanic.
func TestPanic(t *testing.T) {
	for name, tc := range map[string]struct {
		value   any
		repanic bool
		raised  bool
	}{
		"answered": {"broken", false, false},
		"raised":   {"broken", true, true},
		"abort":    {http.ErrAbortHandler, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI()
			a.guard.Repanic = tc.repanic
			a.serve = func(int64, http.ResponseWriter, *http.Request) { panic(tc.value) }
			h := a.handler(t)
			defer func() {
				if p := recover(); (p != nil) != tc.raised || p != nil && p != tc.value {
					t.Errorf("raised %v", p)
				}
				rec, err := a.store.(dedupe.Reader).Get(t.Context(), "api#POST /charges "+strings.Trim(key, `"`))
				if err != nil || rec.Status != protocol.Retrying || rec.Attempts != 1 {
					t.Errorf("recorded as %s with %d attempts, %v", rec.Status, rec.Attempts, err)
				}
			}()
			ask(h, post("/charges", key, ""))
		})
	}
}

// While a request is in progress, in this process or another, repeats are answered 409, or, with
// Wait, get its answer. The handler runs once.
func TestConcurrent(t *testing.T) {
	for name, tc := range map[string]struct{ here, wait bool }{
		"here": {true, false}, "elsewhere": {false, false}, "here, waits": {true, true}, "elsewhere, waits": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				a.guard.Wait, a.cfg.Patience = tc.wait, 15*time.Second
				a.serve = func(_ int64, w http.ResponseWriter, _ *http.Request) {
					time.Sleep(5 * time.Second)
					_, _ = io.WriteString(w, "ok")
				}
				first := a.handler(t)
				second := first
				if !tc.here {
					second = a.handler(t)
				}
				var all sync.WaitGroup
				all.Go(func() { ask(first, post("/charges", key, "")) })
				synctest.Wait()
				for range 10 {
					all.Go(func() {
						w := ask(second, post("/charges", key, ""))
						if tc.wait {
							if w.Code != 200 || w.Body.String() != "ok" {
								t.Errorf("answered %d %s", w.Code, w.Body)
							}
							return
						}
						if problemOf(t, w, http.StatusConflict); w.Header().Get("Retry-After") != "2" {
							t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
						}
					})
				}
				all.Wait()
				if a.ran.Load() != 1 {
					t.Errorf("ran %d times", a.ran.Load())
				}
			})
		})
	}
}

// A repeat waits for an answer no longer than Config.Patience.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		a.guard.Wait = true
		a.cfg.Timeout = -1
		a.serve = func(int64, http.ResponseWriter, *http.Request) { time.Sleep(time.Hour) }
		var all sync.WaitGroup
		h := a.handler(t)
		all.Go(func() { ask(h, post("/charges", key, "")) })
		synctest.Wait()
		begun := time.Now()
		problemOf(t, ask(h, post("/charges", key, "")), http.StatusConflict)
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("waited %s", took)
		}
		gone, leave := context.WithTimeout(t.Context(), time.Second) // a client that goes away during its wait
		defer leave()
		begun = time.Now()
		ask(h, post("/charges", key, "").WithContext(gone))
		if took := time.Since(begun); took != time.Second {
			t.Errorf("waited %s for a client that had gone", took)
		}
		all.Wait()
	})
}

// down is a store that does not answer.
type down struct{}

func (down) Swap(context.Context, protocol.Version, protocol.Record) error {
	return errors.New("no route")
}

func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		a.store = down{}
		begun := time.Now()
		w := ask(a.handler(t), post("/charges", key, ""))
		problemOf(t, w, http.StatusServiceUnavailable)
		if took := time.Since(begun); w.Header().Get("Retry-After") == "" || a.ran.Load() != 0 || took > 15*time.Second {
			t.Errorf("after %s, Retry-After %q, ran %d times", took, w.Header().Get("Retry-After"), a.ran.Load())
		}
	})
}

// The end of Stop ends handlers, and their attempts do not count.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		stopping, stop := context.WithCancel(t.Context())
		a.cfg.Stop = stopping
		a.serve = func(_ int64, _ http.ResponseWriter, r *http.Request) {
			stop()
			<-r.Context().Done()
		}
		problemOf(t, ask(a.handler(t), post("/charges", key, "")), http.StatusServiceUnavailable)
		problemOf(t, ask(a.handler(t), post("/charges", `"other"`, "")), http.StatusServiceUnavailable)
		if a.ran.Load() != 1 {
			t.Errorf("ran %d times: a request was begun after the stop", a.ran.Load())
		}
		a.cfg.Stop = nil
		a.serve = func(_ int64, w http.ResponseWriter, r *http.Request) {
			if at, ok := dedupe.AttemptFrom(r.Context()); !ok || at.Number != 1 {
				t.Errorf("attempt %+v", at)
			}
			w.WriteHeader(http.StatusCreated)
		}
		if w := ask(a.handler(t), post("/charges", key, "")); w.Code != http.StatusCreated {
			t.Errorf("answered %d after the stop", w.Code)
		}
	})
}
