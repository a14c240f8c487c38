package sim

import (
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

// quiet is the plan of a seed without any fault.
func quiet(seed int) Plan {
	p := NewPlan(uint64(seed), true)
	return Plan{
		Seed: p.Seed, Live: true, FIFO: p.FIFO, MaxReceives: p.MaxReceives, Workers: p.Workers, Concurrency: p.Concurrency,
		Names: p.Names, Messages: p.Messages, Groups: p.Groups,
		Visibility: p.Visibility, Lease: p.Lease, Skew: p.Skew, Drain: 25 * time.Second, MaxAttempts: 5,
		Chaos: p.Chaos, Settle: p.Settle, MaxPause: p.MaxPause,
	}
}

// focus runs seeds of the quiet plan with one kind of trouble added, and
// returns the sum of what was seen.
func focus(t *testing.T, seeds int, trouble func(*Plan), also func(*Report)) *summary {
	t.Helper()
	return focusOn(t, Run, seeds, trouble, also)
}

func focusOn(t *testing.T, run func(Plan) *Report, seeds int, trouble func(*Plan), also func(*Report)) *summary {
	t.Helper()
	sum := newSummary()
	for seed := range testutil.N(t, seeds) {
		plan := quiet(seed)
		trouble(&plan)
		r := simulate(t, plan, run)
		sum.add(r)
		if also != nil {
			also(r)
		}
		if len(r.Violations) > 0 {
			save(t, r)
			return sum
		}
	}
	return sum
}

// Each rule with the faults that try it most, and no others.
// many reports whether the runs are enough to have met what a plan provokes; under the
// race detector they are not.
func (s *summary) many() bool { return s.runs >= 10 }

func TestRules(t *testing.T) {
	t.Run("no fault", testNoFault)
	t.Run("restart", testRestart)
	t.Run("outage", testOutage)
	t.Run("clocks within the skew", testClocksWithinSkew)
	t.Run("clocks beyond the skew", testClocksBeyondSkew)
	t.Run("paused process", testPausedProcess)
	t.Run("stop while the target is down", testStopWhileDown)
	t.Run("failing deletes", testFailingDeletes)
	t.Run("unknown outcome", testUnknownOutcome)
	t.Run("another payload", testAnotherPayload)
	t.Run("failures in place", testFailuresInPlace)
}

func testNoFault(t *testing.T) {
	focus(t, 40, func(*Plan) {}, func(r *Report) {
		if r.Stats.Attempts != r.Stats.Completed || r.Stats.DeadLetters+r.Stats.SQSMoved > 0 {
			t.Errorf("seed %d: %+v", r.Plan.Seed, r.Stats)
		}
	})
}

// Each message is received once only before SQS would move it; workers are
// told to stop again and again; handlers are shorter than the drain.
func testRestart(t *testing.T) {
	focus(t, 40, func(p *Plan) { p.MaxReceives, p.Restarts, p.Messages = 1, 10, p.Names }, func(r *Report) {
		if r.Stats.SQSMoved+r.Stats.DeadLetters > 0 || r.Stats.Attempts != r.Stats.Completed {
			t.Errorf("seed %d: %+v", r.Plan.Seed, r.Stats)
		}
	})
}

// A target or a store that is down for minutes costs no attempt and no message,
// however few receives SQS allows.
func testOutage(t *testing.T) {
	for name, trouble := range map[string]func(*Plan){
		"target": func(p *Plan) { p.TargetOutages = 3 },
		"store":  func(p *Plan) { p.StoreOutages = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			focus(t, 30, func(p *Plan) { p.MaxReceives, p.MaxAttempts = 1, 1; trouble(p) }, func(r *Report) {
				if r.Stats.SQSMoved+r.Stats.DeadLetters > 0 {
					t.Errorf("seed %d: %+v", r.Plan.Seed, r.Stats)
				}
			})
		})
	}
}

// busy makes attempts long and names few, so that many deliveries meet a
// running one.
func busy(p *Plan) {
	p.Slow, p.Names, p.Workers, p.MaxReceives = 1, 2, max(2, p.Workers), 10
	p.FIFO, p.Duplicate, p.Messages = false, 0.5, 10
}

func testClocksWithinSkew(t *testing.T) {
	sum := focus(t, 40, func(p *Plan) { busy(p); p.Clock, p.Steps, p.Crashes, p.Cuts = p.Skew, 5, 2, 6 }, nil)
	if sum.stats.Overlaps > 0 || sum.many() && sum.stats.TookOver == 0 {
		t.Errorf("overlaps, or nothing was taken over: %+v", sum.stats)
	}
}

// Beyond the skew one promise weakens, and one only: attempts may run side by
// side. Fences still rise, a completed name stays completed, and what is in a
// transaction still happens once; the rules that every run is held to say so.
func testClocksBeyondSkew(t *testing.T) {
	sum := focus(t, 30, func(p *Plan) { busy(p); p.Clock, p.Steps, p.Beyond = 4*p.Lease, 5, true }, nil)
	if sum.many() && sum.stats.Overlaps == 0 {
		t.Errorf("nothing ran side by side, so that nothing was shown: %+v", sum.stats)
	}
}

// The same for a process that is stopped for longer than its lease: what it
// does when it goes on carries a lower fence than the attempt that took over.
func testPausedProcess(t *testing.T) {
	sum := focus(t, 40, func(p *Plan) { busy(p); p.Pauses = 6 }, nil)
	if sum.many() && (sum.stats.Overlaps == 0 || sum.stats.Refused == 0) {
		t.Errorf("nothing ran side by side, or no effect came late: %+v", sum.stats)
	}
}

// A stop gives back what it has not tried, except what SQS would dead-letter
// for it, without a word: that has its reason.
func testStopWhileDown(t *testing.T) {
	sum := focus(t, 40, func(p *Plan) {
		p.MaxReceives, p.TargetOutages, p.Restarts, p.Workers = 1, 4, 12, 1
		p.Names, p.Messages, p.Concurrency, p.Groups = 6, 12, 2, 1
	}, func(r *Report) {
		if r.Stats.SQSMoved > 0 {
			t.Errorf("seed %d: %+v", r.Plan.Seed, r.Stats)
			save(t, r)
		}
	})
	if sum.many() && sum.stats.DeadLetters == 0 {
		t.Errorf("nothing was given up: %+v", sum.stats)
	}
}

// A message whose deletion fails for minutes is not delivered again meanwhile.
func testFailingDeletes(t *testing.T) {
	sum := focus(t, 20, func(p *Plan) { p.NoDelete, p.MaxReceives = 0.97, 10 }, nil)
	if sum.many() && sum.faults["delete: refuse"] == 0 {
		t.Error("every delete succeeded")
	}
}

// Held attempts of unknown outcome are never run again, and one that has done
// its work after all is completed, however late.
func testUnknownOutcome(t *testing.T) {
	sum := focus(t, 40, func(p *Plan) { busy(p); p.Hold, p.Pauses, p.Cuts, p.Deaf = true, 6, 4, 0.5 }, nil)
	if sum.many() && sum.stats.CompletedLate == 0 {
		t.Errorf("nothing came late: %+v", sum.stats)
	}
}

// Two payloads of one name: one is done, the other is told so, whoever comes
// first.
func testAnotherPayload(t *testing.T) {
	sum := focus(t, 40, func(p *Plan) {
		busy(p)
		p.Mismatch, p.Bursts, p.Concurrency, p.Slow, p.Chaos = 0.4, true, 12, 0.3, 2*time.Minute
	}, nil)
	if sum.many() && sum.stats.DeadLetters == 0 {
		t.Errorf("no payload differed: %+v", sum.stats)
	}
}

// What fails in place, at the head of its lane, is tried as often as SQS would
// deliver it, and no more.
func testFailuresInPlace(t *testing.T) {
	sum := focus(t, 30, func(p *Plan) {
		p.FIFO, p.MaxReceives, p.MaxAttempts, p.Fail = true, 2+int(p.Seed%2), 20, 0.7
	}, nil)
	if sum.many() && sum.stats.DeadLetters == 0 || sum.stats.SQSMoved > 0 {
		t.Errorf("nothing failed too often, or SQS had to move it: %+v", sum.stats)
	}
}
