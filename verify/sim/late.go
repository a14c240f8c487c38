package sim

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Delayed returns the plan of a busy machine. Timers fire late and goroutines go on late, by up to
// p.Late. Several attempts begin each second, and some outlast their leases.
func (p Plan) Delayed() Plan {
	r := dice{p.Seed}.roll("delayed", "", 0)
	p.Late = pick(r, p.Skew/20, p.Skew/4, p.Skew/2)
	p.Chaos = between(r, time.Minute, 3*time.Minute)
	p.Names = 100 + r.IntN(500)
	p.Messages = p.Names + r.IntN(50)
	p.Groups = 1 + r.IntN(100)
	p.Workers, p.Concurrency = min(p.Workers, 3), pick(r, 12, 25, 50)
	p.Slow = pick(r, 0.02, 0.05)
	if chance(r, 0.5) {
		p.Store, p.StoreOutages, p.Cuts = Rates{}, 0, 0 // so that no lease may be lost
	}
	return p
}

// running is the run whose timers are delayed, nil without. A process makes one run at a time.
var running atomic.Pointer[world]

// lateness draws a delay. A third of the delays is zero, and a third is short.
func (w *world) lateness(r *rand.Rand) time.Duration {
	switch r.IntN(3) {
	case 0:
		return 0
	case 1:
		return between(r, 0, max(w.plan.Late/20, 1))
	default:
		return between(r, 0, max(w.plan.Late, 1))
	}
}

// holdUp keeps a goroutine of the process from going on, as on a busy machine.
func (p *process) holdUp(about string) {
	if p.w.plan.Late > 0 {
		time.Sleep(p.w.lateness(p.w.dice.roll(p.label+" holds up", about, p.count("holds up "+about))))
	}
}

// lostLease checks that a process loses a lease only to faults: of its calls about the name, of the
// clocks, or of the process itself.
func (v *watch) lostLease(p *process, a dedupe.Attempt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stats.LeaseLost++
	n := v.name(protocol.RecordID(v.w.scope, a.Name))
	excused := v.w.plan.Beyond || p.isDead() || n.faultsBy[p] || v.pausedSince(n.claims[a.Fence])
	if !excused {
		v.violate("%s loses the lease of %s, and no call about it has failed", p.label, n.label)
	}
}
