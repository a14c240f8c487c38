package sim

import (
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

// quiet returns the plan of a seed without faults.
func quiet(seed int) Plan {
	p := NewPlan(uint64(seed), true)
	return Plan{
		Seed: p.Seed, Live: true, FIFO: p.FIFO, MaxReceives: p.MaxReceives, Workers: p.Workers, Concurrency: p.Concurrency,
		Names: p.Names, Messages: p.Messages, Groups: p.Groups,
		Visibility: p.Visibility, Lease: p.Lease, Skew: p.Skew, Drain: 25 * time.Second, MaxAttempts: 5,
		Chaos: p.Chaos, Settle: p.Settle, MaxPause: p.MaxPause,
	}
}

// focus runs seeds of the quiet plan with one kind of trouble, and returns the summary of the runs.
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

// many reports whether there are enough runs to expect the faults of a plan. Under the race
// detector there are not.
func (s *summary) many() bool { return s.runs >= 10 }

// TestRules checks each rule with the faults that threaten it most, and no others.
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

// SQS moves a message at its second receive, and workers are stopped repeatedly. Handlers are
// shorter than the drain, so every message completes.
func testRestart(t *testing.T) {
	focus(t, 40, func(p *Plan) { p.MaxReceives, p.Restarts, p.Messages = 1, 10, p.Names }, func(r *Report) {
		if r.Stats.SQSMoved+r.Stats.DeadLetters > 0 || r.Stats.Attempts != r.Stats.Completed {
			t.Errorf("seed %d: %+v", r.Plan.Seed, r.Stats)
		}
	})
}

// A target or a store that is down for minutes costs no attempt and no message, even with few
// receives.
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

// busy makes attempts long and names few, so that many deliveries meet a running attempt.
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

// With clocks beyond the skew attempts may overlap. All other promises hold: fences rise, a
// completed name stays completed, and a transaction is applied once. The rules of every run check
// these.
func testClocksBeyondSkew(t *testing.T) {
	sum := focus(t, 30, func(p *Plan) { busy(p); p.Clock, p.Steps, p.Beyond = 4*p.Lease, 5, true }, nil)
	if sum.many() && sum.stats.Overlaps == 0 {
		t.Errorf("nothing ran side by side, so that nothing was shown: %+v", sum.stats)
	}
}

// The same holds for a process that is stopped for longer than its lease. Its later effects have a
// lower fence than those of the attempt that took over.
func testPausedProcess(t *testing.T) {
	sum := focus(t, 40, func(p *Plan) { busy(p); p.Pauses = 6 }, nil)
	if sum.many() && (sum.stats.Overlaps == 0 || sum.stats.Refused == 0) {
		t.Errorf("nothing ran side by side, or no effect came late: %+v", sum.stats)
	}
}

// A stop releases untried messages. A message on its last receive, which SQS would dead-letter
// without a reason, is dead-lettered with its reason.
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

// A message stays invisible while its deletion fails for minutes.
func testFailingDeletes(t *testing.T) {
	sum := focus(t, 20, func(p *Plan) { p.NoDelete, p.MaxReceives = 0.97, 10 }, nil)
	if sum.many() && sum.faults["delete: refuse"] == 0 {
		t.Error("every delete succeeded")
	}
}

// With Hold a name of unknown outcome never runs again. If its attempt has done the work, its late
// completion is recorded.
func testUnknownOutcome(t *testing.T) {
	sum := focus(t, 40, func(p *Plan) { busy(p); p.Hold, p.Pauses, p.Cuts, p.Deaf = true, 6, 4, 0.5 }, nil)
	if sum.many() && sum.stats.CompletedLate == 0 {
		t.Errorf("nothing came late: %+v", sum.stats)
	}
}

// Of two payloads of one name one is handled, and the other is answered with a mismatch, in either
// order.
func testAnotherPayload(t *testing.T) {
	sum := focus(t, 40, func(p *Plan) {
		busy(p)
		p.Mismatch, p.Bursts, p.Concurrency, p.Slow, p.Chaos = 0.4, true, 12, 0.3, 2*time.Minute
	}, nil)
	if sum.many() && sum.stats.DeadLetters == 0 {
		t.Errorf("no payload differed: %+v", sum.stats)
	}
}

// A failing message at the head of a FIFO group has as many attempts in the worker as SQS allows
// receives.
func testFailuresInPlace(t *testing.T) {
	sum := focus(t, 30, func(p *Plan) {
		p.FIFO, p.MaxReceives, p.MaxAttempts, p.Fail = true, 2+int(p.Seed%2), 20, 0.7
	}, nil)
	if sum.many() && sum.stats.DeadLetters == 0 || sum.stats.SQSMoved > 0 {
		t.Errorf("nothing failed too often, or SQS had to move it: %+v", sum.stats)
	}
}
