package console

import (
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
)

// Actions of the pool after which a message is gone.
var (
	actionDelete     = consumer.Delete.String()
	actionDeadLetter = consumer.DeadLetter.String()
)

// ConsumerHooks returns hooks that feed h, to be given to the pool.
func (h *History) ConsumerHooks() consumer.Hooks {
	return consumer.Hooks{
		Received: func(n int, _ time.Duration) { h.received(n) },
		Handled: func(m consumer.Message, d consumer.Disposition, took time.Duration) {
			h.handled(m.ID, d.Action.String(), d.Reason, m.ReceiveCount, m.SentAt, took, d.Failure, d.Err)
		},
		Ended: func(m consumer.Message, _ consumer.Disposition) { h.ended(m.ID) },
	}
}

// DedupeHooks returns hooks that feed h, to be given to the guard.
func (h *History) DedupeHooks() dedupe.Hooks {
	return dedupe.Hooks{
		Claimed:  func(a dedupe.Attempt) { h.claimed(a.Name, a.Number, int64(a.Fence)) },
		TookOver: func(a dedupe.Attempt) { h.happened(a.Name, "took over", "") },
		Replayed: h.suppressed,
		Deferred: func(name string, _ time.Duration) { h.suppressed(name, "deferred") },
		Refused:  h.refused,
		Renewed: func(a dedupe.Attempt, err error) {
			if err == nil {
				h.renewed(a.Name, int64(a.Fence))
			}
		},
		LeaseLost:     func(a dedupe.Attempt) { h.happened(a.Name, "lease lost", "") },
		CompletedLate: func(a dedupe.Attempt) { h.happened(a.Name, "completed late", "") },
		Settled: func(a dedupe.Attempt, outcome string, took time.Duration, err error) {
			h.settled(a.Name, a.Number, int64(a.Fence), outcome, took, err)
		},
		OwnWrite: func(op, name string) { h.happened(name, "own write recognised", op) },
		StoreFailed: func(op, name string, err error) {
			h.happened(name, "store failed", op+": "+err.Error())
		},
	}
}

// Keys returns keyOf, and lets h know which name each message stands for.
func (h *History) Keys(keyOf func(consumer.Message) (dedupe.Key, error)) func(consumer.Message) (dedupe.Key, error) {
	return func(m consumer.Message) (dedupe.Key, error) {
		key, err := keyOf(m)
		if err == nil {
			h.keyed(m.ID, key.Name)
		}
		return key, err
	}
}

// WatchPool returns c as the console sees it.
func WatchPool(c *consumer.Consumer) Pool { return pool{c} }

type pool struct{ *consumer.Consumer }

// Snapshot implements [Pool].
func (p pool) Snapshot(limit int) Snapshot {
	stats := p.Stats()
	s := Snapshot{
		State: string(stats.State), Slots: stats.Slots, Running: stats.Running, Queued: stats.Queued, Parked: stats.Parked,
		Polls: stats.Polls, Acks: stats.Acks, Down: stats.Down, LastPoll: stats.LastPoll,
	}
	flights := p.Flights(limit)
	s.Flights = make([]Flight, len(flights))
	for i, f := range flights {
		s.Flights[i] = Flight{
			ID: f.ID, Name: f.Name, ReceiveCount: f.ReceiveCount, LastReceive: f.LastReceive,
			Phase: f.Phase, Received: f.Received, VisibleAt: f.VisibleAt,
		}
	}
	return s
}
