package consumer

import "time"

// counts are the numbers that say what the pool may do next.
type counts struct {
	slots    int // all of them
	limit    int // of them that may be taken now: fewer after an outage
	running  int // taken
	reserved int // promised to receives that are out

	refusedReady int  // messages that wait for a slot: refused before
	againReady   int  // handled before
	untried      int  // not handled yet
	turn         bool // the last slot went to a message that was handled before

	waiting  int // messages that wait here without a slot: held, parked, refused, behind a FIFO head
	bytes    int // bodies of those
	held     int // of those, the ones that wait for something that is down
	maxBytes int // bound of bytes

	limited      int // of those that wait, the ones for which their group's bound is to blame
	limitedBytes int // bodies of those

	fifo bool

	polls    int       // receives that are out
	maxPolls int       // receives that may be out: one on a quiet queue, more on a busy one
	most     int       // messages that a receive may ask for
	quiet    bool      // the last receive brought nothing
	retryAt  time.Time // no receive before, after one that failed

	acks int // messages being ended, unanswered

	perSecond float64   // starts that the rate allows a second; 0: no bound
	startAt   time.Time // no start before, by the rate
	rampAt    time.Time // limit rises then

	condition Condition // of what handlers depend on
	downSince time.Time
	probeAt   time.Time // no untried message is begun before, while something is down
	heldAt    time.Time // nor one that was tried before

	begun    bool // Run has reached the queue
	stopping bool // it was told to stop
	ended    bool // it has returned
	paused   bool
}

// free is the number of slots that nothing has a claim to.
func (n counts) free() int {
	return n.limit - n.running - n.reserved - n.refusedReady - n.againReady - n.untried
}

// state is the one word for it.
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

// maxAcks is how many messages may be unanswered before receiving stops: all of them need
// heartbeats until they are answered.
func (n counts) maxAcks() int { return min(acksPerSlot*n.slots, max(leastMaxAcks, 2*n.slots)) }

// mostPolls is how many receives fill the slots.
func (n counts) mostPolls() int { return (n.slots + batchSize - 1) / batchSize }

// maxWaiting is the bound of waiting.
func (n counts) maxWaiting() int {
	if n.fifo {
		return max(maxWaiting, waitingPerSlot*n.slots)
	}
	return maxWaiting
}

// crowded reports whether FIFO receives ask for one message: SQS then hands out heads of
// groups that have nothing in flight, and no followers.
func (n counts) crowded() bool {
	return n.fifo && (n.waiting >= n.maxWaiting() || n.bytes >= n.maxBytes)
}

// full reports whether nothing more may wait here. On a FIFO queue that is twice the bound
// at which only heads are received.
func (n counts) full() bool {
	over := 1
	if n.fifo {
		over = 2
	}
	return n.waiting >= over*n.maxWaiting() || n.bytes >= over*n.maxBytes
}

// blocked reports whether receiving waits on purpose.
func (n counts) blocked() bool {
	return !n.begun || n.stopping || n.paused || n.condition == Closed || n.acks >= n.maxAcks() || n.full()
}

// nextPoll says how many messages the next receive asks for; 0 means none now, but look
// again at a time that is not zero. A full batch goes at once; a partial one only when
// none is out. While something is down, one untried message is fetched when its probe is
// due.
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
		want = max(want, 1) // every other slot is for an untried message
	}
	if want <= 0 || n.polls >= min(n.maxPolls, n.mostPolls()) || want < full && n.polls > 0 {
		return 0, time.Time{}
	}
	return want, time.Time{}
}

// nextLine says which line's next message is admitted: refused, again, or fresh for an
// untried one. With nowhere, look again at a time that is not zero. Refused messages go
// first; then those that were handled before and untried ones take turns. While something
// is down, untried and held messages are probes, each at its own pace.
func (n counts) nextLine(now time.Time) (line, time.Time) {
	tried := n.refusedReady + n.againReady
	switch {
	case n.paused || n.running >= n.limit || tried+n.untried == 0:
		return nowhere, time.Time{}
	case n.condition != Up && n.stopping && n.untried > 0:
		return fresh, time.Time{} // SQS would dead-letter it unattempted
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
