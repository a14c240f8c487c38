//go:build late

package sim

import (
	"strconv"
	"testing"
	"time"
)

// TestLate runs seeds with late timers and goroutines. It needs the package time of lateclock.
func TestLate(t *testing.T) {
	time.Late = lateTimer
	t.Run("no other fault", testNoFaultButLate)
	t.Run("safety", func(t *testing.T) { manyDelayed(t, false) })
	t.Run("liveness", func(t *testing.T) { manyDelayed(t, true) })
	t.Run("trouble", func(t *testing.T) {
		manyOf(t, func(seed uint64) Plan {
			p := NewTroubled(seed)
			p.Late = p.Skew / 20 // more would slow down the probes, which have a rule on their pace
			return p
		}, 20, Run)
	})
}

// On a busy machine without other faults every name is handled once, and no lease is lost.
func testNoFaultButLate(t *testing.T) {
	focus(t, 20, func(p *Plan) {
		p.FIFO, p.Workers, p.Lease, p.Skew, p.Visibility = false, 1, 10*time.Second, time.Second, 30*time.Second
		p.Late, p.Slow, p.Concurrency = p.Skew/2, 0.03, 50
		p.Names, p.Chaos = 600, 2*time.Minute
		p.Messages = p.Names
	}, func(r *Report) {
		if s := r.Stats; s.Attempts != s.Completed || s.LeaseLost > 0 || s.DeadLetters+s.SQSMoved > 0 {
			t.Errorf("seed %d: %+v", r.Plan.Seed, s)
		}
	})
}

func manyDelayed(t *testing.T, live bool) {
	sum := manyOf(t, func(seed uint64) Plan { return NewPlan(seed, live).Delayed() }, 50, Run)
	if sum.faults["timer: late"] == 0 {
		t.Error("no timer was late")
	}
}

// lateTimer returns the time after which a timer of d fires. It is drawn from the instant and d,
// because no two events share an instant.
func lateTimer(d time.Duration) time.Duration {
	w := running.Load()
	if w == nil {
		return d
	}
	now := int64(time.Since(w.start))
	by := w.lateness(w.dice.roll("timer", strconv.FormatInt(now, 36), int(d)))
	if by > 0 {
		w.late.Add(1)
	}
	return max(d, 0) + by
}
