package consumer

import (
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
