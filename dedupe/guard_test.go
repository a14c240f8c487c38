package dedupe_test

import (
	"context"
	"errors"
	"log/slog"
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

// faulty is a store that calls before and after around each write.
type faulty struct {
	*memstore.Store
	mu     sync.Mutex
	before func(next protocol.Record) error // an error: the write does not happen
	after  func(next protocol.Record) error // an error: it has happened, but the answer is lost
}

func (f *faulty) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	return f.Commit(ctx, old, next, nil)
}

func (f *faulty) Commit(ctx context.Context, old protocol.Version, next protocol.Record, effects []any) error {
	f.mu.Lock()
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(next); err != nil {
			return err
		}
	}
	if err := f.Store.Commit(ctx, old, next, effects); err != nil {
		return err
	}
	if after != nil {
		return after(next)
	}
	return nil
}

var (
	errNetwork = errors.New("network")
	key        = dedupe.Key{Name: "order-17", MessageID: "m1"}
)

type bench struct {
	store *faulty
	cfg   dedupe.Config
}

func setup() *bench {
	return &bench{
		store: &faulty{Store: memstore.New()},
		cfg:   dedupe.Config{Scope: "q", Logger: slog.New(slog.DiscardHandler)},
	}
}

func (b *bench) guard(t *testing.T) *dedupe.Guard[string] {
	t.Helper()
	g, err := dedupe.New[string](b.store, b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (b *bench) record(t *testing.T) protocol.Record {
	t.Helper()
	r, err := b.store.Get(t.Context(), "q#order-17")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func returns(v string, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return v, err }
}

func TestGuard(t *testing.T) {
	t.Run("completed name is replayed and not run again", testACompletedNameIsReplayedAndNotRunAgain)
	t.Run("handler sees its attempt", testTheHandlerSeesItsAttempt)
	t.Run("only one of many guards runs", testOnlyOneOfManyGuardsRuns)
	t.Run("lease is renewed while the handler runs", testALeaseIsRenewedWhileTheHandlerRuns)
	t.Run("handler is cancelled before its lease ends", testAHandlerIsCancelledBeforeItsLeaseEnds)
	t.Run("taken over attempt loses and leaves its message", testATakenOverAttemptLosesAndLeavesItsMessage)
	t.Run("lost answer is recognised as ours", testALostAnswerIsRecognisedAsOurs)
	t.Run("permanent failure is rejected and stays so", testAPermanentFailureIsRejectedAndStaysSo)
	t.Run("stop releases the attempt uncounted", testAStopReleasesTheAttemptUncounted)
	t.Run("stop on the last delivery is a failure", testAStopOnTheLastDeliveryIsAFailure)
	t.Run("store that is down keeps the caller until it gives up", testAStoreThatIsDownKeepsTheCallerUntilItGivesUp)
	t.Run("claim given up is released", testAClaimGivenUpIsReleased)
	t.Run("claim given up leaves anothers of the same version alone", testAClaimGivenUpLeavesAnothersOfTheSameVersionAlone)
	t.Run("outcome is written through an outage", testAnOutcomeIsWrittenThroughAnOutage)
	t.Run("outcome that cannot be recorded before the stop leaves the message", testAnOutcomeThatCannotBeRecordedBeforeTheStopLeavesTheMessage)
	t.Run("second one joins the first for a moment", testASecondOneJoinsTheFirstForAMoment)
	t.Run("second one with another payload mismatches at once", testASecondOneWithAnotherPayloadMismatchesAtOnce)
	t.Run("panic is a failure with its stack", testAPanicIsAFailureWithItsStack)
	t.Run("result that cannot be stored never fails the completion", testAResultThatCannotBeStoredNeverFailsTheCompletion)
	t.Run("bad config lists every problem", testABadConfigListsEveryProblem)
	t.Run("store is refused when its calls outlast the lease", testAStoreIsRefusedWhenItsCallsOutlastTheLease)
	t.Run("bad name starts nothing", testABadNameStartsNothing)
	t.Run("wrap runs a message once per name", testWrapRunsAMessageOncePerName)
}

func testACompletedNameIsReplayedAndNotRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		first, err := b.guard(t).Do(t.Context(), key, returns("done", nil))
		if err != nil || first.Replayed || first.Value != "done" {
			t.Fatalf("first: %+v, %v", first, err)
		}
		again, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
			t.Error("ran again")
			return "", nil
		})
		if err != nil || !again.Replayed || again.Value != "done" {
			t.Fatalf("again: %+v, %v", again, err)
		}
		if r := b.record(t); r.Status != protocol.Completed || r.Attempts != 1 || string(r.Result) != `"done"` {
			t.Errorf("record: %+v", r)
		}
	})
}

func testTheHandlerSeesItsAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		_, _ = b.guard(t).Do(t.Context(), key, returns("", errors.New("first try")))
		_, err := b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
			a, ok := dedupe.AttemptFrom(ctx)
			if r := b.record(t); !ok || a.Name != "order-17" || a.Number != 2 || a.Fence != r.Fence {
				t.Errorf("attempt %+v, record %+v", a, r)
			}
			return "", nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func testOnlyOneOfManyGuardsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var mu sync.Mutex
		ran, deferred := 0, 0
		var wg sync.WaitGroup
		for range 50 {
			g := b.guard(t)
			wg.Go(func() {
				_, err := g.Do(t.Context(), key, func(context.Context) (string, error) {
					mu.Lock()
					ran++
					mu.Unlock()
					time.Sleep(5 * time.Second)
					return "", nil
				})
				if in, ok := errors.AsType[*dedupe.InProgressError](err); ok {
					if !in.Deferred() || in.RetryAfter() <= 30*time.Second {
						t.Errorf("deferred for %s, less than lease and skew", in.RetryAfter())
					}
					mu.Lock()
					deferred++
					mu.Unlock()
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if ran != 1 || deferred != 49 {
			t.Errorf("%d ran, %d deferred", ran, deferred)
		}
	})
}

func testALeaseIsRenewedWhileTheHandlerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		_, err := b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
			for range 40 {
				time.Sleep(15 * time.Second)
				if r := b.record(t); !r.LeaseUntil.After(time.Now()) {
					t.Fatalf("lease ended at %s", r.LeaseUntil)
				}
				var in *dedupe.InProgressError
				if _, err := b.guard(t).Do(t.Context(), key, returns("", nil)); !errors.As(err, &in) {
					t.Fatalf("another attempt: %v", err)
				}
			}
			return "", ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func testAHandlerIsCancelledBeforeItsLeaseEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		late time.Duration // the answer to the claim
		hang bool          // renewals hang, and do not fail at once
	}{"RenewalsFail": {}, "RenewalsHang": {hang: true}, "ClaimAnsweredLate": {late: 10 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				start := time.Now()
				b.store.after = func(r protocol.Record) error {
					if isClaim(r) {
						time.Sleep(tc.late)
					}
					return nil
				}
				var running atomic.Bool
				b.store.before = func(protocol.Record) error {
					if !running.Load() {
						return nil
					}
					if tc.hang {
						time.Sleep(10 * time.Second)
					}
					return errNetwork
				}
				var cancelled time.Duration
				_, _ = b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
					running.Store(true)
					<-ctx.Done()
					cancelled = time.Since(start)
					running.Store(false)
					if !errors.Is(context.Cause(ctx), dedupe.ErrLeaseLost) {
						t.Errorf("cause %v", context.Cause(ctx))
					}
					return "", ctx.Err()
				})
				if cancelled != 28*time.Second {
					t.Errorf("cancelled after %s, want lease minus skew", cancelled)
				}
			})
		})
	}
}

// keeper is the error of an attempt that must leave its message alone.
type keeper interface {
	error
	Keep() bool
	Reason() string
}

// kept fails the test unless err is such an error.
func kept(t *testing.T, err error) keeper {
	t.Helper()
	keep, ok := errors.AsType[keeper](err)
	if !ok || !keep.Keep() {
		t.Fatalf("got %v", err)
	}
	return keep
}

func testATakenOverAttemptLosesAndLeavesItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var cut atomic.Bool
		b.store.before = func(r protocol.Record) error {
			if cut.Load() && r.Status == protocol.InProgress && r.Version != r.Fence { // a renewal
				return errNetwork
			}
			return nil
		}
		_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
			cut.Store(true)
			time.Sleep(40 * time.Second) // ignores its cancellation
			if _, err := b.guard(t).Do(t.Context(), key, returns("second", nil)); err != nil {
				t.Error(err)
			}
			cut.Store(false)
			return "first", nil
		})
		if keep := kept(t, err); !errors.Is(err, dedupe.ErrLeaseLost) || keep.Reason() != "in progress elsewhere" {
			t.Errorf("got %v, reason %q", err, keep.Reason())
		}
		if r := b.record(t); string(r.Result) != `"second"` || r.Attempts != 2 {
			t.Errorf("record: %s after %d attempts", r.Result, r.Attempts)
		}
	})
}

func testALostAnswerIsRecognisedAsOurs(t *testing.T) {
	for _, status := range []protocol.Status{protocol.InProgress, protocol.Completed, protocol.Retrying, protocol.Rejected} {
		t.Run(string(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				lost := false
				b.store.after = func(r protocol.Record) error {
					if r.Status == status && !lost {
						lost = true
						return errNetwork
					}
					return nil
				}
				var fail error
				switch status {
				case protocol.Retrying:
					fail = errors.New("try again")
				case protocol.Rejected:
					fail = permanent{}
				default: // it succeeds
				}
				runs := 0
				_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
					runs++
					return "", fail
				})
				if !errors.Is(err, fail) || runs != 1 || !lost {
					t.Errorf("%d runs, err %v, lost %v", runs, err, lost)
				}
				if r := b.record(t); r.Attempts != 1 {
					t.Errorf("%d attempts recorded", r.Attempts)
				}
			})
		})
	}
}

type permanent struct{}

func (permanent) Error() string   { return "bad order" }
func (permanent) Permanent() bool { return true }

func testAPermanentFailureIsRejectedAndStaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		for try := range 2 {
			_, err := b.guard(t).Do(t.Context(), key, returns("", permanent{}))
			rejected, ok := errors.AsType[*dedupe.RejectedError](err)
			if !ok || !rejected.Permanent() || rejected.Text != "bad order" || (rejected.Err != nil) != (try == 0) {
				t.Errorf("try %d: %v", try, err)
			}
		}
	})
}

func TestAttemptsUsedUpReject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.MaxAttempts = 3
		boom := errors.New("boom")
		for try := 1; try <= 3; try++ {
			_, err := b.guard(t).Do(t.Context(), key, returns("", boom))
			_, rejected := errors.AsType[*dedupe.RejectedError](err)
			if !errors.Is(err, boom) || rejected != (try == 3) {
				t.Errorf("try %d: %v", try, err)
			}
		}
	})
}

func testAStopReleasesTheAttemptUncounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.guard(t).Do(ctx, key, func(ctx context.Context) (string, error) {
			cancel()
			return "", ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if r := b.record(t); r.Status != protocol.Retrying || r.Attempts != 0 {
			t.Errorf("record %s with %d attempts", r.Status, r.Attempts)
		}
	})
}

func testAStopOnTheLastDeliveryIsAFailure(t *testing.T) {
	for name, hold := range map[string]bool{"Rejected": false, "UnknownUnderHold": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				b.cfg.Hold = hold
				ctx, cancel := context.WithCancel(t.Context())
				last := key
				last.LastDelivery = true
				_, err := b.guard(t).Do(ctx, last, func(ctx context.Context) (string, error) {
					cancel()
					return "", ctx.Err()
				})
				want := protocol.Rejected
				if hold {
					want = protocol.Unknown
				}
				var reason interface {
					error
					Reason() string
				}
				if r := b.record(t); r.Status != want || !errors.As(err, &reason) {
					t.Errorf("record %s, error %v", r.Status, err)
				}
				if !hold && reason.Reason() != "stopped" {
					t.Errorf("reason %q", reason.Reason())
				}
			})
		})
	}
}

func testAStoreThatIsDownKeepsTheCallerUntilItGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.store.before = func(protocol.Record) error { return errNetwork }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := b.guard(t).Do(ctx, key, func(context.Context) (string, error) {
			t.Error("ran without a claim")
			return "", nil
		})
		if !errors.Is(err, dedupe.ErrUnavailable) || time.Since(start) < time.Hour {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

func testAClaimGivenUpIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		ctx, cancel := context.WithCancel(t.Context())
		b.store.after = func(r protocol.Record) error {
			if r.Status == protocol.InProgress {
				cancel()
				return errNetwork
			}
			return nil
		}
		_, err := b.guard(t).Do(ctx, key, returns("", nil))
		if !errors.Is(err, dedupe.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if r := b.record(t); r.Status != protocol.Retrying || r.Attempts != 0 {
			t.Errorf("record %s with %d attempts", r.Status, r.Attempts)
		}
	})
}

// swapOnly is a store that cannot read.
type swapOnly struct{ dedupe.Store }

// Two workers claim a name in one millisecond, so both claims have the same version. A claim that
// was not written, and is abandoned, must not affect the other.
func testAClaimGivenUpLeavesAnothersOfTheSameVersionAlone(t *testing.T) {
	for name, asSeen := range map[string]func(dedupe.Store) dedupe.Store{
		"a store that reads":   func(s dedupe.Store) dedupe.Store { return s },
		"one that cannot read": func(s dedupe.Store) dedupe.Store { return swapOnly{s} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				running, end := make(chan struct{}), make(chan struct{})
				won := make(chan error, 1)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				lost := protocol.Version(0)
				b.store.before = func(r protocol.Record) error {
					lost = r.Version
					b.store.mu.Lock()
					b.store.before = nil
					b.store.mu.Unlock()
					go func() {
						_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
							close(running)
							<-end
							return "done", nil
						})
						won <- err
					}()
					<-running
					cancel()
					return errNetwork
				}
				g, err := dedupe.New[string](asSeen(b.store), b.cfg)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := g.Do(ctx, key, returns("", nil)); !errors.Is(err, dedupe.ErrUnavailable) {
					t.Errorf("abandoned claim: %v", err)
				}
				if r := b.record(t); r.Version != lost || r.Status != protocol.InProgress || r.Attempts != 1 {
					t.Errorf("record %s at version %d with %d attempts; the claims were to have version %d", r.Status, r.Version, r.Attempts, lost)
				}
				close(end)
				if err := <-won; err != nil {
					t.Errorf("the other: %v", err)
				}
			})
		})
	}
}

func testAnOutcomeIsWrittenThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		start := time.Now()
		b.store.before = func(r protocol.Record) error {
			if r.Status == protocol.Completed && time.Since(start) < 10*time.Minute {
				return errNetwork
			}
			return nil
		}
		if _, err := b.guard(t).Do(t.Context(), key, returns("late", nil)); err != nil {
			t.Fatal(err)
		}
		if r := b.record(t); r.Status != protocol.Completed {
			t.Errorf("record %s", r.Status)
		}
	})
}

func testAnOutcomeThatCannotBeRecordedBeforeTheStopLeavesTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.store.before = func(r protocol.Record) error {
			if r.Status == protocol.Completed {
				return errNetwork
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.guard(t).Do(ctx, key, func(context.Context) (string, error) { cancel(); return "", nil })
		if keep := kept(t, err); !errors.Is(err, dedupe.ErrUnavailable) || keep.Reason() != "" {
			t.Errorf("got %v, reason %q", err, keep.Reason())
		}
		if r := b.record(t); r.Status != protocol.InProgress {
			t.Errorf("record %s", r.Status)
		}
	})
}

func testASecondOneJoinsTheFirstForAMoment(t *testing.T) {
	for name, work := range map[string]time.Duration{"Replayed": 500 * time.Millisecond, "Deferred": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				g := b.guard(t)
				var wg sync.WaitGroup
				wg.Go(func() {
					_, _ = g.Do(t.Context(), key, func(context.Context) (string, error) { time.Sleep(work); return "x", nil })
				})
				synctest.Wait()
				start := time.Now()
				res, err := g.Do(t.Context(), key, returns("", nil))
				_, deferred := errors.AsType[*dedupe.InProgressError](err)
				if waited := time.Since(start); waited != min(work, time.Second) {
					t.Errorf("waited %s", waited)
				}
				if deferred != (name == "Deferred") || res.Replayed == deferred {
					t.Errorf("got %+v, %v", res, err)
				}
				wg.Wait()
			})
		})
	}
}

func testASecondOneWithAnotherPayloadMismatchesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		g := b.guard(t)
		one, two := key, key
		one.Fingerprint, two.Fingerprint = protocol.Fingerprint{0: 1, 9: 1}, protocol.Fingerprint{0: 1, 9: 2}
		_, err := g.Do(t.Context(), one, func(ctx context.Context) (string, error) {
			start := time.Now()
			_, err := g.Do(ctx, two, returns("", nil))
			if _, ok := errors.AsType[*dedupe.MismatchError](err); !ok || time.Since(start) != 0 {
				t.Errorf("got %v after %s", err, time.Since(start))
			}
			return "", nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func testAPanicIsAFailureWithItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) { panic("ouch") })
		if err == nil || !strings.Contains(err.Error(), "ouch") || !strings.Contains(err.Error(), "guard_test.go") {
			t.Errorf("got %v", err)
		}
		if r := b.record(t); r.Status != protocol.Retrying || len(r.Error) > protocol.MaxErrorBytes {
			t.Errorf("record %s with %d bytes of error", r.Status, len(r.Error))
		}
	})
}

func testAResultThatCannotBeStoredNeverFailsTheCompletion(t *testing.T) {
	for name, result := range map[string]any{"TooLarge": strings.Repeat("x", 5000), "NotEncodable": func() {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				g, err := dedupe.New[any](b.store, b.cfg)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := g.Do(t.Context(), key, func(context.Context) (any, error) { return result, nil }); err != nil {
					t.Fatal(err)
				}
				if r := b.record(t); r.Status != protocol.Completed || r.ResultType != protocol.OmittedType {
					t.Errorf("record %s with %s", r.Status, r.ResultType)
				}
			})
		})
	}
}

func testABadConfigListsEveryProblem(t *testing.T) {
	_, err := dedupe.New[string](memstore.New(), dedupe.Config{
		Scope: "a#b", Lease: time.Millisecond, Window: -1, MaxAttempts: -1, MaxResult: 1 << 20,
	})
	for _, want := range []string{`Scope: bad scope "a#b"`, "Lease 1ms", "Window -1ns", "MaxAttempts -1", "MaxResult 1048576"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

// bounded is a store that says how long its calls may take.
type bounded struct {
	*memstore.Store
	most time.Duration
}

func (b bounded) CallTimeout() time.Duration { return b.most }

func testAStoreIsRefusedWhenItsCallsOutlastTheLease(t *testing.T) {
	for name, tc := range map[string]struct {
		store dedupe.Store
		want  string // in the error; empty: none
	}{
		"a third of the lease": {bounded{memstore.New(), 3 * time.Second}, ""},
		"longer":               {bounded{memstore.New(), 3*time.Second + 1}, "Lease 9s"},
		"nil":                  {nil, "store is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dedupe.New[string](tc.store, dedupe.Config{Scope: "q", Lease: 9 * time.Second})
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := dedupe.NewOperator(nil, dedupe.Config{Scope: "q"}); err == nil {
		t.Error("an operator without a store is accepted")
	}
}

func testABadNameStartsNothing(t *testing.T) {
	b := setup()
	if _, err := b.guard(t).Do(t.Context(), dedupe.Key{Name: "a\nb"}, returns("", nil)); !errors.Is(err, protocol.ErrBadName) {
		t.Errorf("got %v", err)
	}
}

func testWrapRunsAMessageOncePerName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		runs := 0
		h := dedupe.Wrap(b.guard(t),
			func(m string) (dedupe.Key, error) { return dedupe.Key{Name: m}, nil },
			func(context.Context, string) (string, error) { runs++; return "", nil })
		for range 3 {
			if err := h(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if runs != 1 {
			t.Errorf("ran %d times", runs)
		}
	})
}
