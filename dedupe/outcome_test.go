package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

// rpcError stands for the errors of gRPC and of database drivers, which do not wrap
// the context's error when a call is cancelled.
type rpcError struct{}

func (rpcError) Error() string { return "rpc error: code = Canceled desc = context canceled" }

type down struct{ error }

func (down) Down() bool { return true }

type deferral struct{ error }

func (deferral) Deferred() bool            { return true }
func (deferral) RetryAfter() time.Duration { return 7 * time.Second }

// shared is the error of a batch that failed as a whole.
type shared struct{ error }

func (s shared) Unwrap() error { return s.error }
func (shared) Shared() bool    { return true }

// notBegun is the error of a message whose batch had not begun.
type notBegun struct{ error }

func (n notBegun) Unwrap() error { return n.error }
func (notBegun) NotBegun() bool  { return true }

// The ends of a handler, once its caller's context has ended, or after a second.
var ends = map[string]func(context.Context) (string, error){
	"nil":        returns("done", nil),
	"own":        func(ctx context.Context) (string, error) { return "", context.Cause(ctx) },
	"foreign":    returns("", rpcError{}),
	"permanent":  returns("", permanent{}),
	"down":       returns("", down{errors.New("refused")}),
	"deferred":   returns("", deferral{errors.New("busy")}),
	"panic":      func(context.Context) (string, error) { panic("ouch") },
	"goexit":     func(context.Context) (string, error) { runtime.Goexit(); return "", nil },
	"unknowable": returns("", unknowable{}),
	"shared":     returns("", shared{permanent{}}),
	"lost touch": returns("", shared{unknowable{}}),
	"not begun":  func(ctx context.Context) (string, error) { return "", notBegun{context.Cause(ctx)} },
}

// outcomeCase is the end of a handler under a state of its caller, and the outcome of the name.
type outcomeCase struct {
	stop     string // of the caller's context: "", "cancel" or "deadline"
	end      string
	status   protocol.Status // and under hold
	hold     protocol.Status
	attempts int
}

func TestOutcome(t *testing.T) {
	const retrying, rejected, unknown, completed = protocol.Retrying, protocol.Rejected, protocol.Unknown, protocol.Completed
	for name, tc := range map[string]outcomeCase{
		"success":                       {"", "nil", completed, completed, 1},
		"success after a stop":          {"cancel", "nil", completed, completed, 1},
		"success after the deadline":    {"deadline", "nil", completed, completed, 1},
		"failure":                       {"", "foreign", retrying, retrying, 1},
		"unknown outcome":               {"", "unknowable", retrying, unknown, 1},
		"panic":                         {"", "panic", retrying, unknown, 1},
		"goroutine ended":               {"", "goexit", retrying, unknown, 1},
		"permanent":                     {"", "permanent", rejected, rejected, 1},
		"down":                          {"", "down", retrying, retrying, 0},
		"deferred":                      {"", "deferred", retrying, retrying, 0},
		"shared":                        {"", "shared", retrying, retrying, 0},
		"shared, unknown outcome":       {"", "lost touch", retrying, unknown, 0},
		"stop, shared":                  {"cancel", "lost touch", retrying, unknown, 0},
		"deadline, shared":              {"deadline", "shared", retrying, unknown, 0},
		"stop, not begun":               {"cancel", "not begun", retrying, retrying, 0},
		"deadline, not begun":           {"deadline", "not begun", retrying, retrying, 0},
		"stop":                          {"cancel", "own", retrying, unknown, 0},
		"stop, foreign error":           {"cancel", "foreign", retrying, unknown, 0},
		"stop, unknown outcome":         {"cancel", "unknowable", retrying, unknown, 0},
		"stop, permanent":               {"cancel", "permanent", rejected, rejected, 1},
		"stop, down":                    {"cancel", "down", retrying, retrying, 0},
		"stop, deferred":                {"cancel", "deferred", retrying, retrying, 0},
		"stop, panic":                   {"cancel", "panic", retrying, unknown, 0},
		"deadline":                      {"deadline", "own", retrying, unknown, 1},
		"deadline, foreign error":       {"deadline", "foreign", retrying, unknown, 1},
		"deadline, permanent":           {"deadline", "permanent", rejected, rejected, 1},
		"deadline, down":                {"deadline", "down", retrying, retrying, 0},
		"deadline, deferred":            {"deadline", "deferred", retrying, retrying, 0},
		"deadline, panic":               {"deadline", "panic", retrying, unknown, 1},
		"deadline, and goroutine ended": {"deadline", "goexit", retrying, unknown, 1},
		"stop, and goroutine ended":     {"cancel", "goexit", retrying, unknown, 0},
		"deadline, and unknown outcome": {"deadline", "unknowable", retrying, unknown, 1},
	} {
		t.Run(name, func(t *testing.T) { tc.check(t, false) })
		held := tc
		if held.status = tc.hold; tc.hold == unknown {
			held.attempts = 1 // a parked attempt always counts
		}
		t.Run(name+", hold", func(t *testing.T) { held.check(t, true) })
	}
}

func (tc outcomeCase) check(t *testing.T, hold bool) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.Hold = hold
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		switch tc.stop {
		case "cancel":
			time.AfterFunc(time.Second, cancel)
		case "deadline":
			timed, stop := context.WithTimeout(ctx, time.Second)
			defer stop()
			ctx = timed
		}
		var wg sync.WaitGroup
		wg.Go(func() { // of its own, for runtime.Goexit
			_, _ = b.guard(t).Do(ctx, key, func(ctx context.Context) (string, error) {
				if tc.stop == "" {
					time.Sleep(time.Second)
				} else {
					<-ctx.Done()
				}
				return ends[tc.end](ctx)
			})
		})
		wg.Wait()
		if r := b.record(t); r.Status != tc.status || r.Attempts != tc.attempts {
			t.Errorf("%s after %d attempts (%s), want %s after %d", r.Status, r.Attempts, r.Error, tc.status, tc.attempts)
		}
	})
}

// unknowable is the error of a request whose answer did not come.
type unknowable struct{}

func (unknowable) Error() string        { return "no answer" }
func (unknowable) OutcomeUnknown() bool { return true }

// Work that always takes longer than its caller's deadline is rejected in the end.
func TestADeadlineCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.MaxAttempts = 5
		ran := 0
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, _ = b.guard(t).Do(ctx, key, func(ctx context.Context) (string, error) {
				ran++
				<-ctx.Done()
				return "", ctx.Err()
			})
			cancel()
		}
		if r := b.record(t); ran != b.cfg.MaxAttempts || r.Status != protocol.Rejected {
			t.Errorf("ran %d times, record %s", ran, r.Status)
		}
	})
}

func TestOutcomeCases(t *testing.T) {
	t.Run("nested name in progress is deferred", testANestedNameInProgressIsDeferred)
}

// A handler that needs another name waits for it without failing, however long that
// is held.
func testANestedNameInProgressIsDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.MaxAttempts = 5
		customer := dedupe.Key{Name: "customer-5"}
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = b.guard(t).Do(t.Context(), customer, func(context.Context) (string, error) {
				time.Sleep(5 * time.Minute)
				return "", nil
			})
		})
		synctest.Wait()
		var err error
		for range 2 * b.cfg.MaxAttempts {
			_, err = b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
				_, err := b.guard(t).Do(ctx, customer, returns("", nil))
				return "", err
			})
			again, ok := errors.AsType[failure.RetryAfter](err)
			if !ok || again.RetryAfter() <= 0 || !failure.Is(err, failure.Deferred.Deferred) || failure.Is(err, failure.Unavailable.Unavailable) {
				t.Fatalf("not deferred: %v", err)
			}
			time.Sleep(again.RetryAfter() / 4)
		}
		if r := b.record(t); r.Status != protocol.Retrying || r.Attempts != 0 {
			t.Errorf("%s after %d attempts: %v", r.Status, r.Attempts, err)
		}
		wg.Wait()
	})
}

// Work that was not begun has no outcome: a lost lease neither counts nor makes the name UNKNOWN.
// After a stop on the last delivery the reason is "stopped".
func TestNotBegun(t *testing.T) {
	wait := func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", notBegun{context.Cause(ctx)}
	}
	for _, hold := range []bool{false, true} {
		t.Run(fmt.Sprintf("lease lost, hold %v", hold), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				b.cfg.Hold = hold
				b.store.before = func(next protocol.Record) error {
					if isRenewal(next) {
						return errors.New("throttled")
					}
					return nil
				}
				_, err := b.guard(t).Do(t.Context(), key, wait)
				r := b.record(t)
				if !errors.Is(err, dedupe.ErrLeaseLost) || r.Status != protocol.Retrying || r.Attempts != 0 {
					t.Errorf("%s after %d attempts, %v; want RETRYING after 0, and a lost lease", r.Status, r.Attempts, err)
				}
			})
		})
		t.Run(fmt.Sprintf("stop on the last delivery, hold %v", hold), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				b.cfg.Hold = hold
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				time.AfterFunc(time.Second, cancel)
				last := key
				last.LastDelivery = true
				_, err := b.guard(t).Do(ctx, last, wait)
				if e, ok := errors.AsType[failure.Reason](err); !ok || e.Reason() != "stopped" {
					t.Errorf("got %v, want the reason \"stopped\"", err)
				}
				if r := b.record(t); r.Status != protocol.Rejected {
					t.Errorf("%s, want REJECTED", r.Status)
				}
			})
		})
	}
}

// A handler whose lease was lost cannot reject the name, so its message stays in the queue.
func TestPermanentAfterLostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.store.before = func(next protocol.Record) error {
			if isRenewal(next) {
				return errors.New("throttled")
			}
			return nil
		}
		_, err := b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", permanent{}
		})
		if !errors.Is(err, dedupe.ErrLeaseLost) || failure.Is(err, failure.Permanent.Permanent) {
			t.Errorf("%v: permanent %t", err, failure.Is(err, failure.Permanent.Permanent))
		}
		if r := b.record(t); r.Status != protocol.Retrying || r.Attempts != 1 {
			t.Errorf("%s after %d attempts, want RETRYING after 1", r.Status, r.Attempts)
		}
	})
}
