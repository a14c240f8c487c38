package dedupe_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestJoin(t *testing.T) {
	t.Run("sixty joiners of a ten minute leader are deferred after a second", testSixtyJoinersOfATenMinuteLeaderAreDeferredAfterASecond)
	t.Run("sixty joiners of a short leader get its result without a call", testSixtyJoinersOfAShortLeaderGetItsResultWithoutACall)
	t.Run("joiners of a leader that failed are deferred and of one rejected are told", testJoinersOfALeaderThatFailedAreDeferredAndOfOneRejectedAreTold)
	t.Run("order that meets a running attempt is spent here as elsewhere", testAnOrderThatMeetsARunningAttemptIsSpentHereAsElsewhere)
	t.Run("order to try again is told to the store by a joiner too", testAnOrderToTryAgainIsToldToTheStoreByAJoinerToo)
	t.Run("completed name is answered from memory for a minute", testACompletedNameIsAnsweredFromMemoryForAMinute)
	t.Run("cache never answers past the expiry", testTheCacheNeverAnswersPastTheExpiry)
	t.Run("forget takes effect when no cache answers any more", testForgetTakesEffectWhenNoCacheAnswersAnyMore)
	t.Run("cache is bounded by bytes", testTheCacheIsBoundedByBytes)
}

func testSixtyJoinersOfATenMinuteLeaderAreDeferredAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var writes atomic.Int64
		b.store.before = func(protocol.Record) error { writes.Add(1); return nil }
		g := b.guard(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := g.Do(t.Context(), key, func(context.Context) (string, error) { time.Sleep(10 * time.Minute); return "x", nil })
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		time.Sleep(5 * time.Second)
		before := writes.Load()
		var joiners sync.WaitGroup
		for range 60 {
			joiners.Go(func() {
				start := time.Now()
				_, err := g.Do(t.Context(), key, func(context.Context) (string, error) { t.Error("ran"); return "", nil })
				in, deferred := errors.AsType[*dedupe.InProgressError](err)
				if waited := time.Since(start); !deferred || waited != time.Second {
					t.Errorf("after %s: %v", waited, err)
				} else if want := 26 * time.Second; in.After != want { // 30s of lease from the claim, 6s gone, and the skew
					t.Errorf("told to come back after %s, want %s", in.After, want)
				}
			})
		}
		joiners.Wait()
		if n := writes.Load(); n != before {
			t.Errorf("%d calls of the store for joiners", n-before)
		}
		wg.Wait()
	})
}

func testSixtyJoinersOfAShortLeaderGetItsResultWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		writes, joined := 0, 0
		b.store.before = func(protocol.Record) error { writes++; return nil }
		var mu sync.Mutex
		b.cfg.Hooks.Replayed = func(_ dedupe.Attempt, kind string) {
			mu.Lock()
			defer mu.Unlock()
			if kind == "joined" {
				joined++
			}
		}
		g := b.guard(t)
		var wg sync.WaitGroup
		for range 61 {
			wg.Go(func() {
				res, err := g.Do(t.Context(), key, func(context.Context) (string, error) { time.Sleep(300 * time.Millisecond); return "x", nil })
				if err != nil || res.Value != "x" {
					t.Errorf("got %+v, %v", res, err)
				}
			})
		}
		wg.Wait()
		if writes != 2 || joined != 60 {
			t.Errorf("%d writes, %d joined", writes, joined)
		}
	})
}

func testJoinersOfALeaderThatFailedAreDeferredAndOfOneRejectedAreTold(t *testing.T) {
	for name, fail := range map[string]error{"Deferred": errNetwork, "Rejected": permanent{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				g := b.guard(t)
				var wg sync.WaitGroup
				wg.Go(func() {
					_, _ = g.Do(t.Context(), key, func(context.Context) (string, error) { time.Sleep(100 * time.Millisecond); return "", fail })
				})
				synctest.Wait()
				_, err := g.Do(t.Context(), key, func(context.Context) (string, error) { t.Error("ran"); return "", nil })
				_, deferred := errors.AsType[*dedupe.InProgressError](err)
				_, rejected := errors.AsType[*dedupe.RejectedError](err)
				if deferred != (name == "Deferred") || rejected != (name == "Rejected") {
					t.Errorf("got %v", err)
				}
				wg.Wait()
			})
		})
	}
}

// A redrive order that meets a running attempt is spent, on every worker. It does not reopen the
// name after that attempt was rejected.
func testAnOrderThatMeetsARunningAttemptIsSpentHereAsElsewhere(t *testing.T) {
	for name, here := range map[string]bool{"here": true, "elsewhere": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				g := b.guard(t)
				meets := g
				if !here {
					meets = b.guard(t)
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					_, _ = g.Do(t.Context(), key, func(context.Context) (string, error) { time.Sleep(time.Minute); return "", permanent{} })
				})
				synctest.Wait()
				order := key
				order.MessageID, order.RedriveOrder = "redriven", true
				if _, err := meets.Do(t.Context(), order, returns("", nil)); !isInProgress(err) {
					t.Errorf("beside the attempt: %v", err)
				}
				wg.Wait()
				_, err := meets.Do(t.Context(), order, func(context.Context) (string, error) { t.Error("ran"); return "", nil })
				if _, rejected := errors.AsType[*dedupe.RejectedError](err); !rejected {
					t.Errorf("after it: %v", err)
				}
			})
		})
	}
}

func isInProgress(err error) bool {
	_, ok := errors.AsType[*dedupe.InProgressError](err)
	return ok
}

func testAnOrderToTryAgainIsToldToTheStoreByAJoinerToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		g := b.guard(t)
		order := key
		order.MessageID, order.RedriveOrder = "redriven", true
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = g.Do(t.Context(), key, func(context.Context) (string, error) { time.Sleep(100 * time.Millisecond); return "x", nil })
		})
		synctest.Wait()
		for range 2 { // joined, then cached
			if res, err := g.Do(t.Context(), order, returns("", nil)); err != nil || !res.Replayed || res.Value != "x" {
				t.Errorf("got %+v, %v", res, err)
			}
		}
		if r := b.record(t); r.ReopenedBy != "redriven" || r.Status != protocol.Completed {
			t.Errorf("record %s re-opened by %q", r.Status, r.ReopenedBy)
		}
		order.MessageID = "redriven again" // and this one meets the cache first
		if res, err := g.Do(t.Context(), order, returns("", nil)); err != nil || !res.Replayed {
			t.Errorf("got %+v, %v", res, err)
		}
		if r := b.record(t); r.ReopenedBy != "redriven again" {
			t.Errorf("re-opened by %q", r.ReopenedBy)
		}
		wg.Wait()
	})
}

func testACompletedNameIsAnsweredFromMemoryForAMinute(t *testing.T) {
	for name, other := range map[string]bool{"CompletedHere": false, "ReplayedHere": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				g := b.guard(t)
				first := g
				if other {
					first = b.guard(t)
				}
				var kinds []string
				b.cfg.Hooks.Replayed = func(_ dedupe.Attempt, kind string) { kinds = append(kinds, kind) }
				if !other {
					g = b.guard(t)
					first = g
				}
				do := func(g *dedupe.Guard[string]) {
					t.Helper()
					if res, err := g.Do(t.Context(), key, returns("x", nil)); err != nil || res.Value != "x" {
						t.Fatalf("got %+v, %v", res, err)
					}
				}
				do(first)
				if other {
					g = b.guard(t)
					do(g)
				}
				calls := 0
				b.store.before = func(protocol.Record) error { calls++; return nil }
				time.Sleep(59 * time.Second)
				do(g)
				if calls != 0 {
					t.Errorf("%d calls within a minute", calls)
				}
				time.Sleep(time.Second)
				do(g)
				if calls == 0 {
					t.Error("no call after a minute")
				}
				if last := kinds[len(kinds)-2:]; last[0] != "cached" || last[1] != "recorded" {
					t.Errorf("replayed as %v", kinds)
				}
			})
		})
	}
}

func TestTheCacheComparesFingerprints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		g := b.guard(t)
		one, two := key, key
		one.Fingerprint, two.Fingerprint = protocol.Fingerprint{0: 1, 9: 1}, protocol.Fingerprint{0: 1, 9: 2}
		two.Compared = "order.amount"
		if _, err := g.Do(t.Context(), one, returns("x", nil)); err != nil {
			t.Fatal(err)
		}
		_, err := g.Do(t.Context(), two, returns("y", nil))
		m, ok := errors.AsType[*dedupe.MismatchError](err)
		if !ok || m.Differs != "order.amount" || m.MessageID != "m1" || m.Status != protocol.Completed {
			t.Errorf("got %v", err)
		}
	})
}

func testTheCacheNeverAnswersPastTheExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.Window, b.cfg.Lease = 30*time.Second, 30*time.Second
		g := b.guard(t)
		runs := 0
		for range 2 {
			if _, err := g.Do(t.Context(), key, func(context.Context) (string, error) { runs++; return "", nil }); err != nil {
				t.Fatal(err)
			}
			time.Sleep(31 * time.Second)
		}
		if runs != 2 {
			t.Errorf("%d runs", runs)
		}
	})
}

func testForgetTakesEffectWhenNoCacheAnswersAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		g := b.guard(t)
		if _, err := g.Do(t.Context(), key, returns("first", nil)); err != nil {
			t.Fatal(err)
		}
		op, err := dedupe.NewOperator(b.store, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		effective, err := op.Forget(t.Context(), key.Name, false)
		if err != nil || !effective.Equal(time.Now().Add(time.Minute)) {
			t.Fatalf("effective at %s, %v", effective, err)
		}
		if res, err := g.Do(t.Context(), key, returns("second", nil)); err != nil || res.Value != "first" {
			t.Errorf("before: %+v, %v", res, err)
		}
		time.Sleep(time.Until(effective))
		if res, err := g.Do(t.Context(), key, returns("second", nil)); err != nil || res.Replayed || res.Value != "second" {
			t.Errorf("after: %+v, %v", res, err)
		}
	})
}

func testTheCacheIsBoundedByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.CacheBytes = 20 << 10
		cached := 0
		b.cfg.Hooks.Replayed = func(_ dedupe.Attempt, kind string) {
			if kind == "cached" {
				cached++
			}
		}
		g := b.guard(t)
		for range 2 {
			for i := range 100 {
				k := dedupe.Key{Name: string(rune('a'+i/10)) + string(rune('a'+i%10))}
				if _, err := g.Do(t.Context(), k, returns(string(make([]byte, 500)), nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if cached > 20 {
			t.Errorf("%d of 100 answers of more than a kilobyte came from a cache of 20", cached)
		}
	})
}
