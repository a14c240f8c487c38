package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

// Faults of single messages do not delay the begin of others.
func TestProgress(t *testing.T) {
	t.Run("standstill is seen", func(t *testing.T) {
		p := troubled(1, Trouble{Idle: true}, nil)
		p.Live = false
		r := simulate(t, p, Run)
		for _, want := range []string{"untried messages and a free slot", "untried messages that could be handled and a free slot"} {
			if !strings.Contains(strings.Join(r.Violations, "\n"), want) {
				t.Errorf("no violation says %q: %v", want, r.Violations)
			}
		}
	})
	t.Run("seeds", func(t *testing.T) {
		sum := manyOf(t, NewTroubled, 100, Run)
		for _, kind := range []string{"poison", "failing", "denied", "tenant", "hanging", "cut", "refusal"} {
			if sum.faults["trouble: "+kind] == 0 && sum.runs >= 100 {
				t.Errorf("no %q in %d runs", kind, sum.runs)
			}
		}
	})
	t.Run("seeds, batches and groups", func(t *testing.T) {
		manyOf(t, func(seed uint64) Plan { return NewTroubled(seed).Shared() }, 20, Run)
	})
	t.Run("refusal costs no receive", testRefusal)
	for name, tc := range map[string]struct {
		trouble Trouble
		also    func(*Plan)
	}{
		"poison":       {Trouble{Poison: badEach}, nil},
		"tenant down":  {Trouble{Tenants: 1, PerTenant: 30}, nil},
		"tenants down": {Trouble{Tenants: 3, PerTenant: 20}, nil},
		"key denied":   {Trouble{Denied: badEach, NoKey: true}, func(p *Plan) { p.Concurrency = 1 }},
		"refused":      {Trouble{Admits: 5}, nil},
		"hanging":      {Trouble{Hanging: 2, Hang: 30 * time.Minute}, nil},
		"cut off":      {Trouble{CutOff: 40, Hang: 20 * time.Minute}, func(p *Plan) { p.Concurrency = 5 }},
		"failing":      {Trouble{Failing: badEach}, nil},
		"groups failing": {Trouble{Failing: 110, Depth: 9, Backlog: true}, func(p *Plan) {
			p.FIFO, p.Concurrency, p.MaxReceives, p.MaxAttempts, p.Names, p.Groups = true, 50, 100, 20, 40, 40
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range testutil.N(t, 3) {
				if r := simulate(t, troubled(uint64(seed), tc.trouble, tc.also), Run); len(r.Violations) > 0 {
					save(t, r)
					return
				}
			}
		})
	}
}

// A target that refuses for now costs no receive, and no message is dead-lettered for it.
func testRefusal(t *testing.T) {
	for seed := range testutil.N(t, 5) {
		r := simulate(t, troubled(uint64(seed), Trouble{Admits: 10}, func(p *Plan) {
			p.Names, p.MaxReceives, p.MaxAttempts, p.Concurrency = 200, 1, 1, 50
			p.Chaos, p.Bursts = 2*time.Minute, true
		}), Run)
		if len(r.Violations) > 0 {
			save(t, r)
		}
		if r.Faults["trouble: refusal"] == 0 {
			t.Errorf("seed %d: nothing was refused", seed)
		}
		if s := r.Stats; s.Deliveries != r.Plan.Messages || s.DeadLetters+s.SQSMoved > 0 {
			t.Errorf("seed %d: %d deliveries of %d messages, %d dead-lettered, %d by SQS", seed, s.Deliveries, r.Plan.Messages, s.DeadLetters, s.SQSMoved)
		}
	}
}

// troubled returns a plan with one kind of trouble and no other fault.
func troubled(seed uint64, trouble Trouble, also func(*Plan)) Plan {
	p := NewTroubled(seed)
	p.Store, p.Queue, p.FIFO, p.Workers, p.Trouble = Rates{}, Rates{}, false, 1, trouble
	if also != nil {
		also(&p)
	}
	p.Messages = p.Names
	return p
}
