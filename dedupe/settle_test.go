package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// commitTakes is the duration of a commit to a contended store.
const commitTakes = time.Second

// contended is a store in which the table of the effects is throttled for a while. It records
// violations by the guard during that time.
type contended struct {
	*memstore.Store
	t     *testing.T
	lease time.Duration // zero: renewals may be late
	until time.Time
	// arrive decides about a commit before until: it is refused, or applied without an answer. Nil:
	// refused.
	arrive func(commit func() error)

	mu      sync.Mutex
	out     string // the write in flight
	tries   []protocol.Record
	renewed int
}

func (s *contended) begin(op string) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out != "" {
		s.t.Errorf("a %s goes out beside a %s", op, s.out)
	}
	s.out = op
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.out = ""
	}
}

func (s *contended) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	if isRenewal(next) {
		defer s.begin("renewal")()
		s.renewed++
		s.tries = nil // void
		stored, err := s.Get(ctx, next.ID)
		if gap := next.LeaseUntil.Sub(stored.LeaseUntil); err != nil || s.lease > 0 && gap > s.lease/3+commitTakes {
			s.t.Errorf("a renewal goes out %s after the last: not when it is due, or one commit later", gap)
		}
	}
	return s.Store.Swap(ctx, old, next)
}

func (s *contended) Commit(ctx context.Context, old protocol.Version, next protocol.Record, effects []any) error {
	defer s.begin("commit")()
	time.Sleep(commitTakes)
	if s.tries = append(s.tries, next); !reflect.DeepEqual(s.tries[0], next) {
		s.t.Errorf("between two renewals a commit changed from %+v to %+v", s.tries[0], next)
	}
	if stored, err := s.Get(ctx, next.ID); err != nil || stored.Version != old {
		s.t.Errorf("a commit names version %d, stored is %d", old, stored.Version)
	}
	if time.Now().Before(s.until) {
		if s.arrive != nil {
			s.arrive(func() error { return s.Store.Commit(context.WithoutCancel(ctx), old, next, effects) })
		}
		return errors.New("throttled: the effect's table")
	}
	return s.Store.Commit(ctx, old, next, effects)
}

func TestSettle(t *testing.T) {
	t.Run("lease is kept until the outcome is recorded", testTheLeaseIsKeptUntilTheOutcomeIsRecorded)
	t.Run("renewal finds the completion", testARenewalFindsTheCompletion)
	t.Run("commit that arrives after a renewal is void", testACommitThatArrivesAfterARenewalIsVoid)
	t.Run("refused effects do not count", testRefusedEffectsDoNotCount)
}

// The lease is renewed until the outcome is recorded. While the record's own table answers, no
// other attempt starts.
func testTheLeaseIsKeptUntilTheOutcomeIsRecorded(t *testing.T) {
	for name, tc := range map[string]struct {
		lease time.Duration
		long  time.Duration
	}{
		"longer than a lease": {30 * time.Second, 45 * time.Second},
		"much longer":         {30 * time.Second, time.Hour},
		"a short lease":       {3 * time.Second, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				b.cfg.Lease, b.cfg.Skew = tc.lease, min(2*time.Second, tc.lease/6)
				store := &contended{Store: b.store.Store, t: t, lease: tc.lease, until: time.Now().Add(tc.long)}
				lost, conflicts := 0, 0
				b.cfg.Hooks.LeaseLost = func(dedupe.Attempt) { lost++ }
				b.cfg.Hooks.Conflicted = func(dedupe.Attempt, string) { conflicts++ }
				ran := 0
				work := func(ctx context.Context) (string, error) {
					ran++
					return "ok", memstore.Add(ctx, count)
				}
				g, err := dedupe.New[string](store, b.cfg)
				if err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					if _, err := g.Do(t.Context(), key, work); err != nil {
						t.Errorf("the first attempt: %v", err)
					}
				})
				b.cfg.Hooks = dedupe.Hooks{}
				for time.Now().Before(store.until) {
					time.Sleep(time.Second)
					_, err := b.guard(t).Do(t.Context(), dedupe.Key{Name: key.Name, MessageID: "m2"}, work)
					if _, held := errors.AsType[*dedupe.InProgressError](err); !held && time.Now().Before(store.until) {
						t.Fatalf("a duplicate is told %v", err)
					}
				}
				wg.Wait()
				if ran != 1 || lost != 0 || conflicts != 0 || b.store.Value("count") != 1 {
					t.Errorf("ran %d times, %d leases lost, %d conflicts, counter %v", ran, lost, conflicts, b.store.Value("count"))
				}
				if renewals := int(tc.long / (tc.lease * 4 / 5)); store.renewed < renewals {
					t.Errorf("%d renewals, want at least %d", store.renewed, renewals)
				}
			})
		})
	}
}

// A renewal finds a commit that was applied and whose answer was lost.
func testARenewalFindsTheCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		store := &contended{Store: b.store.Store, t: t, until: time.Now().Add(time.Minute)}
		store.arrive = func(commit func() error) {
			if store.renewed > 0 { // before the second renewal
				if err := commit(); err != nil {
					t.Error(err)
				}
				store.until = time.Now().Add(time.Hour) // without an answer at any time
				store.arrive = nil
			}
		}
		own := ""
		b.cfg.Hooks.OwnWrite = func(_ dedupe.Attempt, op string) { own = op }
		g, err := dedupe.New[string](applied{store}, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = g.Do(t.Context(), key, func(ctx context.Context) (string, error) { return "ok", memstore.Add(ctx, count) })
		if took := time.Since(start); err != nil || own != "complete" || took > time.Minute {
			t.Errorf("after %s, own write %q: %v", took, own, err)
		}
		if b.store.Value("count") != 1 {
			t.Errorf("counter %v", b.store.Value("count"))
		}
	})
}

// applied is a contended store whose record may have been changed by a commit without an answer.
type applied struct{ *contended }

func (s applied) Commit(ctx context.Context, old protocol.Version, next protocol.Record, effects []any) error {
	stored, err := s.Get(ctx, next.ID)
	if err == nil && stored.Status == protocol.Completed {
		time.Sleep(time.Second)
		return errNetwork
	}
	return s.contended.Commit(ctx, old, next, effects)
}

// A commit that arrives after a renewal is void, because it names a version that is not stored any
// more.
func testACommitThatArrivesAfterARenewalIsVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		store := &contended{Store: b.store.Store, t: t, until: time.Now().Add(45 * time.Second)}
		var late []func() error
		store.arrive = func(commit func() error) { late = append(late, commit) }
		b.cfg.Hooks.Renewed = func(_ dedupe.Attempt, err error) {
			if err != nil {
				t.Error(err)
			}
			for _, commit := range late {
				if err := commit(); !errors.As(err, new(*dedupe.ConflictError)) {
					t.Errorf("a commit of before the renewal: %v", err)
				}
			}
			late = nil
		}
		g, err := dedupe.New[string](store, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Do(t.Context(), key, func(ctx context.Context) (string, error) { return "ok", memstore.Add(ctx, count) }); err != nil {
			t.Error(err)
		}
		if store.renewed < 2 || b.store.Value("count") != 1 {
			t.Errorf("%d renewals, counter %v", store.renewed, b.store.Value("count"))
		}
	})
}

// A store that refuses the effects but accepts the record costs no attempt, because the operator
// who deploys the missing permission restarts the worker a few times.
func testRefusedEffectsDoNotCount(t *testing.T) {
	for name, tc := range map[string]struct {
		hold, all bool
		status    protocol.Status
		attempts  int
	}{
		"effects":           {false, false, protocol.Retrying, 0},
		"effects, hold":     {true, false, protocol.Unknown, 1},
		"the record, too":   {false, true, protocol.InProgress, 1}, // the lease lapses, and the attempt counts
		"the record, hold ": {true, true, protocol.InProgress, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				b.cfg.Hold = tc.hold
				begun := false
				b.store.before = func(next protocol.Record) error {
					if next.Status == protocol.Completed || begun && tc.all {
						return fmt.Errorf("%w: AccessDeniedException", dedupe.ErrUnavailable)
					}
					return nil
				}
				runs := 7
				if tc.hold || tc.all {
					runs = 1
				}
				for range runs { // each is a deployment
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					_, err := b.guard(t).Do(ctx, key, func(ctx context.Context) (string, error) {
						begun = true
						return "ok", memstore.Add(ctx, count)
					})
					if took := b.cfg.WithDefaults().Settle; time.Since(start(ctx)) > time.Minute+took {
						t.Errorf("ends later than %s after its caller", took)
					}
					cancel()
					if !errors.Is(err, dedupe.ErrUnavailable) && !tc.hold {
						t.Errorf("got %v", err)
					}
				}
				if r := b.record(t); r.Status != tc.status || r.Attempts != tc.attempts || b.store.Value("count") != nil {
					t.Errorf("%s after %d attempts, counter %v", r.Status, r.Attempts, b.store.Value("count"))
				}
			})
		})
	}
}

// start returns when a context with a timeout of a minute was made.
func start(ctx context.Context) time.Time {
	end, _ := ctx.Deadline()
	return end.Add(-time.Minute)
}
