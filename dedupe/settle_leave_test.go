package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

// skew is the default of Config.Skew.
const skew = 2 * time.Second

// stillRunning is the error of a handler whose request may still be served.
type stillRunning struct{ until time.Time }

func (stillRunning) Error() string             { return "no answer" }
func (e stillRunning) RunningUntil() time.Time { return e.until }

// leaves is a handler that gives up waiting after a second, while its work may run
// for so much longer.
func leaves(rest time.Duration) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		time.Sleep(time.Second)
		return "", fmt.Errorf("post: %w", stillRunning{time.Now().Add(rest)})
	}
}

// cutOff says that a stop of the process is the cause.
type cutOff struct{ error }

func (cutOff) Stopped() bool   { return true }
func (e cutOff) Unwrap() error { return e.error }

// leaving is a case of TestLeave.
type leaving struct {
	hold, stop, last bool
	together         bool // the error says that the stop of its process is the cause
	rest             time.Duration
	status           protocol.Status
	attempts         int
	held             bool   // the name, until the work is over
	outcome          string // as told to Settled
}

func TestLeave(t *testing.T) {
	for name, tc := range map[string]leaving{
		"the name stays held":          {rest: time.Minute, status: protocol.InProgress, attempts: 1, held: true, outcome: "left"},
		"longer than a lease":          {rest: time.Hour, status: protocol.InProgress, attempts: 1, held: true, outcome: "left"},
		"the work is over":             {rest: -time.Second, status: protocol.Retrying, attempts: 1, outcome: "retrying"},
		"a stop does not count":        {stop: true, rest: time.Minute, status: protocol.InProgress, attempts: 0, held: true, outcome: "left"},
		"cut off by a stop":            {together: true, rest: time.Minute, status: protocol.InProgress, attempts: 0, held: true, outcome: "left"},
		"cut off, on the last":         {together: true, last: true, rest: time.Minute, status: protocol.InProgress, attempts: 0, held: true, outcome: "left"},
		"cut off, when it is over":     {together: true, rest: -time.Second, status: protocol.Retrying, attempts: 0, outcome: "released"},
		"cut off, over, on the last":   {together: true, last: true, rest: -time.Second, status: protocol.Rejected, attempts: 1, outcome: "rejected"},
		"cut off, under hold":          {together: true, hold: true, rest: time.Minute, status: protocol.Unknown, attempts: 1, outcome: "unknown"},
		"on the last delivery":         {last: true, rest: time.Minute, status: protocol.InProgress, attempts: 1, held: true, outcome: "left"},
		"under hold":                   {hold: true, rest: time.Minute, status: protocol.Unknown, attempts: 1, outcome: "unknown"},
		"under hold, when it is over":  {hold: true, rest: -time.Second, status: protocol.Retrying, attempts: 1, outcome: "retrying"},
		"under hold, when it is ended": {hold: true, stop: true, rest: time.Minute, status: protocol.Unknown, attempts: 1, outcome: "unknown"},
	} {
		t.Run(name, tc.check)
	}
}

// check ends an attempt by the case, and then claims the name again.
func (tc leaving) check(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.Hold = tc.hold
		outcome := ""
		b.cfg.Hooks.Settled = func(_ dedupe.Attempt, o string, _ time.Duration, _ error) { outcome = o }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		k := key
		k.LastDelivery = tc.last
		var over time.Time
		_, err := b.guard(t).Do(ctx, k, func(context.Context) (string, error) {
			if tc.stop {
				cancel()
			}
			over = time.Now().Add(time.Second + tc.rest)
			out, err := leaves(tc.rest)(ctx)
			if tc.together {
				err = cutOff{err}
			}
			return out, err
		})
		r := b.record(t)
		if r.Status != tc.status || r.Attempts != tc.attempts || outcome != tc.outcome {
			t.Fatalf("%s after %d attempts, settled as %q: %v", r.Status, r.Attempts, outcome, err)
		}
		if !tc.held {
			return
		}
		if !r.LeaseUntil.Equal(over) || r.Error == "" {
			t.Errorf("held until %s for %q, want %s", r.LeaseUntil, r.Error, over)
		}
		again, ok := errors.AsType[failure.RetryAfter](err)
		if !ok || !failure.Is(err, failure.Deferred.Deferred) || again.RetryAfter() != tc.rest+skew {
			t.Errorf("not deferred until the work is over: %v", err)
		}
		if stopped := tc.stop || tc.together; errors.Is(err, context.Canceled) != stopped {
			t.Errorf("%v is a stop: %v", err, !stopped)
		}
		if !errors.As(err, new(stillRunning)) {
			t.Errorf("%v does not wrap the handler's error", err)
		}
		time.Sleep(tc.rest + skew)
		if _, err := b.guard(t).Do(t.Context(), k, returns("", nil)); !errors.As(err, new(*dedupe.InProgressError)) {
			t.Errorf("at the end of the margin: %v", err)
		}
		time.Sleep(time.Millisecond)
		if _, err := b.guard(t).Do(t.Context(), k, returns("", nil)); err != nil {
			t.Errorf("after it: %v", err)
		}
		if got := b.record(t).Attempts; got != tc.attempts+1 {
			t.Errorf("%d attempts in the end", got)
		}
	})
}

// A dependency of the work is down, and a request to it may still be served. The name stays held,
// and the attempt does not count.
func TestLeaveWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		_, err := b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
			_, err := leaves(time.Minute)(ctx)
			return "", downAnd{err}
		})
		again, ok := errors.AsType[failure.RetryAfter](err)
		if !ok || !failure.Is(err, failure.Unavailable.Unavailable) || again.RetryAfter() != time.Minute+skew {
			t.Errorf("not unavailable until the work is over: %v", err)
		}
		if r := b.record(t); r.Status != protocol.InProgress || r.Attempts != 0 || !r.LeaseUntil.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("%s after %d attempts, held until %s", r.Status, r.Attempts, r.LeaseUntil)
		}
	})
}

// downAnd is an error with Down() true that wraps another error.
type downAnd struct{ error }

func (downAnd) Down() bool      { return true }
func (e downAnd) Unwrap() error { return e.error }

func TestLeaveUsesUpAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.MaxAttempts = 2
		for range 2 {
			_, err := b.guard(t).Do(t.Context(), key, leaves(time.Minute))
			if !failure.Is(err, failure.Deferred.Deferred) {
				t.Fatal(err)
			}
			time.Sleep(time.Minute + 3*time.Second)
		}
		_, err := b.guard(t).Do(t.Context(), key, returns("", nil))
		if e, ok := errors.AsType[*dedupe.RejectedError](err); !ok || e.Reason() != "attempts used up" || e.Text != "post: no answer" {
			t.Errorf("got %v", err)
		}
	})
}

// One write, whose answer may be lost, and no renewal after it.
func TestLeaveIsOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		lost, writes, own := false, 0, 0
		b.store.after = func(next protocol.Record) error {
			writes++
			if next.Error != "" && !lost {
				lost = true
				return errNetwork
			}
			return nil
		}
		b.cfg.Hooks.OwnWrite = func(_ dedupe.Attempt, op string) {
			if op == "leave" {
				own++
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.guard(t).Do(ctx, key, func(ctx context.Context) (string, error) {
			cancel() // not counted: applied twice it would be -1
			return leaves(time.Hour)(ctx)
		})
		if !failure.Is(err, failure.Deferred.Deferred) || !lost || own != 1 {
			t.Errorf("lost %v, recognised %d times: %v", lost, own, err)
		}
		time.Sleep(time.Hour - time.Minute)
		if r := b.record(t); writes != 2 || r.Attempts != 0 {
			t.Errorf("%d writes, %d attempts", writes, r.Attempts)
		}
	})
}

// The answer to an attempt's leaving is lost, and its lease is due for a renewal before the next
// try. The renewal must not replace the end of the work by that of a lease, because the store may
// fail from then on.
func TestLeaveBeforeARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		left := false
		b.store.after = func(next protocol.Record) error {
			if next.Error != "" {
				left = true
				time.Sleep(20 * time.Second) // the lease of 30 s is due
			}
			if left {
				return errNetwork
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := time.Now().Add(time.Second + time.Hour)
		time.AfterFunc(time.Minute, cancel)
		_, err := b.guard(t).Do(ctx, key, leaves(time.Hour))
		if r := b.record(t); !left || r.Status != protocol.InProgress || !r.LeaseUntil.Equal(over) {
			t.Errorf("left %v, %s until %s, want until %s: %v", left, r.Status, r.LeaseUntil, over, err)
		}
	})
}

// TestLeaveShared: a batch has failed as a whole, and its request may still be served. The
// name stays held, and the attempt does not count.
func TestLeaveShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		_, err := b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
			_, err := leaves(time.Minute)(ctx)
			return "", shared{err}
		})
		again, ok := errors.AsType[failure.RetryAfter](err)
		if !ok || !failure.Is(err, failure.Shared.Shared) || !failure.Is(err, failure.Left.Left) || again.RetryAfter() != time.Minute+skew {
			t.Errorf("not shared, or not left until the work is over: %v", err)
		}
		if r := b.record(t); r.Status != protocol.InProgress || r.Attempts != 0 || !r.LeaseUntil.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("%s after %d attempts, held until %s", r.Status, r.Attempts, r.LeaseUntil)
		}
	})
}
