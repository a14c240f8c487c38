package dedupe_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestHooks(t *testing.T) {
	t.Run("slow hook holds up no lease", testASlowHookHoldsUpNoLease)
	t.Run("hook that outlives the lease keeps its handler from starting", testAHookThatOutlivesTheLeaseKeepsItsHandlerFromStarting)
	t.Run("forgotten name is not answered after its time", testForgottenNameIsNotAnsweredAfterItsTime)
	t.Run("claim that is out when its caller ends holds nothing", testAClaimThatIsOutWhenItsCallerEndsHoldsNothing)
}

// A slow hook delays no renewals and no cancellations, neither of its own attempt nor of others.
func testASlowHookHoldsUpNoLease(t *testing.T) {
	for name, hooks := range map[string]dedupe.Hooks{
		"renewed": {Renewed: func(dedupe.Attempt, error) { time.Sleep(20 * time.Second) }},
		"lost": {LeaseLost: func(a dedupe.Attempt) {
			if a.Name != "bad" {
				panic("the healthy one has lost its lease")
			}
			time.Sleep(40 * time.Second)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				b.cfg.Hooks = hooks
				b.store.before = func(next protocol.Record) error {
					if next.Name == "bad" && isRenewal(next) {
						return errNetwork
					}
					return nil
				}
				g := b.guard(t)
				ended := make(chan error)
				go func() {
					_, err := g.Do(t.Context(), dedupe.Key{Name: "bad"}, func(ctx context.Context) (string, error) {
						<-ctx.Done()
						return "", context.Cause(ctx)
					})
					ended <- err
				}()
				time.Sleep(5 * time.Second)
				if _, err := g.Do(t.Context(), key, func(ctx context.Context) (string, error) {
					select {
					case <-ctx.Done():
					case <-time.After(3 * time.Minute):
					}
					return "", context.Cause(ctx)
				}); err != nil {
					t.Errorf("the healthy one: %v", err)
				}
				if err := <-ended; !errors.Is(err, dedupe.ErrLeaseLost) {
					t.Errorf("the other one: %v", err)
				}
			})
		})
	}
}

// A handler starts with at least half of its lease, or not at all, whatever the hooks before it
// take.
func testAHookThatOutlivesTheLeaseKeepsItsHandlerFromStarting(t *testing.T) {
	for name, tc := range map[string]struct {
		slow time.Duration
		runs bool
	}{"renewed": {20 * time.Second, true}, "taken over": {33 * time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				another := b.guard(t)
				b.cfg.Hooks.Claimed = func(dedupe.Attempt) { time.Sleep(tc.slow) }
				settled := ""
				b.cfg.Hooks.Settled = func(_ dedupe.Attempt, outcome string, _ time.Duration, _ error) { settled = outcome }
				g := b.guard(t)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					time.Sleep(32500 * time.Millisecond)
					_, _ = another.Do(t.Context(), key, func(context.Context) (string, error) { time.Sleep(time.Minute); return "", nil })
				}()
				ran := false
				_, err := g.Do(t.Context(), key, func(context.Context) (string, error) {
					ran = true
					if left := time.Until(b.record(t).LeaseUntil); left < 15*time.Second {
						t.Errorf("starts with %s left", left)
					}
					return "", nil
				})
				if ran != tc.runs || errors.Is(err, dedupe.ErrLeaseLost) == tc.runs || settled == "" {
					t.Errorf("ran: %t, %v, settled %q", ran, err, settled)
				}
				<-ended
			})
		})
	}
}

// An operator who forgets a name gets the time when that takes effect everywhere.
func testForgottenNameIsNotAnsweredAfterItsTime(t *testing.T) {
	for name, slow := range map[string]func(b *bench){
		"late answer": func(b *bench) {
			b.store.after = func(next protocol.Record) error {
				if next.Status == protocol.Completed {
					time.Sleep(2500 * time.Millisecond)
				}
				return nil
			}
		},
		"slow hook": func(b *bench) {
			b.cfg.Hooks.Settled = func(dedupe.Attempt, string, time.Duration, error) { time.Sleep(2500 * time.Millisecond) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				slow(b)
				g := b.guard(t)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, _ = g.Do(t.Context(), key, returns("old", nil))
				}()
				time.Sleep(time.Second) // recorded, but the answer is lost
				operator, err := dedupe.NewOperator(b.store.Store, b.cfg)
				if err != nil {
					t.Fatal(err)
				}
				effective, err := operator.Forget(t.Context(), key.Name, false)
				if err != nil {
					t.Fatal(err)
				}
				<-ended
				time.Sleep(time.Until(effective))
				if res, err := g.Do(t.Context(), key, returns("new", nil)); err != nil || res.Value != "new" {
					t.Errorf("got %+v, %v", res, err)
				}
			})
		})
	}
}

// detached is a store whose writes continue after their callers have given up.
type detached struct{ *memstore.Store }

func (d detached) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	done := make(chan error, 1)
	go func() {
		time.Sleep(20 * time.Millisecond)
		done <- d.Store.Swap(context.WithoutCancel(ctx), old, next)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// The answer to a claim in flight is awaited, because a read before it arrives would not show it.
func testAClaimThatIsOutWhenItsCallerEndsHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.MaxAttempts = 1
		g, err := dedupe.New[string](detached{b.store.Store}, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := g.Do(ctx, key, func(context.Context) (string, error) { t.Error("ran"); return "", nil }); err == nil {
			t.Error("no error")
		}
		time.Sleep(time.Second)
		if r := b.record(t); r.Status == protocol.InProgress || r.Attempts != 0 {
			t.Errorf("record %s with %d attempts", r.Status, r.Attempts)
		}
		if _, err := g.Do(t.Context(), key, returns("x", nil)); err != nil {
			t.Error(err)
		}
	})
}
