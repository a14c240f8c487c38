package dedupe_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestLeaseEnd(t *testing.T) {
	t.Run("no lease reaches past it", testNoLeaseReachesPastItsEnd)
	t.Run("too late begins nothing", testTooLateBeginsNothing)
	t.Run("killed process holds no longer", testKilledProcessHoldsNoLonger)
}

// under returns the context of a process that is killed after a time: handlers are cancelled
// twice the skew margin before.
func under(t *testing.T, lives time.Duration) (ctx context.Context, end time.Time) {
	t.Helper()
	end = time.Now().Add(lives)
	ctx, cancel := context.WithDeadline(dedupe.WithLeaseEnd(t.Context(), end), end.Add(-4*time.Second))
	t.Cleanup(cancel)
	return ctx, end
}

func testNoLeaseReachesPastItsEnd(t *testing.T) {
	for _, lives := range []time.Duration{5 * time.Second, 29 * time.Second, 30 * time.Second, 31 * time.Second, 50 * time.Second, 5 * time.Minute} {
		t.Run(lives.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				ctx, end := under(t, lives)
				leases := 0
				b.store.before = func(next protocol.Record) error {
					if leases++; next.LeaseUntil.After(end) {
						t.Errorf("the lease ends at %s, %s past the end", next.LeaseUntil, next.LeaseUntil.Sub(end))
					}
					return nil
				}
				began := time.Now()
				_, err := b.guard(t).Do(ctx, key, func(ctx context.Context) (string, error) {
					<-ctx.Done()
					return "", ctx.Err()
				})
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != lives-4*time.Second {
					t.Errorf("%v after %s", err, time.Since(began))
				}
				// A claim, an end, and a renewal every third of a lease at most.
				if r := b.record(t); r.Status != protocol.Retrying || r.Attempts != 1 || leases > 2+int(lives/(9*time.Second)) {
					t.Errorf("record %s with %d attempts after %d writes", r.Status, r.Attempts, leases)
				}
			})
		})
	}
}

func testTooLateBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		ctx := dedupe.WithLeaseEnd(t.Context(), time.Now().Add(4*time.Second))
		_, err := b.guard(t).Do(ctx, key, func(context.Context) (string, error) {
			t.Error("the handler was called")
			return "", nil
		})
		if r := b.record(t); !errors.Is(err, context.Canceled) || r.Status != "" {
			t.Errorf("%v, record %s", err, r.Status)
		}
	})
}

// The attempt's process is gone without a word; another one takes its name over as soon as
// the end and the skew margin have passed.
func testKilledProcessHoldsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		ctx, end := under(t, 10*time.Second)
		killed := make(chan struct{})
		b.store.before = func(protocol.Record) error {
			select {
			case <-killed:
				return errNetwork // its process writes no more
			default:
				return nil
			}
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = b.guard(t).Do(ctx, key, func(context.Context) (string, error) { close(killed); return "", nil })
		}()
		<-killed
		other := setup()
		other.store.Store, other.cfg.Wait = b.store.Store, true
		if _, err := other.guard(t).Do(t.Context(), key, returns("second", nil)); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(end) - 2*time.Second; late < 0 || late > 10*time.Millisecond {
			t.Errorf("taken over %s after end and margin", late)
		}
		<-done
	})
}

// suspension is a wall clock that goes on while the process, and its monotonic clock, are
// suspended.
type suspension struct{ gone atomic.Int64 }

func (s *suspension) now() time.Time       { return time.Now().Add(time.Duration(s.gone.Load())) }
func (s *suspension) pass(d time.Duration) { s.gone.Add(int64(d)) }

func TestSuspension(t *testing.T) {
	t.Run("claim is not believed", testThawedClaimIsNotBelieved)
	t.Run("outcome is not recorded over another", testThawedOutcomeIsNotRecorded)
	t.Run("failure does not reject", testThawedFailureDoesNotReject)
	t.Run("memory is not believed", testThawedMemoryIsNotBelieved)
}

// suspended returns a bench whose guard goes by a clock that can pass over a suspension,
// and another process's guard on the same store and clock.
func suspended(t *testing.T) (b *bench, clock *suspension, other *dedupe.Guard[string]) {
	t.Helper()
	b, clock = setup(), &suspension{}
	b.cfg.Now, b.cfg.CacheAge = clock.now, -1
	beside := setup()
	beside.store.Store, beside.cfg = b.store.Store, b.cfg
	return b, clock, beside.guard(t)
}

func testThawedClaimIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, clock, other := suspended(t)
		taken := false
		b.cfg.Hooks.Claimed = func(dedupe.Attempt) {
			clock.pass(time.Minute)
			if taken {
				return
			}
			taken = true
			if _, err := other.Do(t.Context(), key, returns("second", nil)); err != nil {
				t.Error(err)
			}
		}
		_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
			t.Error("the handler was called under a lease that another attempt has taken over")
			return "first", nil
		})
		if r := b.record(t); !taken || !errors.Is(err, dedupe.ErrLeaseLost) || string(r.Result) != `"second"` {
			t.Errorf("%v, result %s", err, r.Result)
		}
	})
}

func testThawedOutcomeIsNotRecorded(t *testing.T) {
	for name, outcome := range map[string]error{"success": nil, "failure": errors.New("failed"), "rejection": reject{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, clock, other := suspended(t)
				_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
					clock.pass(time.Minute)
					if _, err := other.Do(t.Context(), key, returns("second", nil)); err != nil {
						t.Error(err)
					}
					return "first", outcome
				})
				if r := b.record(t); !errors.Is(err, dedupe.ErrLeaseLost) || string(r.Result) != `"second"` || r.Attempts != 2 {
					t.Errorf("%v, result %s after %d attempts", err, r.Result, r.Attempts)
				}
			})
		})
	}
}

// reject is an error that no retry can cure.
type reject struct{}

func (reject) Error() string   { return "bad" }
func (reject) Permanent() bool { return true }

// As with a lease that was lost under a running handler: no attempt has taken the name
// over, but the handler has judged without a lease.
func testThawedFailureDoesNotReject(t *testing.T) {
	for hold, want := range map[bool]protocol.Status{false: protocol.Retrying, true: protocol.Unknown} {
		synctest.Test(t, func(t *testing.T) {
			b, clock, _ := suspended(t)
			b.cfg.Hold = hold
			_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
				clock.pass(time.Minute)
				return "", reject{}
			})
			if r := b.record(t); !errors.Is(err, dedupe.ErrLeaseLost) || r.Status != want {
				t.Errorf("hold %t: %v, record %s, want %s", hold, err, r.Status, want)
			}
		})
	}
}

func testThawedMemoryIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, clock, _ := suspended(t)
		b.cfg.CacheAge = time.Minute
		g := b.guard(t)
		if _, err := g.Do(t.Context(), key, returns("done", nil)); err != nil {
			t.Fatal(err)
		}
		operator, err := dedupe.NewOperator(b.store.Store, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := operator.Forget(t.Context(), key.Name, false); err != nil {
			t.Fatal(err)
		}
		clock.pass(time.Minute)
		if res, err := g.Do(t.Context(), key, returns("again", nil)); err != nil || res.Value != "again" {
			t.Errorf("%+v, %v: answered from memory a minute after the name was forgotten", res, err)
		}
	})
}
