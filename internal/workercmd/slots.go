package workercmd

import (
	"context"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/backoff"
)

// lendEvery is the interval at which slots are divided anew.
const lendEvery = time.Second

// claim is the state of a queue that shares slots.
type claim struct {
	weight int  // share relative to the other queues; at least 1
	busy   int  // messages that have or wait for a slot
	held   bool // a dependency of its handler is down
}

// split returns the number of slots that each queue may use. A queue always has its own share, by
// weight. Queues that use all of their share also borrow the unused slots of the others. A held
// queue borrows nothing.
//
// A queue gets its lent slots back at once, while the borrower's handlers still run: until they
// end, more than slots may be in use.
func split(slots int, claims []claim) []int {
	own, lent := make([]int, len(claims)), make([]int, len(claims))
	for i, c := range claims {
		own[i] = c.weight
	}
	own = byWeight(slots, own)
	unused := slots
	for i, c := range claims {
		unused -= min(c.busy, own[i])
		if c.busy >= own[i] && !c.held {
			lent[i] = c.weight
		}
	}
	for i, n := range byWeight(unused, lent) {
		own[i] += n
	}
	return own
}

// byWeight divides n in proportion to weights. The parts differ from the exact quotients by less
// than 1, and their sum is n unless all weights are 0.
func byWeight(n int, weights []int) []int {
	total, before := 0, 0
	for _, w := range weights {
		total += w
	}
	parts := make([]int, len(weights))
	for i, w := range weights {
		if total > 0 {
			parts[i] = n*(before+w)/total - n*before/total
		}
		before += w
	}
	return parts
}

// lendSlots applies [split] every lendEvery until ctx ends.
func (w *worker) lendSlots(ctx context.Context) {
	var sharing []*queueWorker
	for _, q := range w.queues {
		if q.settings.Weight > 0 {
			sharing = append(sharing, q)
		}
	}
	claims := make([]claim, len(sharing))
	for len(sharing) > 0 && backoff.Sleep(ctx, lendEvery) == nil {
		for i, q := range sharing {
			s := q.stats()
			claims[i] = claim{weight: q.settings.Weight, busy: s.Running + s.Queued, held: s.State != consumer.Running}
		}
		for i, n := range split(w.cfg.Slots, claims) {
			if pool := sharing[i].started.Load(); pool != nil && pool.Stats().Slots != n {
				_ = pool.SetConcurrency(n) // n is at least 1: the settings are checked
			}
		}
	}
}
