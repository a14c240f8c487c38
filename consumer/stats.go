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
	Slots    int       // Config.Concurrency
	Running  int       // slots taken; those of held messages and of ones that wait for their rate are among them
	Held     int       // messages that wait in their slot for a dependency
	Queued   int       // messages that wait for a slot
	Parked   int       // messages that wait without one: parked, lane heads between tries, lane followers
	Bytes    int       // bodies of those
	Polls    int       // receives out
	Quiet    bool      // the last receive brought nothing: one is out at a time
	Acks     int       // messages being ended, unanswered; receiving stops at 10 times Slots, at most 500
	Down     []string  // dependencies reported as not Up, sorted; "handler" when an error of its said so
	LastPoll time.Time // last sign of the receive loop, which Healthy looks at
}

// Stats returns the numbers of this moment. It is cheap: it takes one lock and
// looks through no list of messages.
func (c *Consumer) Stats() Stats { return c.floor.stats() }

func (f *floor) stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	down := slices.Sorted(maps.Keys(f.gate.reported))
	if f.gate.failing {
		down = append(down, "handler")
	}
	return Stats{
		State: f.state(), Slots: f.slots, Running: f.running, Held: len(f.gate.fresh) + len(f.gate.held),
		Queued: f.queued, Parked: f.waiting, Bytes: f.bytes, Polls: f.polls, Quiet: f.quiet, Acks: f.acks,
		Down: down, LastPoll: f.acted,
	}
}

// Flight is a message that is in this worker.
type Flight struct {
	ID           string
	Name         string // by Config.Name; empty when it has none
	GroupID      string
	ReceiveCount int
	LastReceive  bool
	Phase        string    // queued, running, held, parked, following (behind a lane's head) or ending
	Received     time.Time // when this worker received it
	VisibleAt    time.Time // when others would see it if it were not extended any more
	Extensions   int       // heartbeats answered
}

// Flights returns the messages that are in this worker, the oldest first, at
// most limit of them (all when limit is 0). It looks through all of them, a few
// thousand at most.
func (c *Consumer) Flights(limit int) []Flight {
	tasks := c.beats.all()
	slices.SortFunc(tasks, func(a, b *task) int {
		return cmp.Or(a.received.Compare(b.received), cmp.Compare(a.ID, b.ID))
	})
	if limit > 0 && len(tasks) > limit {
		tasks = tasks[:limit]
	}
	flights := make([]Flight, len(tasks))
	for i, t := range tasks {
		flights[i] = Flight{
			ID: t.ID, Name: c.name(t), GroupID: t.GroupID, ReceiveCount: t.ReceiveCount, LastReceive: t.LastReceive,
			Phase: phase(t.phase.Load()).String(), Received: t.received,
			VisibleAt: time.Unix(0, t.visibleAt.Load()), Extensions: int(t.extensions.Load()),
		}
	}
	return flights
}

// phase is where a message is in this worker.
type phase int32

const (
	queued phase = iota
	running
	held
	parked
	following
	ending
)

func (p phase) String() string {
	return [...]string{"queued", "running", "held", "parked", "following", "ending"}[p]
}
