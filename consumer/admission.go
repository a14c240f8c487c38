package consumer

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/failure"
)

// admission decides when the handler of a message may be called. A message asks for a slot once for
// each call of its handler, and gets one answer. All reasons to wait are kept here: no slot is
// free, a dependency is down, the pool is paused, the rate or the limit of a group is reached.
//
// The decisions are [counts.nextLine], [counts.nextPoll] and [admission.surplus]. The rest is
// bookkeeping.
type admission struct {
	wake chan struct{} // capacity 1; full when a poll may be due
	tell func(State)   // called with each new state, without mu

	mu sync.Mutex
	counts
	lines        [lineCount][]*delivery // guarded by mu; waiting messages, the first to go first
	reported     map[string]Condition   // guarded by mu; dependencies that are not Up
	failing      bool                   // guarded by mu; the last conclusive handler error was Unavailable
	outages      int                    // guarded by mu; number of ended outages, plus one
	rate         startRate              // guarded by mu
	tenants      tenants                // guarded by mu
	alarm        *time.Timer            // guarded by mu; calls advance at alarmAt
	alarmAt      time.Time              // guarded by mu; zero if not set
	told         State                  // guarded by mu; the state that tell got last
	acted        time.Time              // guarded by mu; last sign of life, or when a poll became due
	wasDue       bool                   // guarded by mu; a poll was out or due after the last update
	failures     int                    // guarded by mu; failed receives in a row
	failingSince time.Time              // guarded by mu; time of the first of them
	drained      bool                   // guarded by mu; the drain has ended
}

// line is one of the queues in which messages wait for a slot.
type line int

const (
	nowhere   line = iota
	asleep         // waits until a set time
	limited        // the limit of its group is reached
	refused        // its delay after a refusal has passed; goes before all other lines
	again          // its handler was called before
	following      // follows a settled FIFO head; goes before fresh
	fresh          // just received
	lineCount
)

// ticket is the wait of one message. The admission's mu guards it.
type ticket struct {
	answers chan answer // capacity 1
	line    line
	then    line        // the line after asleep or limited
	inside  bool        // counts towards the concurrency of its group
	must    bool        // admitted during a stop, too
	since   time.Time   // start of the wait
	due     time.Time   // end of the delay in asleep
	timer   *time.Timer // fires at due
	outage  int         // number of the outage in which its handler first reported Unavailable; 0 if none
}

// answer ends the wait of a message that has asked for a slot.
type answer int

const (
	admitted answer = iota + 1
	stopped         // the stop has begun
	drained         // the drain has ended
	sentBack        // the bound on waiting messages is reached
	expired         // SQS's 12 hours are nearly over
	lost            // another receiver has, or may have, received the message
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

// update applies change, admits the messages that have become due, and calls tell with a new state.
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

// advance carries out every step that has become due. The caller holds mu.
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
	// stale measures from the time when a poll became due.
	due := a.polls > 0 || n > 0
	if due && !a.wasDue {
		a.acted = now
	}
	a.wasDue = due
	a.setAlarm(now, at, pollAt, a.tenants.at)
}

// recount updates the derived counts. The caller holds mu.
func (a *admission) recount(now time.Time) {
	a.letThrough(now)
	a.refusedReady, a.againReady = len(a.lines[refused]), len(a.lines[again])
	a.untried = len(a.lines[following]) + len(a.lines[fresh])
	a.startAt = a.rate.next(now)
	a.perSecond = a.rate.perSecond(now)
	if a.condition == Up && a.limit < a.slots && !now.Before(a.rampAt) {
		// Without this, handlers that run for hours would keep concurrency low after an outage.
		a.limit, a.rampAt = a.limit+1, now.Add(rampStep)
	}
}

// setAlarm sets the alarm to the earliest of times, without zero times, and of the next rise of the
// limit. The caller holds mu.
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
		d = a.longestHeld() // from either line, because one of them may be empty
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

// longestHeld returns the previously tried message that has waited longest. It is the next probe.
// The caller holds mu.
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

// counts reports whether messages in this line count towards the bound on waiting messages.
func (l line) counts() bool { return l == asleep || l == limited || l == refused || l == again }

// waits adds n messages like d to the counts of waiting messages: 1 when it enters a line, -1 when
// it leaves. The caller holds mu.
func (a *admission) waits(d *delivery, n int) {
	a.waiting += n
	a.bytes += n * len(d.Body)
	switch {
	case d.ticket.line == limited:
		a.limited += n
		a.limitedBytes += n * len(d.Body)
	case d.end.Action == Hold:
		a.held += n
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

// arrive puts received messages, the heads of new lanes, into the fresh line. The caller holds mu.
func (a *admission) arrive(heads []*delivery, now time.Time) {
	for _, d := range heads {
		a.enter(d, fresh, now)
	}
}

// ask waits for a slot, after a delay if after is positive. With must the message gets a slot
// during a stop, too.
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
			return // already answered
		}
		t.then, t.due = to, now.Add(after)
		t.timer = time.AfterFunc(after, func() { a.update(func(now time.Time) { a.awaken(d, now) }) })
	})
	return <-d.ticket.answers
}

// awaken moves a message whose delay has ended to its next line. The caller holds mu.
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
	a.waits(d, 1) // awake messages only go to lines that count
	a.lines[t.line] = append(a.lines[t.line], d)
}

// leave returns a slot after a call of the handler and updates rate, limit and condition from its
// outcome. It reports whether a dependency was known to be down.
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
			// The dependency has answered, even if the message failed. An attempt that has left has
			// no answer yet. Reported conditions stay until their reporter changes them.
			a.failing = false
		}
		if end.Action == Delete && a.limit < a.slots {
			a.limit, a.rampAt = min(2*a.limit, a.slots), now.Add(rampStep)
		}
	})
	return down
}

// release returns an unused slot.
func (a *admission) release(d *delivery) {
	a.update(func(now time.Time) {
		a.running--
		a.tenants.ended(d, now)
	})
}

// ownTrouble reports whether an outage has ended since the message was first held. If its handler
// reports Unavailable again, the message itself is likely the cause.
func (a *admission) ownTrouble(d *delivery) bool {
	if d.ticket.outage == 0 { // written by the goroutine that calls this
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

// wait adds n messages of the given total size, which wait without a ticket. Both are negative when
// the wait ends.
func (a *admission) wait(n, bytes int) {
	a.update(func(time.Time) {
		a.waiting += n
		a.bytes += bytes
	})
}

// ending adds n messages that are being settled. n is negative when SQS has answered.
func (a *admission) ending(n int) { a.update(func(time.Time) { a.acks += n }) }

// isFull reports whether the bound on waiting messages is reached.
func (a *admission) isFull() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.full()
}

// surplus returns the message that goes back to the queue so that an untried message can be
// received. It returns nil unless a bound stops receiving. Only a message with two receives left
// may go, and its whole lane goes with it. Held messages go first, in the order of their receipt.
// Then goes the message with the latest due time. Refused and limited messages stay. None goes if
// limited messages take half of the bound: they would soon take the room, too. The caller holds mu.
func (a *admission) surplus(now time.Time) *delivery {
	if !a.full() {
		return nil
	}
	roomy := a.counts
	roomy.waiting, roomy.bytes = 2*a.limited, 2*a.limitedBytes // limited messages would soon take the room
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

// goesBackBefore orders messages for surplus.
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

// stop answers all waiting messages with stopped. Messages that must be handled now ask again.
func (a *admission) stop() {
	a.update(func(now time.Time) {
		a.stopping = true
		a.answerAll(stopped, now)
	})
}

// drain answers the messages that still wait with drained.
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
