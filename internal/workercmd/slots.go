package workercmd

import (
	"context"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/backoff"
)

// lendEvery is how often unused slots are lent to other queues, and taken back.
const lendEvery = time.Second

// claim is the part of a queue in the slots that it shares with others.
type claim struct {
	weight int // its share, in relation to those of the others; from 1
	busy   int // messages at work, and those that wait for a slot
	held   bool
}

// split says how many slots each queue may use. Its own share, by weight, is always there for
// it; beyond it queues that have used up theirs borrow the slots that the others
// leave unused. A queue that is held (something that its handler needs is down) borrows nothing.
//
// A share that was lent is back at once, but the borrower's handlers run to their end: until
// then more than slots may be taken.
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

// byWeight divides n by weights. The parts differ by less than 1 from the exact ones, and sum to
// n unless all weights are 0.
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

// lendSlots carries out [split], every second until ctx ends.
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
