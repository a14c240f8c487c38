package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

// waiting returns a guard of another process over b's store, with Config.Wait, and that store's
// counts.
func (b *bench) waiting(t *testing.T) (*dedupe.Guard[string], *counted) {
	t.Helper()
	store := &counted{Store: b.store.Store}
	cfg := b.cfg
	cfg.Wait = true
	g, err := dedupe.New[string](store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g, store
}

// works begins an attempt on key whose work takes the given time. It returns when the work runs.
func works(t *testing.T, all *sync.WaitGroup, g *dedupe.Guard[string], work time.Duration, err error) {
	t.Helper()
	all.Go(func() {
		_, _ = g.Do(context.Background(), key, func(context.Context) (string, error) {
			time.Sleep(work)
			return "first", err
		})
	})
	synctest.Wait()
}

func TestWait(t *testing.T) {
	for name, tc := range map[string]struct {
		here   bool // the first attempt runs in the waiting caller's process
		work   time.Duration
		fails  error
		value  string // returned to the waiting caller
		within time.Duration
	}{
		"elsewhere":           {false, time.Minute, nil, "first", 62 * time.Second},
		"here":                {true, time.Minute, nil, "first", time.Minute},
		"fails elsewhere":     {false, 10 * time.Second, errNetwork, "second", 12 * time.Second},
		"fails here":          {true, 10 * time.Second, errNetwork, "second", 12 * time.Second},
		"short work":          {false, 100 * time.Millisecond, nil, "first", 300 * time.Millisecond},
		"rejected elsewhere":  {false, 10 * time.Second, permanent{}, "", 12 * time.Second},
		"rejected here":       {true, 10 * time.Second, permanent{}, "", 10 * time.Second},
		"longer than a lease": {false, 10 * time.Minute, nil, "first", 602 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				var all sync.WaitGroup
				defer all.Wait()
				begun := time.Now()
				waits, store := b.waiting(t)
				first := b.guard(t)
				if tc.here {
					first = waits
				}
				works(t, &all, first, tc.work, tc.fails)
				res, err := waits.Do(t.Context(), key, returns("second", nil))
				if res.Value != tc.value || (err != nil) != (tc.value == "") {
					t.Errorf("got %+v, %v, want %q", res, err, tc.value)
				}
				if took := time.Since(begun); took < tc.work || took > tc.within {
					t.Errorf("answered after %s, want %s to %s", took, tc.work, tc.within)
				}
				if most := 5 + int(tc.work/time.Second); store.reads > most {
					t.Errorf("%d reads, want at most %d", store.reads, most)
				}
				if !tc.here && store.writes > 3 { // a claim, another one that begins its own attempt, and its outcome
					t.Errorf("%d writes", store.writes)
				}
			})
		})
	}
}

// The first attempt's process has died. The waiting caller takes over after its lease has lapsed.
func TestWait_lapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var all sync.WaitGroup
		defer all.Wait()
		var claimed atomic.Bool
		b.store.before = func(protocol.Record) error {
			if claimed.Swap(true) {
				return errNetwork // all but the claim
			}
			return nil
		}
		begun := time.Now()
		works(t, &all, b.guard(t), time.Hour, nil)
		g, _ := b.waiting(t)
		res, err := g.Do(t.Context(), key, func(ctx context.Context) (string, error) {
			a, _ := dedupe.AttemptFrom(ctx)
			return fmt.Sprint("attempt ", a.Number), nil
		})
		if took := time.Since(begun); err != nil || res.Value != "attempt 2" || took < 32*time.Second || took > 33*time.Second {
			t.Errorf("after %s: %+v, %v, want attempt 2 after 32s", took, res, err)
		}
		all.Go(func() { time.Sleep(14 * time.Hour) }) // the first gives up
	})
}

// A caller waits until its context ends, and then gets an error that says that the name is held.
func TestWait_bounded(t *testing.T) {
	for name, here := range map[string]bool{"here": true, "elsewhere": false} {
		for end, want := range map[string]error{"deadline": context.DeadlineExceeded, "cancelled": context.Canceled} {
			t.Run(name+" "+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := setup()
					var all sync.WaitGroup
					defer all.Wait()
					var deferred atomic.Int64
					b.cfg.Hooks.Deferred = func(dedupe.Attempt, time.Duration) { deferred.Add(1) }
					waits, _ := b.waiting(t)
					first := b.guard(t)
					if here {
						first = waits
					}
					works(t, &all, first, time.Minute, nil)
					ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
					if want == context.Canceled { //nolint:errorlint // the sentinel itself
						ctx, cancel = context.WithCancel(t.Context())
						time.AfterFunc(7*time.Second, cancel)
					}
					defer cancel()
					begun := time.Now()
					_, err := waits.Do(ctx, key, func(context.Context) (string, error) { t.Error("ran"); return "", nil })
					held, ok := errors.AsType[*dedupe.InProgressError](err)
					if !ok || held.After <= 0 || !errors.Is(err, want) || !failure.Is(err, failure.Deferred.Deferred) || !strings.Contains(err.Error(), want.Error()) {
						t.Errorf("got %v", err)
					}
					if took := time.Since(begun); took != 7*time.Second {
						t.Errorf("waited %s, want 7s", took)
					}
					if deferred.Load() != 1 {
						t.Errorf("told %d times to come back", deferred.Load())
					}
				})
			})
		}
	}
}

// Callers do not wait for final outcomes, and a failure of their own work is returned to them.
func TestWait_final(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		g, _ := b.waiting(t)
		begun := time.Now()
		if _, err := g.Do(t.Context(), key, returns("", errNetwork)); !errors.Is(err, errNetwork) {
			t.Errorf("own failure: %v", err)
		}
		other := key
		other.Fingerprint, other.Name = protocol.Fingerprint{0: 1, 9: 1}, "order-18"
		if _, err := g.Do(t.Context(), other, returns("done", nil)); err != nil {
			t.Error(err)
		}
		other.Fingerprint[9] = 2
		if _, err := g.Do(t.Context(), other, returns("", nil)); !errors.As(err, new(*dedupe.MismatchError)) {
			t.Errorf("another payload: %v", err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

// Of many waiting callers in one process, one asks the store. Failing attempts follow one another
// with pauses between them, and no more often than allowed.
func TestWait_many(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var all sync.WaitGroup
		works(t, &all, b.guard(t), 20*time.Second, errNetwork)
		g, store := b.waiting(t)
		var mu sync.Mutex
		var attempts []time.Time
		var rejected int
		for range 20 {
			all.Go(func() {
				_, err := g.Do(t.Context(), key, func(context.Context) (string, error) {
					mu.Lock()
					defer mu.Unlock()
					attempts = append(attempts, time.Now())
					return "", errNetwork
				})
				mu.Lock()
				defer mu.Unlock()
				if errors.As(err, new(*dedupe.RejectedError)) {
					rejected++
				} else if !errors.Is(err, errNetwork) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(attempts) != 4 || rejected != 17 { // the fourth uses the attempts up, and its caller gets the rejection, too
			t.Errorf("%d attempts, %d rejected, want 4 and 17", len(attempts), rejected)
		}
		for i := 1; i < len(attempts); i++ {
			if pause := attempts[i].Sub(attempts[i-1]); pause < 50*time.Millisecond {
				t.Errorf("attempt %d comes %s after the previous one", i+1, pause)
			}
		}
		if store.reads > 40 {
			t.Errorf("%d reads for 20 callers in 20 s", store.reads)
		}
	})
}

// A payment that is declined is no failure of the work. It is the work's result, and a caller that
// asks again gets the same result.
func ExampleConfig_declined() {
	type answer struct {
		Charged  int    `json:"charged,omitempty"`
		Declined string `json:"declined,omitempty"`
	}
	guard, err := dedupe.New[answer](memstore.New(), dedupe.Config{Scope: "payments", Wait: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	pay := func(context.Context) (answer, error) {
		fmt.Println("asking the bank")
		return answer{Declined: "insufficient funds"}, nil // an error would be retried
	}
	for range 2 {
		res, err := guard.Do(context.Background(), dedupe.Key{Name: "order-17"}, pay)
		fmt.Println(res.Value.Declined, res.Replayed, err)
	}
	// Output:
	// asking the bank
	// insufficient funds false <nil>
	// insufficient funds true <nil>
}
