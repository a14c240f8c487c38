package consumer

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/failure"
)

// admission decides when the handler of a message may be called. A message asks for a
// slot once for each call, and gets one answer. Why it is not admitted yet is all here:
// no slot is free, something is down, the pool is paused, the rate is used up.
//
// The decisions are [counts.nextLine], [counts.nextPoll] and [admission.surplus]; the
// rest is bookkeeping.
type admission struct {
	wake chan struct{} // has room for one; full when a poll may be due
	tell func(State)   // called with each new state, without mu

	mu sync.Mutex
	counts
	lines        [lineCount][]*delivery // guarded by mu; those that wait, the longest first
	reported     map[string]Condition   // guarded by mu; what is not up
	failing      bool                   // guarded by mu; a handler said that something is down, and none has succeeded since
	outages      int                    // guarded by mu; outages that have ended, plus one
	rate         startRate              // guarded by mu
	tenants      tenants                // guarded by mu
	alarm        *time.Timer            // guarded by mu; looks again at alarmAt
	alarmAt      time.Time              // guarded by mu; zero: not set
	told         State                  // guarded by mu; the state that was last told
	acted        time.Time              // guarded by mu; last sign of the receiver, or when a poll became due
	wasDue       bool                   // guarded by mu; a poll was out or due at the last change
	failures     int                    // guarded by mu; receives that failed in a row
	failingSince time.Time              // guarded by mu; the first of them
	drained      bool                   // guarded by mu; the drain is over
}

// line is where a message waits to be handled.
type line int

const (
	nowhere   line = iota
	asleep         // its time has not come
	limited        // as many of its group are at work as may be
	refused        // refused before, its time has come: the first to go
	again          // handled before
	following      // the next of a FIFO group whose head is done
	fresh          // just received
	lineCount
)

// ticket is the wait of one message. The admission's mu guards it.
type ticket struct {
	answers chan answer // has room for one
	line    line
	then    line        // of one that is asleep or limited: where it goes then
	inside  bool        // it counts as one of its group that are at work
	must    bool        // admitted during a stop, too
	since   time.Time   // it waits since then
	due     time.Time   // of a sleeper
	timer   *time.Timer // of a sleeper
	outage  int         // in which it was first held; 0: in none
}

// answer is what a message that has asked for a slot is told.
type answer int

const (
	admitted answer = iota + 1
	stopped         // the stop has begun
	drained         // the drain is over
	sentBack        // too many messages wait here
	expired         // SQS's 12 hours are nearly over
	lost            // SQS has given the message to another receiver, or may have
)

func newAdmission(cfg Config, tell func(State)) *admission {
	a := &admission{
		wake: make(chan struct{}, 1), tell: tell,
		reported: make(map[string]Condition), outages: 1, told: Starting,
		rate:    startRate{limit: cfg.Rate},
		tenants: tenants{concurrency: cfg.GroupConcurrency, rate: cfg.GroupRate, pruneAt: leastTenants},
	}
	a.counts = counts{
		slots: cfg.Concurrency, limit: cfg.Concurrency, fifo: cfg.fifo(), maxBytes: cfg.MaxWaitingBytes,
		maxPolls: 1, most: batchSize, quiet: true,
	}
	return a
}

// update makes a change, admits those that may go now, and tells of a new state.
func (a *admission) update(change func(now time.Time)) {
	a.mu.Lock()
	now := time.Now()
	change(now)
	a.advance(now)
	state := a.state()
	news := state != a.told
	a.told = state
	a.mu.Unlock()
	if news {
		a.tell(state)
	}
}

// advance carries out what has become due. The caller holds mu.
func (a *admission) advance(now time.Time) {
	a.setCondition(now)
	a.recount(now)
	from, at := a.nextLine(now)
	for from != nowhere {
		a.admit(from, now)
		a.recount(now)
		from, at = a.nextLine(now)
	}
	if d := a.surplus(now); d != nil {
		a.answer(d, sentBack, now)
		a.recount(now)
	}
	n, pollAt := a.nextPoll(now)
	if n > 0 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	// The clock of stale starts when a poll becomes due.
	due := a.polls > 0 || n > 0
	if due && !a.wasDue {
		a.acted = now
	}
	a.wasDue = due
	a.setAlarm(now, at, pollAt, a.tenants.at)
}

// recount brings up to date what is derived. The caller holds mu.
func (a *admission) recount(now time.Time) {
	a.letThrough(now)
	a.refusedReady, a.againReady = len(a.lines[refused]), len(a.lines[again])
	a.untried = len(a.lines[following]) + len(a.lines[fresh])
	a.startAt = a.rate.next(now)
	a.perSecond = a.rate.perSecond(now)
	if a.condition == Up && a.limit < a.slots && !now.Before(a.rampAt) {
		// A handler may be long at work, and well: concurrency rises without it.
		a.limit, a.rampAt = a.limit+1, now.Add(rampStep)
	}
}

// setAlarm looks again at the earliest of some times. The caller holds mu.
func (a *admission) setAlarm(now time.Time, times ...time.Time) {
	var at time.Time
	if a.condition == Up && a.limit < a.slots {
		at = a.rampAt
	}
	for _, t := range times {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	switch {
	case a.ended && a.alarm != nil:
		a.alarm.Stop()
	case a.ended || at.IsZero() || at.Equal(a.alarmAt):
	case a.alarm == nil:
		a.alarmAt = at
		a.alarm = time.AfterFunc(at.Sub(now), func() { a.update(func(time.Time) { a.alarmAt = time.Time{} }) })
	default:
		a.alarmAt = at
		a.alarm.Reset(at.Sub(now))
	}
}

// admit gives a slot to the next message of a line. The caller holds mu.
func (a *admission) admit(from line, now time.Time) {
	if from == fresh && len(a.lines[following]) > 0 {
		from = following
	}
	var d *delivery
	if a.condition != Up && from == again {
		d = a.longestHeld() // of both lines: one of them may be empty
	} else {
		d = a.lines[from][0]
	}
	a.turn = from == again || from == refused
	switch {
	case a.condition == Up:
		a.rate.take(now)
	case a.turn:
		a.heldAt = nextProbe(a.heldAt, a.downSince, now)
	default:
		a.probeAt = nextProbe(a.probeAt, a.downSince, now)
	}
	a.running++
	a.tenants.began(d, now)
	a.answer(d, admitted, now)
}

// longestHeld is the message to try again as a probe. The caller holds mu.
func (a *admission) longestHeld() *delivery {
	return slices.MinFunc(slices.Concat(a.lines[refused], a.lines[again]), func(d, e *delivery) int {
		return d.ticket.since.Compare(e.ticket.since)
	})
}

// answer ends the wait of a message. The caller holds mu.
func (a *admission) answer(d *delivery, with answer, now time.Time) {
	t := &d.ticket
	if t.line == nowhere {
		return
	}
	if with != admitted {
		a.tenants.quit(d, t.line, now)
	}
	if queue := &a.lines[t.line]; (*queue)[0] == d {
		*queue = (*queue)[1:]
	} else if i := slices.Index(*queue, d); i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
	}
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	if t.line.counts() {
		a.waits(d, -1)
	}
	t.line = nowhere
	t.answers <- with
}

// counts reports whether a message in this line counts as waiting here.
func (l line) counts() bool { return l == asleep || l == limited || l == refused || l == again }

// waits counts a message that waits here; n is -1 at the end. The caller holds mu.
func (a *admission) waits(d *delivery, n int) {
	a.waiting += n
	a.bytes += n * len(d.Body)
	if d.end.Action == Hold {
		a.held += n
	}
	if d.ticket.line == limited {
		a.limited += n
		a.limitedBytes += n * len(d.Body)
	}
}

// enter puts a message into a line, or answers it at once. The caller holds mu.
func (a *admission) enter(d *delivery, to line, now time.Time) {
	t := &d.ticket
	switch {
	case a.drained:
		t.answers <- drained
		return
	case a.stopping && !t.must:
		t.answers <- stopped
		return
	}
	to = a.lineFor(d, to, now)
	t.line, t.since, t.due = to, now, time.Time{}
	if to.counts() {
		a.waits(d, 1)
	}
	a.lines[to] = append(a.lines[to], d)
}

// arrive takes in what a receive has brought: the heads of new lanes, in order.
func (a *admission) arrive(heads []*delivery, now time.Time) {
	for _, d := range heads {
		a.enter(d, fresh, now)
	}
}

// ask waits for a slot. With must it is given during a stop, too.
func (a *admission) ask(d *delivery, to line, after time.Duration, must bool) answer {
	a.update(func(now time.Time) {
		t := &d.ticket
		t.must = must
		if after <= 0 {
			a.enter(d, to, now)
			return
		}
		a.enter(d, asleep, now)
		if t.line != asleep {
			return // answered already
		}
		t.then, t.due = to, now.Add(after)
		t.timer = time.AfterFunc(after, func() { a.update(func(now time.Time) { a.awaken(d, now) }) })
	})
	return <-d.ticket.answers
}

// awaken moves a message whose time has come. The caller holds mu.
func (a *admission) awaken(d *delivery, now time.Time) {
	t := &d.ticket
	if t.line != asleep || now.Before(t.due) {
		return
	}
	t.timer = nil
	i := slices.Index(a.lines[asleep], d)
	a.lines[asleep] = slices.Delete(a.lines[asleep], i, i+1)
	a.waits(d, -1)
	t.line = a.lineFor(d, t.then, now)
	a.waits(d, 1) // sleepers go to lines that count
	a.lines[t.line] = append(a.lines[t.line], d)
}

// leave gives a slot back after a call of the handler, and learns from how it ended. It
// reports whether something was known to be down.
func (a *admission) leave(d *delivery, end Disposition) (down bool) {
	a.update(func(now time.Time) {
		down = a.condition != Up
		a.running--
		a.tenants.ended(d, now)
		switch {
		case end.refused:
			a.rate.cut(now, end.After)
		case end.unavailable && !a.isOwn(d):
			a.failing = true
			if d.ticket.outage == 0 {
				d.ticket.outage = a.outages
			}
		case end.Action == Delete || end.Failure && !failure.Is(end.Err, failure.Left.Left):
			// It answered, if only with a failure of its own; an attempt that has left did not.
			// What has been reported down may be down all the same: its reporter has the say.
			a.failing = false
		}
		if end.Action == Delete && a.limit < a.slots {
			a.limit, a.rampAt = min(2*a.limit, a.slots), now.Add(rampStep)
		}
	})
	return down
}

// release gives back a slot that was not used.
func (a *admission) release(d *delivery) {
	a.update(func(now time.Time) {
		a.running--
		a.tenants.ended(d, now)
	})
}

// ownTrouble reports whether a message was held when an outage ended.
func (a *admission) ownTrouble(d *delivery) bool {
	if d.ticket.outage == 0 { // set by the goroutine that asks
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.isOwn(d)
}

func (a *admission) isOwn(d *delivery) bool {
	return d.ticket.outage != 0 && d.ticket.outage < a.outages
}

// withdraw ends the wait of a message, if it waits.
func (a *admission) withdraw(d *delivery, with answer) {
	a.update(func(now time.Time) { a.answer(d, with, now) })
}

// wait counts messages that wait here without having asked; n is negative at the end.
func (a *admission) wait(n, bytes int) {
	a.update(func(time.Time) {
		a.waiting += n
		a.bytes += bytes
	})
}

// ending counts messages whose end is not answered yet; n is negative when it is.
func (a *admission) ending(n int) { a.update(func(time.Time) { a.acks += n }) }

// isFull reports whether no more messages may wait here.
func (a *admission) isFull() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.full()
}

// surplus is the message that goes back to the queue because a bound keeps an untried
// one from being received; nil when there is none. Only one with two receives left goes,
// with its whole lane: the longest held, or else the one that would wait longest. The
// caller holds mu.
func (a *admission) surplus(now time.Time) *delivery {
	if !a.full() {
		return nil
	}
	roomy := a.counts
	roomy.waiting, roomy.bytes = a.limited, a.limitedBytes // a group's own bound sends nothing back
	if n, _ := roomy.nextPoll(now); n == 0 {
		return nil
	}
	var found *delivery
	for _, d := range slices.Concat(a.lines[asleep], a.lines[again]) {
		if !d.canGoBack() || d.end.refused {
			continue
		}
		if found == nil || goesBackBefore(d, found) {
			found = d
		}
	}
	return found
}

// goesBackBefore is the order in which messages go back at a bound.
func goesBackBefore(d, e *delivery) bool {
	dHeld, eHeld := d.end.Action == Hold, e.end.Action == Hold
	switch {
	case dHeld != eHeld:
		return dHeld
	case dHeld:
		return cmp.Less(d.number, e.number)
	default:
		return d.ticket.due.After(e.ticket.due)
	}
}

// setSlots changes the number of slots.
func (a *admission) setSlots(n int) {
	a.update(func(time.Time) {
		if a.limit == a.slots {
			a.limit = n
		}
		a.slots, a.limit = n, min(a.limit, n)
	})
}

func (a *admission) begin()       { a.update(func(time.Time) { a.begun = true }) }
func (a *admission) pause(p bool) { a.update(func(time.Time) { a.paused = p }) }
func (a *admission) end()         { a.update(func(time.Time) { a.ended = true }) }

// stop sends away all that wait; those that must be handled now ask again.
func (a *admission) stop() {
	a.update(func(now time.Time) {
		a.stopping = true
		a.answerAll(stopped, now)
	})
}

// drain sends away all that still wait.
func (a *admission) drain() {
	a.update(func(now time.Time) {
		a.drained = true
		a.answerAll(drained, now)
	})
}

func (a *admission) answerAll(with answer, now time.Time) {
	for _, queue := range a.lines {
		for _, d := range slices.Clone(queue) {
			a.answer(d, with, now)
		}
	}
}
