// Package backoff computes the pause between two attempts, and waits for it unless a context ends.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy is an exponential backoff with jitter. Both fields must be positive, and First at most
// Max. The zero value never waits.
type Policy struct {
	First time.Duration // pause before the second attempt
	Max   time.Duration // the longest pause
}

// Delay returns the pause after attempt number try, counted from 0. The pause is random between
// half of First·2^try (at most Max) and all of it, so that clients that failed together do not
// retry together. random returns numbers in [0,1); nil means [rand.Float64].
func (p Policy) Delay(try int, random func() float64) time.Duration {
	d := p.First
	for i := 0; i < try && d < p.Max; i++ {
		d *= 2
	}
	d = min(d, p.Max)
	if random == nil {
		random = rand.Float64
	}
	return d/2 + time.Duration(random()*float64(d/2))
}

// Wait sleeps for [Policy.Delay] with [rand.Float64]. Its error is that of [Sleep].
func (p Policy) Wait(ctx context.Context, try int) error { return Sleep(ctx, p.Delay(try, nil)) }

// Sleep waits for d or for the end of ctx. It returns nil if ctx is live after d, and
// [context.Cause] of ctx otherwise. With d at or below zero it does not wait.
func Sleep(ctx context.Context, d time.Duration) error {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
