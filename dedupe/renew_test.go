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
)

// slow is a store whose calls take the time that delay returns, even after their context has ended:
// the request continues, and its answer is late.
type slow struct {
	*memstore.Store
	delay func(next protocol.Record) (before, after time.Duration)
	calls sync.WaitGroup
}

func (s *slow) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	before, after := s.delay(next)
	result := make(chan error, 1)
	sent := context.WithoutCancel(ctx)
	s.calls.Go(func() {
		time.Sleep(before)
		err := s.Store.Swap(sent, old, next)
		time.Sleep(after)
		result <- err
	})
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func isClaim(r protocol.Record) bool {
	return r.Status == protocol.InProgress && r.Version == r.Fence
}

func isRenewal(r protocol.Record) bool {
	return r.Status == protocol.InProgress && r.Version != r.Fence
}

func TestRenew(t *testing.T) {
	t.Run("claim applied late is adopted and counted once", testAClaimAppliedLateIsAdoptedAndCountedOnce)
	t.Run("handler starts only with half of its lease left", testAHandlerStartsOnlyWithHalfOfItsLeaseLeft)
	t.Run("lease lost before the handler starts is asked for again", testALeaseLostBeforeTheHandlerStartsIsAskedForAgain)
	t.Run("renewals of all attempts go out together", testRenewalsOfAllAttemptsGoOutTogether)
	t.Run("renewal has returned before a final write is built", testARenewalHasReturnedBeforeAFinalWriteIsBuilt)
	t.Run("renewal that is out ends with its handler", testARenewalThatIsOutEndsWithItsHandler)
	t.Run("handler that ignores its cancellation keeps the name", testAHandlerThatIgnoresItsCancellationKeepsTheName)
	t.Run("lost lease is reported once and a late completion is accepted before a takeover", testLostLeaseIsReportedOnceAndALateCompletionIsAcceptedBeforeATakeover)
	t.Run("lease lost is told before its attempt is settled", testALeaseLostIsToldBeforeItsAttemptIsSettled)
	t.Run("under hold a late completion of a parked attempt is accepted", testUnderHoldALateCompletionOfAParkedAttemptIsAccepted)
}

func testAClaimAppliedLateIsAdoptedAndCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		calls := 0
		store := &slow{Store: b.store.Store, delay: func(r protocol.Record) (time.Duration, time.Duration) {
			if calls++; calls == 1 {
				return 2900 * time.Millisecond, 200 * time.Millisecond // its answer arrives after the call's deadline
			}
			return 0, 0
		}}
		var own []string
		b.cfg.Hooks.OwnWrite = func(_ dedupe.Attempt, op string) { own = append(own, op) }
		defer store.calls.Wait()
		g, err := dedupe.New[string](store, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		runs := 0
		if _, err := g.Do(t.Context(), key, func(context.Context) (string, error) { runs++; return "", nil }); err != nil {
			t.Fatal(err)
		}
		if r := b.record(t); runs != 1 || r.Attempts != 1 || r.Status != protocol.Completed {
			t.Errorf("%d runs, record %s with %d attempts", runs, r.Status, r.Attempts)
		}
		if len(own) != 1 || own[0] != "claim" {
			t.Errorf("own writes recognised: %v", own)
		}
	})
}

// lateAnswers is a store whose claims are answered late, by calls that ignore their context.
type lateAnswers struct {
	*memstore.Store
	late func(next protocol.Record) time.Duration
}

func (s *lateAnswers) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	err := s.Store.Swap(context.WithoutCancel(ctx), old, next)
	time.Sleep(s.late(next))
	return err
}

func testAHandlerStartsOnlyWithHalfOfItsLeaseLeft(t *testing.T) {
	for name, tc := range map[string]struct {
		late    time.Duration
		renewed bool
	}{
		"JustEnough": {15 * time.Second, false},
		"Renewed":    {15*time.Second + time.Millisecond, true},
		"Lapsed":     {time.Minute, true}, // without a takeover
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				var renewed atomic.Bool
				store := &lateAnswers{b.store.Store, func(r protocol.Record) time.Duration {
					if isClaim(r) {
						return tc.late
					}
					if isRenewal(r) {
						// A renewal that is due goes out as the handler starts.
						time.Sleep(time.Millisecond)
						renewed.Store(true)
					}
					return 0
				}}
				g, err := dedupe.New[string](store, b.cfg)
				if err != nil {
					t.Fatal(err)
				}
				_, err = g.Do(t.Context(), key, func(context.Context) (string, error) {
					if got := renewed.Load(); got != tc.renewed {
						t.Errorf("renewed before it started: %v", got)
					}
					if left := time.Until(b.record(t).LeaseUntil); left < 15*time.Second-time.Millisecond {
						t.Errorf("started with %s left", left)
					}
					return "", nil
				})
				if err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func testALeaseLostBeforeTheHandlerStartsIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		first := true
		store := &lateAnswers{b.store.Store, func(r protocol.Record) time.Duration {
			if isClaim(r) && first {
				first = false
				return time.Minute
			}
			return 0
		}}
		g, err := dedupe.New[string](store, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(40 * time.Second)
			if _, err := b.guard(t).Do(t.Context(), key, returns("second", nil)); err != nil {
				t.Error(err)
			}
		})
		res, err := g.Do(t.Context(), key, returns("first", nil))
		if err != nil || !res.Replayed || res.Value != "second" {
			t.Errorf("got %+v, %v", res, err)
		}
		wg.Wait()
	})
}

func testRenewalsOfAllAttemptsGoOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var mu sync.Mutex
		rounds := map[time.Time]int{}
		b.store.before = func(r protocol.Record) error {
			if isRenewal(r) {
				mu.Lock()
				rounds[time.Now()]++
				mu.Unlock()
			}
			return nil
		}
		g := b.guard(t)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond) // within 2.5 s
				k := dedupe.Key{Name: fmt.Sprint("n", i)}
				if _, err := g.Do(t.Context(), k, func(context.Context) (string, error) {
					time.Sleep(25 * time.Second)
					return "", nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		total := 0
		for _, n := range rounds {
			total += n
		}
		if total != 100 || len(rounds) > 4 {
			t.Errorf("%d renewals in %d rounds, want 100 in few: %v", total, len(rounds), rounds)
		}
	})
}

func testARenewalHasReturnedBeforeAFinalWriteIsBuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var renewing atomic.Bool
		store := &lateAnswers{b.store.Store, func(r protocol.Record) time.Duration {
			switch {
			case isRenewal(r):
				renewing.Store(true)
				time.Sleep(2 * time.Second)
				renewing.Store(false)
			case r.Status == protocol.Completed && renewing.Load():
				t.Error("completed while its renewal was out")
			}
			return 0
		}}
		g, err := dedupe.New[string](store, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Do(t.Context(), key, func(context.Context) (string, error) {
			time.Sleep(10 * time.Second) // a renewal went out after nine
			if !renewing.Load() {
				t.Error("no renewal is out")
			}
			return "", nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if r := b.record(t); r.Status != protocol.Completed {
			t.Errorf("record %s", r.Status)
		}
	})
}

// hangingRenewals is a store whose renewals are never answered.
type hangingRenewals struct{ dedupe.Store }

func (s hangingRenewals) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	if isRenewal(next) {
		return unanswered(ctx)
	}
	return s.Store.Swap(ctx, old, next)
}

// A handler that has returned does not wait for a renewal that hangs.
func testARenewalThatIsOutEndsWithItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		g, err := dedupe.New[string](hangingRenewals{b.store.Store}, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_, err = g.Do(t.Context(), key, func(context.Context) (string, error) {
			time.Sleep(11 * time.Second) // a renewal went out after ten
			return "", nil
		})
		if took := time.Since(begun); err != nil || took != 11*time.Second {
			t.Errorf("%v, after %s", err, took)
		}
		if r := b.record(t); r.Status != protocol.Completed {
			t.Errorf("record %s", r.Status)
		}
	})
}

func testAHandlerThatIgnoresItsCancellationKeepsTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.guard(t).Do(ctx, key, func(ctx context.Context) (string, error) {
			cancel()
			<-ctx.Done()
			time.Sleep(5 * time.Minute)
			_, err := b.guard(t).Do(t.Context(), key, returns("", nil))
			if _, held := errors.AsType[*dedupe.InProgressError](err); !held {
				t.Errorf("another attempt: %v", err)
			}
			return "done all the same", nil
		})
		if err != nil {
			t.Error(err)
		}
		if r := b.record(t); r.Status != protocol.Completed {
			t.Errorf("record %s", r.Status)
		}
	})
}

func testLostLeaseIsReportedOnceAndALateCompletionIsAcceptedBeforeATakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var down atomic.Bool
		b.store.before = func(r protocol.Record) error {
			if down.Load() && isRenewal(r) {
				return errNetwork
			}
			return nil
		}
		var mu sync.Mutex
		var told []string
		tell := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, s)
		}
		b.cfg.Hooks = dedupe.Hooks{
			LeaseLost:     func(dedupe.Attempt) { tell("lost") },
			CompletedLate: func(dedupe.Attempt) { tell("late") },
			Settled:       func(_ dedupe.Attempt, outcome string, _ time.Duration, _ error) { tell(outcome) },
		}
		_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
			down.Store(true)
			time.Sleep(time.Minute)
			return "", nil
		})
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(told, " "); err != nil || got != "lost late completed" {
			t.Errorf("told %q, error %v", got, err)
		}
	})
}

// stolen is a store in which another attempt holds the name when it is to be renewed.
type stolen struct{ dedupe.Store }

func (s stolen) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	if isRenewal(next) {
		next.Owner = protocol.Token{1}
		return &dedupe.ConflictError{Current: next}
	}
	return s.Store.Swap(ctx, old, next)
}

// The handler ends as soon as it is cancelled, and the hook is slow.
func testALeaseLostIsToldBeforeItsAttemptIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var told []string
		b.cfg.Hooks = dedupe.Hooks{
			LeaseLost: func(dedupe.Attempt) {
				time.Sleep(time.Second)
				told = append(told, "lost")
			},
			Settled: func(_ dedupe.Attempt, outcome string, _ time.Duration, _ error) { told = append(told, outcome) },
		}
		g, err := dedupe.New[string](stolen{b.store}, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Do(t.Context(), key, func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		if len(told) != 2 || told[0] != "lost" || !errors.Is(err, dedupe.ErrLeaseLost) {
			t.Errorf("told %q, error %v", told, err)
		}
	})
}

func testUnderHoldALateCompletionOfAParkedAttemptIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.Hold = true
		var down atomic.Bool
		b.store.before = func(r protocol.Record) error {
			if down.Load() && isRenewal(r) {
				return errNetwork
			}
			return nil
		}
		_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
			down.Store(true)
			time.Sleep(40 * time.Second)
			_, err := b.guard(t).Do(t.Context(), key, returns("", nil))
			if _, parked := errors.AsType[*dedupe.UnknownOutcomeError](err); !parked {
				t.Errorf("another attempt: %v", err)
			}
			return "done", nil
		})
		if r := b.record(t); err != nil || r.Status != protocol.Completed || string(r.Result) != `"done"` {
			t.Errorf("record %s, error %v", r.Status, err)
		}
	})
}
