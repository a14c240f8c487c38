package consumer

import (
	"sync"
	"time"
)

// floor is where slots are given out and polls are planned. It decides by
// [counts.nextPoll]; everything else is bookkeeping.
type floor struct {
	mu sync.Mutex
	counts
	ahead, fresh []*turn   // guarded by mu; waiting for a slot: those that had one, then the others
	acted        time.Time // guarded by mu; last sign of the receive loop
}

// counts are the numbers that say whether a poll is due.
type counts struct {
	slots    int  // all of them
	running  int  // taken
	reserved int  // promised to polls that are out
	queued   int  // messages waiting for one
	polls    int  // out
	acks     int  // being ended, unanswered
	waiting  int  // parked, or behind a lane's head
	bytes    int  // bodies of those
	quiet    bool // the last poll brought nothing, or failed: one at a time
	open     bool // started and not stopping
	paused   bool
}

// free is the number of slots that nobody has a claim to.
func (n counts) free() int { return n.slots - n.running - n.reserved - n.queued }

// blocked reports whether receiving waits on purpose.
func (n counts) blocked() bool {
	return !n.open || n.paused ||
		n.acks >= acksPerSlot*n.slots || n.waiting >= maxWaiting || n.bytes >= maxWaitingBytes
}

// nextPoll says how many messages the next poll asks for; 0 means no poll now.
// A full batch goes at once, up to one poll per ten slots; a partial one only
// when none is out. After an empty answer one is out until one brings messages.
func (n counts) nextPoll() int {
	limit := (n.slots + batchSize - 1) / batchSize
	if n.quiet {
		limit = 1
	}
	want := min(n.free(), batchSize)
	switch {
	case n.blocked() || want <= 0 || n.polls >= limit:
		return 0
	case want < batchSize && n.polls > 0:
		return 0
	default:
		return want
	}
}

// turn is somebody's wait for a slot.
type turn struct{ granted chan struct{} }

func newTurn() *turn { return &turn{granted: make(chan struct{})} }

func (f *floor) init(slots int) { f.slots, f.quiet = slots, true }

func (f *floor) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts.open, f.acted = true, time.Now()
}

func (f *floor) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts.open = false
}

func (f *floor) pause(paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused, f.acted = paused, time.Now()
}

// planPoll reserves slots for the next poll, if one is due.
func (f *floor) planPoll() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.nextPoll()
	if n > 0 {
		f.polls++
		f.reserved += n
		f.acted = time.Now()
	}
	return n
}

// answered ends a poll and its reservation. The turns it brought queue for
// slots in the order of the answer; quiet says that it brought nothing.
func (f *floor) answered(reserved int, turns []*turn, quiet bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reserved -= reserved
	f.polls--
	f.quiet = quiet
	f.acted = time.Now()
	f.fresh = append(f.fresh, turns...)
	f.queued += len(turns)
	f.grant()
}

// ask queues for a slot ahead of new messages.
func (f *floor) ask() *turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := newTurn()
	f.ahead = append(f.ahead, t)
	f.queued++
	f.grant()
	return t
}

// withdraw gives up a turn, and its slot if that came meanwhile.
func (f *floor) withdraw(t *turn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, queue := range []*[]*turn{&f.ahead, &f.fresh} {
		for i, other := range *queue {
			if other == t {
				*queue = append((*queue)[:i], (*queue)[i+1:]...)
				f.queued--
				return
			}
		}
	}
	f.running--
	f.grant()
}

// release gives a slot back.
func (f *floor) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	f.grant()
}

// grant hands out free slots in order. It looks at taken slots only: who waits
// here goes before what a poll that is out may bring. The caller holds mu.
func (f *floor) grant() {
	for f.running < f.slots && f.queued > 0 {
		queue := &f.ahead
		if len(*queue) == 0 {
			queue = &f.fresh
		}
		t := (*queue)[0]
		*queue = (*queue)[1:]
		f.queued--
		f.running++
		close(t.granted)
	}
}

// wait counts messages that wait here without a slot; n is negative at the end.
func (f *floor) wait(n, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting += n
	f.bytes += bytes
}

// ack counts messages whose end is not answered yet; n is negative when it is.
func (f *floor) ack(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acks += n
}

// stale returns for how long a receive has been due or out without any sign of
// the receive loop; 0 when none is due.
func (f *floor) stale(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blocked() || f.polls == 0 && f.nextPoll() == 0 {
		return 0
	}
	return now.Sub(f.acted)
}

// sign notes that the receive loop lives.
func (f *floor) sign() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acted = time.Now()
}
