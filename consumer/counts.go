package consumer

import "time"

// counts are the numbers on which admission decides.
type counts struct {
	slots    int // Config.Concurrency, or the number set by SetConcurrency
	limit    int // slots that may be taken now; lower than slots after an outage
	running  int // taken slots
	reserved int // slots promised to open receives

	refusedReady int  // messages that wait for a slot after a refusal
	againReady   int  // messages that wait for a slot and were handled before
	untried      int  // messages that wait for their first slot
	turn         bool // the last slot went to a message that was handled before

	waiting  int // messages without a slot: held, parked, refused, limited, or behind a FIFO head
	bytes    int // total size of their bodies
	held     int // messages among waiting, not limited, that wait for the end of an outage
	maxBytes int // bound on bytes

	limited      int // messages among waiting that wait because of their group's limit
	limitedBytes int // total size of their bodies

	fifo bool

	polls    int       // open receives
	maxPolls int       // bound on open receives: one on a quiet queue, more on a busy one
	most     int       // messages that a receive may ask for
	quiet    bool      // the last receive brought no messages
	retryAt  time.Time // earliest next receive, after a failed one

	acks int // messages that are being settled

	perSecond float64   // allowed starts per second; 0 means no bound
	startAt   time.Time // earliest next start, by the rate
	rampAt    time.Time // time of the next rise of limit

	condition Condition // worst condition of the handler's dependencies
	downSince time.Time
	probeAt   time.Time // earliest next start of an untried message while a dependency is down
	heldAt    time.Time // earliest next start of a message that was tried before

	begun    bool // Run has reached the queue
	stopping bool // the stop has begun
	ended    bool // Run has returned
	paused   bool
}

// free returns the number of slots without a claim: not running, and not reserved for open receives
// or waiting messages.
func (n counts) free() int {
	return n.limit - n.running - n.reserved - n.refusedReady - n.againReady - n.untried
}

// state derives the [State].
func (n counts) state() State {
	switch {
	case n.ended:
		return Stopped
	case n.stopping:
		return Draining
	case !n.begun:
		return Starting
	case n.paused:
		return Paused
	case n.condition != Up:
		return Held
	default:
		return Running
	}
}

// maxAcks returns how many messages may be in settlement before receiving stops. Each of them needs
// heartbeats until SQS has answered.
func (n counts) maxAcks() int { return min(acksPerSlot*n.slots, max(leastMaxAcks, 2*n.slots)) }

// mostPolls returns how many receives fill all slots.
func (n counts) mostPolls() int { return (n.slots + batchSize - 1) / batchSize }

// maxWaiting is the bound on waiting.
func (n counts) maxWaiting() int {
	if n.fifo {
		return max(maxWaiting, waitingPerSlot*n.slots)
	}
	return maxWaiting
}

// crowded reports whether FIFO receives ask for a single message. SQS then returns the head of a
// group that has no message in flight, and no followers.
func (n counts) crowded() bool {
	return n.fifo && (n.waiting >= n.maxWaiting() || n.bytes >= n.maxBytes)
}

// full reports whether the bound on waiting messages is reached. On a FIFO queue it is twice the
// bound of crowded.
func (n counts) full() bool {
	over := 1
	if n.fifo {
		over = 2
	}
	return n.waiting >= over*n.maxWaiting() || n.bytes >= over*n.maxBytes
}

// blocked reports whether receiving is suspended on purpose.
func (n counts) blocked() bool {
	return !n.begun || n.stopping || n.paused || n.condition == Closed || n.acks >= n.maxAcks() || n.full()
}

// nextPoll returns how many messages the next receive asks for. If it returns 0 and a time that is
// not zero, the caller must ask again at that time. A receive of a full batch is due at once. A
// smaller one is due only when no other receive is out. During an outage one untried message is
// received when its probe is due.
func (n counts) nextPoll(now time.Time) (int, time.Time) {
	switch {
	case n.blocked():
		return 0, time.Time{}
	case now.Before(n.retryAt):
		return 0, n.retryAt
	case n.condition == Down && (n.polls > 0 || n.untried > 0 || n.running >= n.limit):
		return 0, time.Time{}
	case n.condition == Down && now.Before(n.probeAt):
		return 0, n.probeAt
	case n.condition == Down:
		return 1, time.Time{}
	}
	full := n.most
	if n.crowded() {
		full = 1
	}
	want := min(n.free(), full)
	if n.perSecond > 0 {
		want = min(want, max(1, int(n.perSecond))-n.untried-n.reserved)
	}
	if n.untried == 0 && n.polls == 0 && n.againReady > 0 {
		want = max(want, 1) // untried messages get every other slot
	}
	if want <= 0 || n.polls >= min(n.maxPolls, n.mostPolls()) || want < full && n.polls > 0 {
		return 0, time.Time{}
	}
	return want, time.Time{}
}

// nextLine returns the line whose first message is admitted next: refused, again, or fresh. It
// returns nowhere if none is, with the time to ask again if that is not zero. Refused messages go
// first. Messages that were handled before take turns with untried ones. During an outage both
// kinds serve as probes, each with its own interval.
func (n counts) nextLine(now time.Time) (line, time.Time) {
	tried := n.refusedReady + n.againReady
	switch {
	case n.paused || n.running >= n.limit || tried+n.untried == 0:
		return nowhere, time.Time{}
	case n.condition != Up && n.stopping && n.untried > 0:
		return fresh, time.Time{} // SQS would dead-letter it without an attempt
	case n.condition == Closed:
		return nowhere, time.Time{}
	case n.condition == Down && n.untried > 0 && !now.Before(n.probeAt):
		return fresh, time.Time{}
	case n.condition == Down && tried > 0 && !now.Before(n.heldAt):
		return again, time.Time{}
	case n.condition == Down && n.untried > 0 && (tried == 0 || n.probeAt.Before(n.heldAt)):
		return nowhere, n.probeAt
	case n.condition == Down:
		return nowhere, n.heldAt
	case now.Before(n.startAt) && !n.stopping:
		return nowhere, n.startAt
	case n.refusedReady > 0:
		return refused, time.Time{}
	case n.againReady > 0 && (n.untried == 0 || !n.turn):
		return again, time.Time{}
	default:
		return fresh, time.Time{}
	}
}
