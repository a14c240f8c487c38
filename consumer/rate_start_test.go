package consumer

import (
	"math"
	"testing"
	"time"
)

// A refusal leaves three quarters of the rate, at most once in the time that it asks for; the
// rate regains one a second each second, and forgets refusals after ten minutes.
func TestStartRate(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var r startRate
	for i := range 200 { // a hundred a second for two seconds
		r.take(start.Add(time.Duration(i) * 10 * time.Millisecond))
	}
	for _, step := range []struct {
		at, refused time.Duration // refused: by an answer that asks for so long; -1: not
		want        float64       // a second
	}{
		{2 * time.Second, -1, 0},
		{2 * time.Second, 10 * time.Second, 75},
		{3 * time.Second, 10 * time.Second, 76}, // within the ten seconds
		{11 * time.Second, 0, 84},
		{12 * time.Second, 0, 0.75 * 85},
		{12500 * time.Millisecond, 0, 0.75*85 + 0.5}, // a second at least
		{22 * time.Second, -1, 0.75*85 + 10},
		{10*time.Minute + 11*time.Second, -1, 0.75*85 + 599},
		{10*time.Minute + 13*time.Second, -1, 0},
	} {
		now := start.Add(step.at)
		if step.refused >= 0 {
			r.cut(now, step.refused)
		}
		if got := r.perSecond(now); got != step.want {
			t.Errorf("%s: %g a second, want %g", step.at, got, step.want)
		}
	}
}

// At the bounds of a limit the next start is after now, and the bucket is full after a while.
// Other limits are refused: beyond the bounds a time or a burst overflows.
func TestRateBounds(t *testing.T) {
	for _, limit := range []float64{leastLimit, 0.5, 1, mostLimit} {
		if !goodRate(limit) {
			t.Errorf("%g is refused", limit)
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		r := startRate{limit: limit}
		for r.next(now).IsZero() && r.tokens > 1 {
			r.tokens = 1 // the burst is over but for one
		}
		r.take(now)
		next := r.next(now)
		if !next.After(now) {
			t.Errorf("%g: the next start is at %s, want after %s", limit, next, now)
		}
		if later := next.Add(time.Microsecond); !r.next(later).IsZero() {
			t.Errorf("%g: at %s the next start is at %s, want now", limit, later, r.next(later))
		}
	}
	for _, limit := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e-7, 2e9, 1e300, math.SmallestNonzeroFloat64} {
		if goodRate(limit) {
			t.Errorf("%g is accepted", limit)
		}
	}
}
