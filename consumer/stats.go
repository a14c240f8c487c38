package consumer

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// State says what a consumer does about receiving.
type State string

// The states, in the order of precedence when several apply.
const (
	Stopped  State = "stopped"  // Run has returned
	Starting State = "starting" // Run was not called, or has not reached the queue yet
	Draining State = "draining" // told to stop
	Paused   State = "paused"   // Pause was called
	Held     State = "held"     // something that handlers depend on is down
	Running  State = "running"
)

// Stats are a consumer's numbers at one moment.
type Stats struct {
	State    State
	Slots    int       // Config.Concurrency, or what SetConcurrency has set
	Running  int       // slots taken: handlers at work
	Held     int       // messages that wait here, without a slot, for something that is down
	Queued   int       // messages that wait for a slot
	Parked   int       // other messages that wait here without one: parked, refused, in FIFO lanes
	Bytes    int       // bodies of those, and of the held ones
	Polls    int       // receives out
	Quiet    bool      // the last receive brought nothing: one is out at a time
	Acks     int       // messages being ended, unanswered; at a bound receiving stops
	Rate     float64   // messages that may be begun a second, by Config.Rate and refusals; 0: no bound
	Down     []string  // dependencies reported as not Up, sorted; "handler" when an error of its said so; "queue" when receives have failed for a minute
	LastPoll time.Time // last sign of the receiver, which Healthy looks at
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
		State: a.state(), Slots: a.slots, Running: a.running, Held: a.held,
		Queued: a.refusedReady + a.againReady + a.untried, Parked: a.waiting - a.held, Bytes: a.bytes,
		Polls: a.polls, Quiet: a.quiet, Acks: a.acks, Rate: a.rate.perSecond(now), Down: down, LastPoll: a.acted,
	}
}

// Flight is a message that is in this worker.
type Flight struct {
	ID           string
	Name         string // by Config.Name; empty when it has none
	GroupID      string
	ReceiveCount int
	LastReceive  bool
	Phase        string    // queued, running, held, parked, following (behind a FIFO head) or ending
	Received     time.Time // when this worker received it
	VisibleAt    time.Time // when others would see it if it were not extended any more
	Extensions   int       // heartbeats answered
}

// flights returns what [Consumer.Flights] does.
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

// phase is where a message is in this worker.
type phase int32

const (
	phaseQueued phase = iota
	phaseRunning
	phaseHeld
	phaseParked
	phaseFollowing
	phaseEnding
)

func (p phase) String() string {
	return [...]string{"queued", "running", "held", "parked", "following", "ending"}[p]
}

// phaseOf is where a message waits after a decision.
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
