package consumer

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// State is the state of a consumer.
type State string

// The states. If several apply, the first in this order is reported.
const (
	Stopped  State = "stopped"  // Run has returned
	Starting State = "starting" // Run was not called, or has not reached the queue yet
	Draining State = "draining" // the stop has begun
	Paused   State = "paused"   // Pause was called
	Held     State = "held"     // a dependency of the handler is not Up
	Running  State = "running"
)

// Stats are a consumer's numbers at one moment. Down has the names given to [Consumer.Report], and
// "handler" after an Unavailable error. It has "queue" after a minute of failing receives.
type Stats struct {
	State    State
	Slots    int       // Config.Concurrency, or the number set by SetConcurrency
	Running  int       // taken slots, which is the number of running handlers
	Held     int       // messages that wait in this worker, without a slot, for the end of an outage
	Queued   int       // messages that wait for a slot
	Limited  int       // messages that wait, without a slot, for the bound of their group
	Parked   int       // other messages without a slot: parked, refused, or behind a FIFO head
	Bytes    int       // total size of the bodies of held, limited and parked messages
	Polls    int       // open receives
	Quiet    bool      // the last receive brought no messages, so one is open at a time
	Acks     int       // messages that are being settled; receiving stops at a bound
	Rate     float64   // starts allowed per second by Config.Rate and refusals; 0 means no bound
	Down     []string  // dependencies that are not Up, sorted, then "handler" and "queue"
	LastPoll time.Time // the receiver's last sign of life, on which Healthy is based
}

func (a *admission) stats(now time.Time) Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	down := slices.Sorted(maps.Keys(a.reported))
	if a.failing {
		down = append(down, "handler")
	}
	if a.failures > 0 && now.Sub(a.failingSince) >= queueDownAfter {
		down = append(down, "queue")
	}
	return Stats{
		State: a.state(), Slots: a.slots, Running: a.running, Held: a.held, Limited: a.limited,
		Queued: a.refusedReady + a.againReady + a.untried, Parked: a.waiting - a.held - a.limited, Bytes: a.bytes,
		Polls: a.polls, Quiet: a.quiet, Acks: a.acks, Rate: a.rate.perSecond(now), Down: down, LastPoll: a.acted,
	}
}

// Flight is a message in this worker. Its Phase is limited while the limit of its group holds it
// back, following while it waits behind the head of its FIFO group, and ending while it is settled.
type Flight struct {
	ID           string
	Name         string // result of Config.Name; empty if it has none
	GroupID      string
	ReceiveCount int
	LastReceive  bool
	Phase        string    // queued, limited, running, held, parked, following or ending
	Received     time.Time // when this worker received it
	VisibleAt    time.Time // end of its visibility timeout, without further heartbeats
	Extensions   int       // answered heartbeats
}

// flights implements [Consumer.Flights].
func (h *heartbeat) flights(limit int) []Flight {
	messages := h.all()
	slices.SortFunc(messages, func(a, b *delivery) int {
		return cmp.Or(a.received.Compare(b.received), cmp.Compare(a.ID, b.ID))
	})
	if limit > 0 && len(messages) > limit {
		messages = messages[:limit]
	}
	flights := make([]Flight, len(messages))
	for i, d := range messages {
		flights[i] = Flight{
			ID: d.ID, Name: d.name(), GroupID: d.GroupID, ReceiveCount: d.ReceiveCount, LastReceive: d.LastReceive,
			Phase: phase(d.phase.Load()).String(), Received: d.received,
			VisibleAt: time.Unix(0, d.visibleAt.Load()), Extensions: int(d.extensions.Load()),
		}
	}
	return flights
}

// phase is the state of a message in this worker.
type phase int32

const (
	phaseQueued phase = iota
	phaseLimited
	phaseRunning
	phaseHeld
	phaseParked
	phaseFollowing
	phaseEnding
)

func (p phase) String() string {
	return [...]string{"queued", "limited", "running", "held", "parked", "following", "ending"}[p]
}

// phaseOf returns the phase of a message that waits after a decision.
func phaseOf(d Disposition) phase {
	switch d.Action {
	case Hold:
		return phaseHeld
	case Park:
		return phaseParked
	default:
		return phaseQueued
	}
}
