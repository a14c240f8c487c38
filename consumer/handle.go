package consumer

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// delivery is a message in this worker, from its receipt to its end.
type delivery struct {
	Message
	run      *run
	lane     *lane
	received time.Time // when SQS has handed it out, as nearly as can be known
	number   int       // of the messages received; set by heartbeat.add
	group    string    // by Config.GroupBy; empty: none, or no bound for groups

	ticket ticket // guarded by admission.mu

	// Of the goroutine that handles its lane.
	end      Disposition // the last decision
	tries    int         // failed tries here
	refusals int         // in a row
	lastTry  bool        // failed tries here have used up the receives that SQS would give

	nameOnce sync.Once
	named    string                 // by Config.Name; set by nameOnce
	given    atomic.Pointer[string] // by [Message.SetName]

	phase      atomic.Int32                            // see [phase]
	visibleAt  atomic.Int64                            // Unix nanoseconds; until then SQS hides it
	extensions atomic.Int32                            // heartbeats answered
	began      atomic.Int64                            // Unix nanoseconds; the last call of its handler
	cancel     atomic.Pointer[context.CancelCauseFunc] // of its handler
	lost       atomic.Bool                             // SQS says that the receipt is not ours any more
	lapsed     atomic.Bool                             // a heartbeat was answered when the visibility timeout was over
	deleted    atomic.Bool                             // by its handler

	visibility chan struct{} // full while its visibility is being changed
	over       bool          // guarded by visibility; no more heartbeats
	nextBeat   time.Time     // guarded by heartbeat.mu
	place      int           // among heartbeat.messages; guarded by heartbeat.mu
	overdue    time.Time     // of the goroutine of the heartbeat; when its handler was last called overdue
	settled    bool          // of the goroutine that settles it
}

func newDelivery(r *run, m Message, received time.Time) *delivery {
	d := &delivery{Message: m, run: r, received: received, visibility: make(chan struct{}, 1)}
	d.delivery = d
	d.ticket.answers = make(chan answer, 1)
	d.visibleAt.Store(received.Add(r.cfg.Visibility).UnixNano())
	if r.cfg.GroupConcurrency > 0 || r.cfg.GroupRate > 0 {
		d.group = d.groupOf()
	}
	return d
}

// groupOf is the message's group by [Config.GroupBy]. A panic of that is logged.
func (d *delivery) groupOf() string {
	defer d.run.hooks.recovered("Config.GroupBy", d.ID, nil)
	return d.run.cfg.GroupBy(d.Message)
}

func (d *delivery) enter(p phase) { d.phase.Store(int32(p)) }

// name returns a message's name, or nothing. A panic of [Config.Name] is logged.
func (d *delivery) name() string {
	if name := d.given.Load(); name != nil {
		return *name
	}
	d.nameOnce.Do(func() {
		defer d.run.hooks.recovered("Config.Name", d.ID, nil)
		if name, ok := d.run.cfg.Name(d.Message); ok {
			d.named = name
		}
	})
	return d.named
}

// isLost reports whether others may have the message: SQS has said so, or no heartbeat was
// answered in time.
func (d *delivery) isLost(now time.Time) bool {
	return !d.deleted.Load() && (d.lost.Load() || d.lapsed.Load() || now.UnixNano() >= d.visibleAt.Load())
}

// isElsewhere reports whether another worker may have the message, so that its end is not
// ours to decide: SQS refused its receipt handle, or on a FIFO queue its visibility timeout
// is over. One on its last receive goes nowhere else.
func (r *run) isElsewhere(d *delivery) bool {
	return !d.LastReceive && (d.lost.Load() || r.cfg.fifo() && d.isLost(time.Now()))
}

// isOld reports whether so much of the 12 hours that SQS allows is over that a message is
// not begun any more behind others: it would not be done in time. On its last receive it is.
func (d *delivery) isOld(now time.Time) bool {
	return !d.LastReceive && now.Sub(d.received) >= maxHold/2
}

// canGoBack reports whether the message and its lane may be received once more than now
// without being on their last receive then.
func (d *delivery) canGoBack() bool {
	most := d.run.redrive.load().maxReceives
	return most == 0 || d.run.lanes.mostReceived(d.lane) <= most-2
}

// handleLane takes the messages of a lane to their ends, in order. The lane goes on when
// one has left the queue, or is left to SQS's own redrive: its followers, as often
// received, would go there with it. Otherwise, and when others may have the group, it goes
// back to the queue. A handler may end this goroutine: that is a failure of its message.
func (r *run) handleLane(l *lane) {
	d := l.head
	defer func() { r.giveBack(l, d) }() // nothing, when d is nil
	r.handle(d, r.await(d, fresh, 0))
	for lost := d.isLost(time.Now()); d.end.leavesQueue() && (r.settle(d) || leftToRedrive(d)); {
		if d = r.lanes.next(l); d == nil {
			return
		}
		r.admission.wait(-1, -len(d.Body))
		if lost || d.isOld(time.Now()) {
			d.end = r.unstarted(d)
			return
		}
		r.handle(d, r.await(d, following, 0))
		lost = d.isLost(time.Now())
	}
}

// handle takes a message from the answer to its wait for a slot to the decision about its
// end.
func (r *run) handle(d *delivery, got answer) {
	for {
		if got == admitted && d.isLost(time.Now()) {
			r.admission.release(d)
			got = lost
		}
		if got != admitted {
			d.end = r.giveUp(d, got)
			return
		}
		r.attempt(d)
		if !d.end.Action.waits() {
			return
		}
		got = r.await(d, d.end.line(), d.end.After)
	}
}

// await waits for a time and then for a slot. At a stop, a message that must be handled now
// goes on waiting.
func (r *run) await(d *delivery, to line, after time.Duration) answer {
	d.enter(phaseOf(d.end))
	if d.end.Action.waits() {
		r.hooks.parked(d.Message, true)
		defer r.hooks.parked(d.Message, false)
	}
	var got answer
	if to == fresh {
		got = <-d.ticket.answers // it asked when it arrived
	} else {
		got = r.admission.ask(d, to, after, r.isStopping() && r.mustStart(d))
	}
	for got == stopped && r.mustStart(d) {
		got = r.admission.ask(d, to, 0, true)
	}
	return got
}

// mustStart reports whether a stop must not give back this message: SQS would dead-letter
// it, or one that must come after it, unattempted. A head that has failed has had its try.
func (r *run) mustStart(d *delivery) bool {
	return !d.end.Failure && (d.LastReceive || r.lanes.lastReceiveFollows(d.lane))
}

// attempt calls the handler once, decides, and gives the slot back; also when the handler
// ends its goroutine, which is this one.
func (r *run) attempt(d *delivery) {
	start := time.Now()
	err := errGoexit
	defer func() { r.conclude(d, err, time.Since(start)) }()
	err = r.call(d)
}

// call runs the handler once. Its panic is its error.
func (r *run) call(d *delivery) (err error) {
	ctx, cancel := context.WithCancelCause(r.work)
	defer cancel(nil)
	d.cancel.Store(&cancel)
	if d.lost.Load() && r.cfg.CancelOnLostReceipt {
		cancel(ErrReceiptLost)
	}
	if r.cfg.HandlerTimeout > 0 {
		limited, stop := context.WithTimeout(ctx, r.cfg.HandlerTimeout)
		defer stop()
		ctx = limited
	}
	d.began.Store(time.Now().UnixNano())
	d.enter(phaseRunning)
	defer d.enter(phaseEnding)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return r.handler(ctx, d.current())
}

// current is the message as the next try sees it: failed tries here count towards its last
// receive.
func (d *delivery) current() Message {
	m := d.Message
	m.LastReceive = m.LastReceive || d.lastTry
	return m
}

// conclude decides about a try that has ended, and gives its slot back.
func (r *run) conclude(d *delivery, err error, took time.Duration) {
	held := d.end.Action == Hold
	d.end = r.decide(d, err)
	if d.end.Action != Delete && r.isElsewhere(d) {
		d.end.Action, d.end.Reason = Keep, ""
	}
	if failed := r.hooks.handled(d.Message, d.end, took); failed != nil {
		d.end = r.decide(d, failed)
	}
	if d.end.Failure || d.end.unavailable && r.admission.ownTrouble(d) {
		d.tries++
	}
	if d.end.Failure {
		most := r.redrive.load().maxReceives
		d.lastTry = most > 0 && d.ReceiveCount+d.tries >= most
	}
	if d.refusals++; !d.end.refused {
		d.refusals = 0
	}
	known := r.admission.leave(d, d.end)
	r.report(d, held || known)
	if d.deleted.Load() {
		d.end.Action = Delete // by its handler, whatever that has returned
	}
}

// decide is [Decide] about a try that has just returned. At a stop, failed tries here do
// not make it the last: SQS has receives left, and another worker has the time. A guard
// that was told so before the try may have rejected it all the same.
func (r *run) decide(d *delivery, err error) Disposition {
	l, m := r.limits(d), d.current()
	if l.Stopping {
		m = d.Message
	}
	return Decide(err, m, l)
}

func (r *run) limits(d *delivery) Limits {
	return Limits{
		Backoff: r.cfg.Backoff, MaxBackoff: r.cfg.MaxBackoff,
		Stopping: r.isStopping(), Over: r.work.Err() != nil,
		InPlace: r.cfg.fifo(), Tries: d.tries, Refusals: d.refusals,
		Own: r.admission.ownTrouble(d), Random: r.random(),
	}
}

// report logs a decision; known says that the trouble of a held message was logged before.
func (r *run) report(d *delivery, known bool) {
	if d.end.Err == nil {
		return
	}
	log := r.log.Warn
	if d.end.Action == Defer || d.end.Action == Park && !d.end.Failure || d.end.Action == Hold && known {
		log = r.log.Debug // ordinary, or told before
	}
	log("not done", "name", d.name(), "message_id", d.ID, "receive", d.ReceiveCount,
		"action", d.end.Action.String(), "after", d.end.After, "reason", d.end.Reason, "error", d.end.Err)
}

// giveUp is what becomes of a message that can wait here no longer, after the decision of
// its last try if there was one.
func (r *run) giveUp(d *delivery, why answer) Disposition {
	switch {
	case why == lost:
		return Disposition{Action: Keep, Err: ErrReceiptLost}
	case why == sentBack:
		after := sentBackAfter
		if !d.ticket.due.IsZero() {
			after = max(after, time.Until(d.ticket.due))
		}
		return Disposition{Action: Release, After: after, Err: d.end.Err}
	case d.end.Err == nil:
		return r.unstarted(d)
	}
	l := r.limits(d)
	l.Stopping, l.Over = true, true
	// Receives that only failed tries here have used up are there for others.
	end := Decide(d.end.Err, d.Message, l)
	if end.Reason == reasonParkedAtStop && !r.isStopping() {
		end.Reason = reasonParkedTooLong
	}
	return end
}

// unstarted is what becomes of a message that was not tried: visible at once. SQS would
// dead-letter one on its last receive for that, without a word; so we do it, with the
// reason. That happens only when the drain was too short for it, or when what stands before
// it took the 12 hours that SQS allows.
func (r *run) unstarted(d *delivery) Disposition {
	end := Disposition{Action: Release}
	if d.LastReceive {
		end = Disposition{Action: DeadLetter, Reason: reasonHeldUp, Attempts: d.ReceiveCount - 1}
		if r.isStopping() {
			end.Reason = reasonUntried
		}
	}
	return end
}

// giveBack ends a lane whose head stays in the queue: its followers are released first, and
// it last, so that none of them can be received before it. After a handler has ended its
// goroutine, the head is released where it would have waited here.
func (r *run) giveBack(l *lane, head *delivery) {
	if head == nil {
		return
	}
	var released sync.WaitGroup
	for _, follower := range r.lanes.end(l) {
		r.admission.wait(-1, -len(follower.Body))
		if follower.end = r.unstarted(follower); follower.isLost(time.Now()) {
			follower.end = Disposition{Action: Keep, Err: ErrReceiptLost}
		}
		released.Go(func() { r.settle(follower) })
	}
	released.Wait()
	if head.end.Action.waits() {
		head.end.Action = Release
	}
	if !head.settled {
		r.settle(head)
	}
}

// leavesQueue reports whether the message is gone once d is carried out.
func (d Disposition) leavesQueue() bool { return d.Action == Delete || d.Action == DeadLetter }

// line is where a message that waits here waits for a slot.
func (d Disposition) line() line {
	if d.refused {
		return refused
	}
	return again
}

// leftToRedrive reports whether a message that could not be dead-lettered goes to the
// dead-letter queue without us: SQS does not deliver it again.
func leftToRedrive(d *delivery) bool { return d.end.Action == DeadLetter && d.LastReceive }
