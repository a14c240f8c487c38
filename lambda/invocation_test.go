package sqsoncelambda

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestDeadline(t *testing.T) {
	t.Run("work ends before it", testWorkEndsBeforeTheDeadline)
	t.Run("no lease reaches past it", testNoLeaseReachesPastTheDeadline)
	t.Run("killed function", testKilledFunction)
	t.Run("too short a timeout", testTooShortATimeout)
	t.Run("not begun in time", testNotBegunInTime)
}

func testWorkEndsBeforeTheDeadline(t *testing.T) {
	for skew, want := range map[time.Duration]time.Duration{time.Second: 58 * time.Second, 0: 56 * time.Second, 5 * time.Second: 50 * time.Second} {
		bubble(t, 5, false, func(t *testing.T, b *bench) {
			b.cfg.Guard.Skew = skew
			began, cause := time.Now(), error(nil)
			var ended time.Duration
			b.work = func(ctx context.Context, _ sqsonce.Message) (string, error) {
				<-ctx.Done()
				ended, cause = time.Since(began), context.Cause(ctx)
				return "", ctx.Err()
			}
			b.send("", "a")
			equal(t, "failures", b.invoke(), []string{"a"})
			if ended != want || !errors.Is(cause, context.DeadlineExceeded) {
				t.Errorf("skew %s: the work's context ended after %s: %v", skew, ended, cause)
			}
			if r := b.record("a"); r.Status != protocol.Retrying || r.Attempts != 1 {
				t.Errorf("record %s after %d attempts, want a failure", r.Status, r.Attempts)
			}
		})
	}
}

// watched is a store that calls wrote with each record that it is sent.
type watched struct {
	dedupe.Store
	wrote func(protocol.Record)
}

func (w watched) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	w.wrote(next)
	return w.Store.Swap(ctx, old, next)
}

func testNoLeaseReachesPastTheDeadline(t *testing.T) {
	for _, timeout := range []time.Duration{6 * time.Second, 30 * time.Second, time.Minute, 15 * time.Minute} {
		bubble(t, 5, false, func(t *testing.T, b *bench) {
			b.timeout = timeout
			deadline := time.Now().Add(timeout)
			var leases atomic.Int64
			b.cfg.Store = watched{b.store, func(r protocol.Record) {
				if leases.Add(1); r.LeaseUntil.After(deadline) {
					t.Errorf("timeout %s: a lease ends %s after the deadline", timeout, r.LeaseUntil.Sub(deadline))
				}
			}}
			b.work = func(ctx context.Context, _ sqsonce.Message) (string, error) { <-ctx.Done(); return "", ctx.Err() }
			b.send("", "a", "b", "c")
			b.invoke()
			if leases.Load() < 6 {
				t.Errorf("timeout %s: %d writes", timeout, leases.Load())
			}
		})
	}
}

// Lambda has killed the function in the middle of its work. Its message comes back after the
// queue's visibility timeout, to a name that is free.
func testKilledFunction(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.timeout = 20 * time.Second
		killed := make(chan struct{})
		gone := b.cfg
		gone.Store = watched{b.store, func(r protocol.Record) {
			if r.Attempts == 1 && r.Version != r.Fence {
				<-killed // writes no more
			}
		}}
		first, err := New(aws.Config{}, gone, func(ctx context.Context, _ sqsonce.Message) (string, error) { <-ctx.Done(); return "", ctx.Err() })
		if err != nil {
			t.Fatal(err)
		}
		b.send("", "a")
		event := b.receive(b.queueURL)
		deadline := time.Now().Add(b.timeout)
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = first.Handle(ctx, event)
		}()
		time.Sleep(time.Until(deadline) + 2*time.Second - time.Millisecond)
		held, err := b.beside().Do(t.Context(), dedupe.Key{Name: "a"}, func(context.Context) (string, error) { return "", nil })
		if err == nil {
			t.Errorf("%+v: taken over before the deadline and the skew margin", held)
		}
		time.Sleep(2 * time.Millisecond)
		if _, err := b.beside().Do(t.Context(), dedupe.Key{Name: "a"}, func(context.Context) (string, error) { return "", nil }); err != nil {
			t.Errorf("not taken over after the deadline and the skew margin: %v", err)
		}
		close(killed)
		<-ended
	})
}

func testTooShortATimeout(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.send("", "a")
		event := b.receive(b.queueURL)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // Lambda's default
		defer cancel()
		_, err := b.ready().Handle(ctx, event)
		if err == nil || !strings.Contains(err.Error(), "has 3s left") || !strings.Contains(err.Error(), "MinTime 1s and twice Guard.Skew 2s") {
			t.Error(err)
		}
	})
}

func testNotBegunInTime(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, b *bench) {
		b.cfg.Concurrency = 1
		b.work = func(context.Context, sqsonce.Message) (string, error) { time.Sleep(55 * time.Second); return "", nil }
		b.send("", "a", "b", "c")
		equal(t, "failures", b.invoke(), []string{"b", "c"})
		equal(t, "runs", b.took(), []string{"a"})
		if set := b.visibilities(); len(set) != 2 || set[0] != 0 || set[1] != 0 {
			t.Errorf("visibility timeouts %v, want none", set)
		}
		if r := b.record("b"); r.Status != "" {
			t.Errorf("record %s of a message that was not begun", r.Status)
		}
		// On its last receive it is moved, so that a reason goes with it.
		equal(t, "failures", b.invoke(), nil)
		equal(t, "runs", b.took(), []string{"b"})
		if got := b.texts(); got[consumer.AttrReason] != reasonUntried || got["sqsonce.attempts"] != "1" {
			t.Errorf("dead letter %v", got)
		}
	})
}

// suspension is a wall clock that goes on while the function, and its monotonic clock, are
// suspended.
type suspension struct{ gone atomic.Int64 }

func (s *suspension) now() time.Time       { return time.Now().Add(time.Duration(s.gone.Load())) }
func (s *suspension) pass(d time.Duration) { s.gone.Add(int64(d)) }

func TestSuspension(t *testing.T) {
	t.Run("claim is not believed", testThawedClaim)
	t.Run("outcome is not recorded over another", testThawedOutcome)
	t.Run("rest of the event is not begun", testThawedEvent)
}

// takeOver makes another process take the name over after the lease of the function has ended.
func (b *bench) takeOver(clock *suspension) {
	b.t.Helper()
	clock.pass(time.Minute)
	cfg := b.cfg.Guard
	cfg.Scope, cfg.Hooks = queueName(b.arn), dedupe.Hooks{}
	g, err := dedupe.New[string](b.store, cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := g.Do(b.t.Context(), dedupe.Key{Name: "a"}, func(context.Context) (string, error) { return "second", nil }); err != nil {
		b.t.Error(err)
	}
}

func testThawedClaim(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		clock := &suspension{}
		b.timeout = 15 * time.Minute
		b.cfg.Guard.Now = clock.now
		b.cfg.Guard.Hooks.Claimed = func(dedupe.Attempt) { b.takeOver(clock) }
		b.send("", "a")
		equal(t, "failures", b.invoke(), []string{"a"})
		equal(t, "runs", b.took(), nil)
		if r := b.record("a"); string(r.Result) != `"second"` {
			t.Errorf("result %s", r.Result)
		}
	})
}

func testThawedOutcome(t *testing.T) {
	for name, outcome := range map[string]error{"success": nil, "failure": errors.New("not now"), "rejection": permanent{}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 5, false, func(t *testing.T, b *bench) {
				clock := &suspension{}
				b.timeout = 15 * time.Minute
				b.cfg.Guard.Now = clock.now
				b.work = func(context.Context, sqsonce.Message) (string, error) {
					b.takeOver(clock)
					return "first", outcome
				}
				b.send("", "a")
				equal(t, "failures", b.invoke(), []string{"a"}) // comes again, and is answered
				if r := b.record("a"); string(r.Result) != `"second"` || r.Attempts != 2 {
					t.Errorf("result %s after %d attempts", r.Result, r.Attempts)
				}
				if dead := b.receive(b.dlqURL).Records; len(dead) > 0 {
					t.Errorf("%d dead letters", len(dead))
				}
			})
		})
	}
}

// The deadline is over by the wall clock, which a timer does not know of.
func testThawedEvent(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		clock := &suspension{}
		b.cfg.Guard.Now, b.cfg.Concurrency = clock.now, 1
		b.work = func(context.Context, sqsonce.Message) (string, error) { clock.pass(56 * time.Second); return "", nil }
		b.send("", "a", "b")
		equal(t, "failures", b.invoke(), []string{"b"})
		equal(t, "runs", b.took(), []string{"a"})
	})
}
