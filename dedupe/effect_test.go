package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// increment is an effect that must not be applied twice.
func increment(stored any) (any, error) {
	n, _ := stored.(int)
	return n + 1, nil
}

var count = memstore.Write{Key: "count", Update: increment}

// fault is the fate of one try of a commit.
type fault string

const (
	cut     fault = "cut"     // it never arrives, and its caller gets no answer
	lost    fault = "lost"    // it is applied, and its answer is lost
	renewed fault = "renewed" // a renewal without an answer arrives just before it
	ordered fault = "ordered" // a redriven copy of the message claims just before it
	dies    fault = "dies"    // the worker dies before it is sent
	died    fault = "died"    // the worker dies after it was applied
)

var (
	errCrashed  = errors.New("the worker has died")
	errSameTime = errors.New("one request changed under ambiguity")
)

// scripted is a store in which every try of a commit meets the next fault.
type scripted struct {
	*memstore.Store
	t      *testing.T
	faults []fault
	guard  func() *dedupe.Guard[string] // of another worker
	die    func()                       // ends the worker
	dead   bool

	renewal func() // sends the renewal without an answer; nil if there is none
	retry   []any  // the last try, if its outcome is ambiguous
}

// callTimeout bounds a call of the stores under test.
const callTimeout = 3 * time.Second

// unanswered makes a call of a store without an answer.
func unanswered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	<-ctx.Done()
	return ctx.Err()
}

func (s *scripted) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	switch {
	case s.dead:
		return errCrashed
	case isRenewal(next):
		s.renewal = func() { _ = s.Store.Swap(context.Background(), old, next) }
		return unanswered(ctx) // in flight until the handler returns
	}
	return s.Store.Swap(ctx, old, next)
}

func (s *scripted) Commit(ctx context.Context, old protocol.Version, next protocol.Record, effects []any) error {
	if s.dead {
		return errCrashed
	}
	try := []any{old, next, len(effects)}
	if s.retry != nil && !reflect.DeepEqual(s.retry, try) {
		s.t.Errorf("%v: %+v, then %+v", errSameTime, s.retry, try)
	}
	s.retry = try
	var f fault
	if len(s.faults) > 0 {
		f, s.faults = s.faults[0], s.faults[1:]
	}
	switch f {
	case cut:
		return errNetwork
	case dies:
		s.dead = true
		s.die()
		return errCrashed
	case renewed:
		if s.renewal != nil {
			s.renewal()
			s.renewal = nil
		}
	case ordered:
		again := key
		again.MessageID, again.RedriveOrder = "redriven", true
		_, _ = s.guard().Do(context.Background(), again, returns("other", nil))
	default: // below
	}
	err := s.Store.Commit(ctx, old, next, effects)
	if _, conflict := errors.AsType[*dedupe.ConflictError](err); conflict || err == nil {
		s.retry = nil
	}
	switch {
	case f == lost && err == nil:
		s.retry = try
		return errNetwork
	case f == died:
		s.dead = true
		s.die()
		return errCrashed
	}
	return err
}

// scripts returns all sequences of up to n faults.
func scripts(n int) [][]fault {
	all := [][]fault{nil}
	for shorter := [][]fault{nil}; n > 0; n-- {
		var longer [][]fault
		for _, s := range shorter {
			for _, f := range []fault{cut, lost, renewed, ordered, dies, died} {
				longer = append(longer, append(slices.Clone(s), f))
			}
		}
		all = append(all, longer...)
		shorter = longer
	}
	return all
}

func TestEffect(t *testing.T) {
	t.Run("no fault at the commit makes the counter wrong", testNoFaultAtTheCommitMakesTheCounterWrong)
	t.Run("writes of an attempt that fails are not committed", testWritesOfAnAttemptThatFailsAreNotCommitted)
	t.Run("failed condition comes back as that", testAFailedConditionComesBackAsThat)
	t.Run("condition that fails once its commit was applied is a completion", testAConditionThatFailsOnceItsCommitWasAppliedIsACompletion)
	t.Run("write that cannot be committed is refused when it is added", testAWriteThatCannotBeCommittedIsRefusedWhenItIsAdded)
}

func testNoFaultAtTheCommitMakesTheCounterWrong(t *testing.T) {
	for _, conditional := range []bool{false, true} {
		write := count
		if conditional { // like a Put with attribute_not_exists: it fails after it was applied
			write.Update = func(stored any) (any, error) {
				if stored != nil {
					return nil, errors.New("is there already")
				}
				return 1, nil
			}
		}
		for _, script := range scripts(3) {
			commitUnder(t, write, script)
		}
	}
}

// commitUnder handles a message until it is done, with faults in its commits, and checks the
// counter.
func commitUnder(t *testing.T, write memstore.Write, script []fault) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.MaxAttempts = 100
		handler := func(ctx context.Context) (string, error) {
			time.Sleep(10100 * time.Millisecond) // a renewal is in flight when it returns
			return "done", memstore.Add(ctx, write)
		}
		store := &scripted{Store: b.store.Store, t: t, faults: slices.Clone(script)}
		store.guard = func() *dedupe.Guard[string] {
			g, err := dedupe.New[string](b.store.Store, b.cfg)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		for delivery := 0; ; delivery++ {
			if delivery > 10 {
				t.Fatalf("%v: never done", script)
			}
			ctx, cancel := context.WithCancel(t.Context())
			store.die, store.dead, store.renewal, store.retry = cancel, false, nil, nil
			g, err := dedupe.New[string](store, b.cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, err = g.Do(ctx, key, handler)
			cancel()
			if err == nil {
				break
			}
			time.Sleep(time.Minute) // the message becomes visible again
		}
		if n := b.store.Value("count"); n != 1 {
			t.Errorf("after %v the counter is %v", script, n)
		}
		if r := b.record(t); r.Status != protocol.Completed {
			t.Errorf("after %v the record is %s", script, r.Status)
		}
	})
}

func testWritesOfAnAttemptThatFailsAreNotCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		_, err := b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
			if err := memstore.Add(ctx, count); err != nil {
				t.Error(err)
			}
			return "", errNetwork
		})
		if !errors.Is(err, errNetwork) || b.store.Value("count") != nil {
			t.Errorf("error %v, counter %v", err, b.store.Value("count"))
		}
	})
}

func testAFailedConditionComesBackAsThat(t *testing.T) {
	boom := errors.New("no stock left")
	for name, tc := range map[string]struct {
		err    error
		status protocol.Status
	}{"TriedAgain": {boom, protocol.Retrying}, "ForGood": {permanent{}, protocol.Rejected}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				_, err := b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
					return "", errors.Join(
						memstore.Add(ctx, count),
						memstore.Add(ctx, memstore.Write{Key: "stock", Update: func(any) (any, error) { return nil, tc.err }}),
					)
				})
				e, ok := errors.AsType[*dedupe.EffectError](err)
				if !ok || e.Index != 1 || !errors.Is(err, tc.err) || errors.Is(err, dedupe.ErrLeaseLost) {
					t.Errorf("got %v", err)
				}
				if r := b.record(t); r.Status != tc.status || r.Attempts != 1 || b.store.Value("count") != nil {
					t.Errorf("record %s with %d attempts, counter %v", r.Status, r.Attempts, b.store.Value("count"))
				}
			})
		})
	}
}

func testAConditionThatFailsOnceItsCommitWasAppliedIsACompletion(t *testing.T) {
	// The commit is delayed. It is answered as failed, by a store that checks the effect before the
	// record, and is applied before the failure is written.
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var apply func()
		b.store.before = func(r protocol.Record) error {
			switch r.Status {
			case protocol.Completed:
				apply = func() {
					if err := b.store.Store.Swap(t.Context(), r.Fence, r); err != nil {
						t.Error(err)
					}
				}
				return &dedupe.EffectError{Err: errNetwork}
			case protocol.Retrying:
				apply()
			default: // the claim
			}
			return nil
		}
		if _, err := b.guard(t).Do(t.Context(), key, returns("done", nil)); err != nil {
			t.Error(err)
		}
		if r := b.record(t); r.Status != protocol.Completed {
			t.Errorf("record %s", r.Status)
		}
	})
}

func testAWriteThatCannotBeCommittedIsRefusedWhenItIsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		refused := func(err error, want string) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
		refused(memstore.Add(t.Context(), count), "belongs to no attempt")
		var kept context.Context
		_, err := b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
			kept = ctx
			refused(dedupe.AddEffect(ctx, "text"), "string is not a memstore.Write")
			refused(memstore.Add(ctx, memstore.Write{Key: "x"}), "has no Update")
			for i := range dedupe.MaxEffects {
				if err := memstore.Add(ctx, memstore.Write{Key: fmt.Sprint(i), Update: increment}); err != nil {
					t.Fatal(err)
				}
			}
			refused(memstore.Add(ctx, count), "has 99 already")
			return "", nil
		})
		if err != nil || b.store.Value("98") != 1 || b.store.Value("count") != nil {
			t.Errorf("error %v, 98 is %v", err, b.store.Value("98"))
		}
		refused(memstore.Add(kept, count), "has ended")

		plain, err := dedupe.New[string](struct{ dedupe.Store }{memstore.New()}, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plain.Do(t.Context(), key, func(ctx context.Context) (string, error) {
			refused(memstore.Add(ctx, count), "no transactions")
			return "", nil
		}); err != nil {
			t.Error(err)
		}
	})
}
