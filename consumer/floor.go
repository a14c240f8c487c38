package consumer

import (
	"slices"
	"sync"
	"time"
)

// floor is where slots are given out, polls are planned and tries are let
// through. It decides by [counts.nextPoll]; everything else is bookkeeping.
type floor struct {
	changed func() // looks at what has become due; called without mu

	mu sync.Mutex
	counts
	gate         gate      // guarded by mu
	ahead, fresh []*turn   // guarded by mu; waiting for a slot: those that had one, then the others
	acted        time.Time // guarded by mu; last sign of the receive loop, or when a poll became due
	wasDue       bool      // guarded by mu; a poll was out or due at the last change
	told         State     // guarded by mu; the state that was last told of
}

// counts are the numbers that say whether a poll is due.
type counts struct {
	slots     int       // all of them
	running   int       // taken
	reserved  int       // promised to polls that are out
	queued    int       // messages waiting for one
	untried   int       // messages before their first try, with a slot or waiting for one
	probing   bool      // one of them, or one that was tried before, is a probe
	polls     int       // out
	acks      int       // being ended, unanswered
	waiting   int       // parked, or behind a lane's head
	bytes     int       // bodies of those
	condition Condition // of what handlers depend on
	quiet     bool      // the last poll brought nothing, or failed: one at a time
	begun     bool      // Run has reached the queue
	stopping  bool      // it was told to stop
	ended     bool      // it has returned
	paused    bool
}

// free is the number of slots that nobody has a claim to.
func (n counts) free() int { return n.slots - n.running - n.reserved - n.queued }

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

// blocked reports whether receiving waits on purpose.
func (n counts) blocked() bool {
	return !n.begun || n.stopping || n.paused || n.condition == Closed ||
		n.acks >= min(acksPerSlot*n.slots, maxAcks) || n.waiting >= maxWaiting || n.bytes >= maxWaitingBytes
}

// nextPoll says how many messages the next poll asks for; 0 means no poll now.
// A full batch goes at once, up to one poll per ten slots; a partial one only
// when none is out. After an empty answer one is out until one brings messages.
// While something is down, a single message is fetched, once the one before
// has been tried.
func (n counts) nextPoll() int {
	limit := (n.slots + batchSize - 1) / batchSize
	if n.quiet {
		limit = 1
	}
	want := min(n.free(), batchSize)
	switch {
	case n.blocked() || want <= 0 || n.polls >= limit:
		return 0
	case n.condition == Down && (n.polls > 0 || n.untried > 0 || n.probing):
		return 0
	case n.condition == Down:
		return 1
	case want < batchSize && n.polls > 0:
		return 0
	default:
		return want
	}
}

// more says how many more messages a poll may ask for that is about to go for
// asked. A probe, while something is down, stays alone.
func (n counts) more(asked int) int {
	if n.blocked() || n.condition != Up {
		return 0
	}
	return max(0, min(n.free(), batchSize-asked))
}

// turn is somebody's wait for a slot; fresh says for its first try.
type turn struct {
	fresh bool
	had   bool          // guarded by floor.mu; the slot was given
	later chan struct{} // closed with the slot; nil when it was given at once. Set before the turn is waited for
}

// granted returns a channel that is closed once the slot is given.
func (t *turn) granted() <-chan struct{} {
	if t.later == nil {
		return atOnce
	}
	return t.later
}

// atOnce is what nobody has to wait for: mostly, all that is waited for here.
var atOnce = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (f *floor) init(slots int, changed func()) {
	f.slots, f.quiet, f.changed, f.told = slots, true, changed, Starting
	f.gate.reported = make(map[string]Condition)
}

// update makes a change under mu, and notes when it makes a poll due.
func (f *floor) update(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.noteDue()
}

// noteDue starts the clock of [floor.stale] when a poll becomes due: until
// then the loop had no reason to act. The caller holds mu.
func (f *floor) noteDue() {
	due := f.polls > 0 || f.nextPoll() > 0
	if due && !f.wasDue {
		f.acted = time.Now()
	}
	f.wasDue = due
}

func (f *floor) open() { f.update(func() { f.begun = true }) }

func (f *floor) stop() { f.update(func() { f.stopping = true }) }

func (f *floor) pause(paused bool) { f.update(func() { f.paused = paused }) }

// end is the end of the run.
func (f *floor) end() {
	f.update(func() {
		f.ended = true
		if f.gate.timer != nil {
			f.gate.timer.Stop()
		}
	})
}

// news returns the state if it is another than the last that was asked for.
func (f *floor) news() (State, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	is := f.state()
	fresh := is != f.told
	f.told = is
	return is, fresh
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
		f.noteDue()
	}
	return n
}

// topUp reserves more slots for a poll that is about to go for asked messages,
// and returns how many.
func (f *floor) topUp(asked int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.more(asked)
	f.reserved += n
	return n
}

// answered ends a poll and its reservation. The turns it brought queue for
// slots in the order of the answer; quiet says that it brought nothing.
func (f *floor) answered(reserved int, turns []*turn, quiet bool) {
	f.update(func() {
		f.reserved -= reserved
		f.polls--
		f.quiet = quiet
		f.acted = time.Now()
		f.fresh = append(f.fresh, turns...)
		f.queued += len(turns)
		f.untried += len(turns) // they are all fresh
		f.grant(turns...)
	})
}

// ask queues for a slot ahead of new messages.
func (f *floor) ask(fresh bool) *turn {
	t := &turn{fresh: fresh}
	f.update(func() {
		if fresh {
			f.untried++
		}
		f.ahead = append(f.ahead, t)
		f.queued++
		f.grant(t)
	})
	return t
}

// withdraw gives up a turn, and its slot if that came meanwhile.
func (f *floor) withdraw(t *turn) {
	f.update(func() {
		if t.fresh {
			f.untried--
		}
		for _, queue := range []*[]*turn{&f.ahead, &f.fresh} {
			if i := slices.Index(*queue, t); i >= 0 {
				*queue = slices.Delete(*queue, i, i+1)
				f.queued--
				return
			}
		}
		f.running--
		f.grant()
	})
}

// release gives a slot back.
func (f *floor) release() {
	f.update(func() {
		f.running--
		f.grant()
	})
}

// grant hands out free slots in order. It looks at taken slots only: who waits
// here goes before what a poll that is out may bring. Asked are turns that are
// new. The caller holds mu.
func (f *floor) grant(asked ...*turn) {
	for f.running < f.slots && f.queued > 0 {
		queue := &f.ahead
		if len(*queue) == 0 {
			queue = &f.fresh
		}
		t := (*queue)[0]
		*queue = (*queue)[1:]
		f.queued--
		f.running++
		t.had = true
		if t.later != nil {
			close(t.later)
		}
	}
	for _, t := range asked {
		if !t.had {
			t.later = make(chan struct{})
		}
	}
}

// wait counts messages that wait here without a slot; n is negative at the end.
func (f *floor) wait(n, bytes int) {
	f.update(func() {
		f.waiting += n
		f.bytes += bytes
	})
}

// ack counts messages whose end is not answered yet; n is negative when it is.
func (f *floor) ack(n int) { f.update(func() { f.acks += n }) }

// stale returns for how long a receive has been due or out without any sign of
// the receive loop; 0 when none is due, or when trouble is known.
func (f *floor) stale(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blocked() || f.condition != Up || f.polls == 0 && f.nextPoll() == 0 {
		return 0
	}
	return now.Sub(f.acted)
}

// sign notes that the receive loop lives.
func (f *floor) sign() { f.update(func() { f.acted = time.Now() }) }
