package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// complete completes an attempt like a guard: it repeats the request until it is answered, and
// builds a new one after a conflict.
func (l ledger) complete(ctx context.Context, cur protocol.Record, owner byte, effects []any) (protocol.Verdict, error) {
	for {
		next, verdict := protocol.Step(cur, completion(owner))
		if verdict != protocol.VerdictApply || next.Version == cur.Version {
			return verdict, nil
		}
		err := l.store.Commit(ctx, cur.Version, next, effects)
		for tries := 0; err != nil && tries < 3; tries++ {
			if _, lost := errors.AsType[*dedupe.ConflictError](err); lost {
				break
			}
			err = l.store.Commit(ctx, cur.Version, next, effects)
		}
		if err == nil {
			return verdict, nil
		}
		lost, ok := errors.AsType[*dedupe.ConflictError](err)
		if !ok {
			return 0, err
		}
		cur = lost.Current
	}
}

func TestEffect(t *testing.T) {
	t.Run("counter is incremented exactly once", testACounterIsIncrementedExactlyOnce)
	t.Run("crash at the commit counts once", testACrashAtTheCommitCountsOnce)
	t.Run("guards handler counts once through lost answers", testTheGuardsHandlerCountsOnceThroughLostAnswers)
}

// testACounterIsIncrementedExactlyOnce commits an increment while a fault
// happens at one call, and a renewal that was thought lost lands before or
// after a call, at every pair of points.
func testACounterIsIncrementedExactlyOnce(t *testing.T) {
	l := newLedger(t)
	const points = 3
	faults := []string{"none", "request lost", "answer lost", "conflict", "mismatch"}
	n := 0
	for _, fault := range faults {
		for faultAt := range points {
			if fault == "none" && faultAt > 0 {
				break // the same again
			}
			for renewalAt := range 2 * points { // before call renewalAt/2, or after it
				name := fmt.Sprint("n", n)
				n++
				l.wire.hook = nil
				cur := l.claimed(t, 1, name)
				renewal, _ := protocol.Step(cur, protocol.Renew{Now: time.Now().Add(time.Second), Owner: cur.Owner, Terms: terms})
				renew := func() {
					err := l.store.Swap(context.Background(), cur.Version, renewal)
					if _, lost := errors.AsType[*dedupe.ConflictError](err); err != nil && !lost {
						t.Errorf("renewal: %v", err)
					}
				}
				seen := 0
				l.wire.hook = func(c call, _ int, forward func() *http.Response) (*http.Response, error) {
					if c.op != commitOp {
						return forward(), nil
					}
					i := seen
					seen++
					if renewalAt == 2*i {
						renew()
					}
					resp, err := faulty(fault, i == faultAt, forward)
					if renewalAt == 2*i+1 {
						renew()
					}
					return resp, err
				}
				verdict, err := l.complete(t.Context(), cur, 1, l.incrementing(name))
				l.wire.hook = nil
				if err != nil || verdict != protocol.VerdictApply {
					t.Errorf("%s at %d, renewal at %d: verdict %d, %v", fault, faultAt, renewalAt, verdict, err)
				}
				if got := l.count(t, name); got != 1 {
					t.Errorf("%s at %d, renewal at %d: counted %d", fault, faultAt, renewalAt, got)
				}
				if r, err := l.store.Get(t.Context(), cur.ID); err != nil || r.Status != protocol.Completed {
					t.Errorf("%s at %d, renewal at %d: the record is %s, %v", fault, faultAt, renewalAt, r.Status, err)
				}
			}
		}
	}
}

func faulty(fault string, now bool, forward func() *http.Response) (*http.Response, error) {
	switch {
	case !now || fault == "none":
		return forward(), nil
	case fault == "request lost":
		return nil, errCut
	case fault == "answer lost":
		return cut(forward())
	case fault == "conflict":
		return reasons("TransactionConflict", "None"), nil
	default:
		return refuse("IdempotentParameterMismatchException"), nil
	}
}

// A worker that dies at its commit leaves a name that the next one finishes,
// or finds finished: the counter stands at one either way.
func testACrashAtTheCommitCountsOnce(t *testing.T) {
	for what, applied := range map[string]bool{"before it is applied": false, "after it": true} {
		t.Run(what, func(t *testing.T) {
			l := newLedger(t)
			cur := l.claimed(t, 1, "a")
			l.wire.hook = func(c call, _ int, forward func() *http.Response) (*http.Response, error) {
				if c.op == commitOp && applied {
					return cut(forward())
				}
				return nil, errCut
			}
			next, _ := protocol.Step(cur, completion(1))
			if err := l.store.Commit(t.Context(), cur.Version, next, l.incrementing("n")); !errors.Is(err, errCut) {
				t.Fatalf("got %v", err)
			}
			l.wire.hook = nil

			// The next worker, once the lease has lapsed.
			stored, err := l.store.Get(t.Context(), cur.ID)
			if err != nil {
				t.Fatal(err)
			}
			again := claim(2, "a")
			again.Now = again.Now.Add(time.Minute)
			taken, verdict := protocol.Step(stored, again)
			if applied {
				if verdict != protocol.VerdictReplay || string(taken.Result) != `{"done":true}` {
					t.Errorf("verdict %d on %+v", verdict, taken)
				}
			} else {
				if err := l.store.Swap(t.Context(), stored.Version, taken); err != nil || verdict != protocol.VerdictApply {
					t.Fatalf("take over: verdict %d, %v", verdict, err)
				}
				if _, err := l.complete(t.Context(), taken, 2, l.incrementing("n")); err != nil {
					t.Error(err)
				}
				// The dead one's request may still arrive.
				if err := l.store.Commit(t.Context(), cur.Version, next, l.incrementing("n")); err == nil {
					t.Error("a commit of an attempt that was taken over was applied")
				}
			}
			if n := l.count(t, "n"); n != 1 {
				t.Errorf("counted %d", n)
			}
		})
	}
}

func testTheGuardsHandlerCountsOnceThroughLostAnswers(t *testing.T) {
	l := newLedger(t)
	l.wire.hook = func(_ call, n int, forward func() *http.Response) (*http.Response, error) {
		if n == 0 { // the first answer of each operation
			return cut(forward())
		}
		return forward(), nil
	}
	g, err := dedupe.New[int](l.store, dedupe.Config{Scope: "q", Now: l.store.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for range 3 {
		got, err := g.Do(t.Context(), dedupe.Key{Name: "a"}, func(ctx context.Context) (int, error) {
			runs++
			return 17, dynamo.Update(ctx, l.increment("n"))
		})
		if err != nil || got.Value != 17 {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if n := l.count(t, "n"); runs != 1 || n != 1 {
		t.Errorf("ran %d times, counted %d", runs, n)
	}
}
