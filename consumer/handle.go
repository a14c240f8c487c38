package consumer

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// delivery is a message in this worker, from its receipt until it is settled.
type delivery struct {
	Message
	run      *run
	lane     *lane
	received time.Time // when SQS returned it, as precisely as known
	number   int       // position among all received messages; set by heartbeat.add
	group    string    // by Config.GroupBy; empty if it has no group or groups have no limits

	ticket ticket // guarded by admission.mu

	// Only used by the goroutine that handles the lane.
	end      Disposition // the last decision
	tries    int         // failed tries in this worker
	refusals int         // refusals in a row
	lastTry  bool        // receives and failed tries in this worker have reached maxReceiveCount

	nameOnce sync.Once
	named    string                 // result of Config.Name; set by nameOnce
	given    atomic.Pointer[string] // set by [Message.SetName]

	phase      atomic.Int32                            // a [phase]
	visibleAt  atomic.Int64                            // Unix nanoseconds; end of the visibility timeout
	extensions atomic.Int32                            // answered heartbeats
	began      atomic.Int64                            // Unix nanoseconds; start of the last call of its handler
	cancel     atomic.Pointer[context.CancelCauseFunc] // cancels its handler
	lost       atomic.Bool                             // SQS has refused the receipt handle
	lapsed     atomic.Bool                             // a heartbeat was answered after the visibility timeout had ended
	deleted    atomic.Bool                             // deleted by its handler

	visibility chan struct{} // full during a change of the visibility timeout
	over       bool          // guarded by visibility; no more heartbeats
	nextBeat   time.Time     // guarded by heartbeat.mu
	place      int           // index in heartbeat.messages; guarded by heartbeat.mu
	overdue    time.Time     // last report of its overdue handler; used by the heartbeat's goroutine
	settled    bool          // used by the goroutine that settles it
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

// groupOf returns the message's group. A panic of [Config.GroupBy] is logged.
func (d *delivery) groupOf() string {
	defer d.run.hooks.recovered("Config.GroupBy", d.ID, nil)
	return d.run.cfg.GroupBy(d.Message)
}

func (d *delivery) enter(p phase) { d.phase.Store(int32(p)) }

// name returns the message's name, or "". A panic of [Config.Name] is logged.
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

// isLost reports whether another receiver may have the message: SQS has refused the receipt handle,
// or no heartbeat was answered in time.
func (d *delivery) isLost(now time.Time) bool {
	return !d.deleted.Load() && (d.lost.Load() || d.lapsed.Load() || now.UnixNano() >= d.visibleAt.Load())
}

// isElsewhere reports whether another receiver may have the message, so that this worker must not
// settle it. That is so after SQS has refused the receipt handle, and on a FIFO queue after the
// visibility timeout. A message on its last receive is not delivered again.
func (r *run) isElsewhere(d *delivery) bool {
	return !d.LastReceive && (d.lost.Load() || r.cfg.fifo() && d.isLost(time.Now()))
}

// isOld reports whether half of SQS's 12 hours have passed. The rest may not suffice for another
// message of the lane, so it is not started. A message on its last receive is never old, because it
// has no other chance.
func (d *delivery) isOld(now time.Time) bool {
	return !d.LastReceive && now.Sub(d.received) >= maxHold/2
}

// canGoBack reports whether the next receive of the message, and of every message in its lane,
// would not be the last.
func (d *delivery) canGoBack() bool {
	most := d.run.redrive.load().maxReceives
	return most == 0 || d.run.lanes.mostReceived(d.lane) <= most-2
}

// handleLane handles and settles the messages of a lane in order. It continues after a message that
// has left the queue or is left to SQS's redrive: the followers were received as often, so SQS
// would redrive them, too. After any other outcome, or when the group may have gone to another
// receiver, the rest of the lane goes back to the queue. A handler that ends this goroutine has
// failed.
func (r *run) handleLane(l *lane) {
	d := l.head
	defer func() { r.giveBack(l, d) }() // does nothing if d is nil
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

// handle takes a message from the answer of admission to the decision about its end.
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

// await waits for the delay and then for a slot. During a stop it asks again for a message that
// must be handled now.
func (r *run) await(d *delivery, to line, after time.Duration) answer {
	if to != fresh { // arrive has put it into a line already
		d.enter(phaseOf(d.end))
	}
	if d.end.Action.waits() {
		r.hooks.parked(d.Message, true)
		defer r.hooks.parked(d.Message, false)
	}
	var got answer
	if to == fresh {
		got = <-d.ticket.answers
	} else {
		got = r.admission.ask(d, to, after, r.isStopping() && r.mustStart(d))
	}
	for got == stopped && r.mustStart(d) {
		got = r.admission.ask(d, to, 0, true)
	}
	return got
}

// mustStart reports whether a stop must not send this message back. SQS would dead-letter it, or a
// later message of its lane, without an attempt. A head that has failed has had its attempt.
func (r *run) mustStart(d *delivery) bool {
	return !d.end.Failure && (d.LastReceive || r.lanes.lastReceiveFollows(d.lane))
}

// attempt calls the handler once, decides, and returns the slot. It does so even if the handler
// ends this goroutine.
func (r *run) attempt(d *delivery) {
	start := time.Now()
	err := errGoexit
	defer func() { r.conclude(d, err, time.Since(start)) }()
	err = r.call(d)
}

// call runs the handler once. A panic becomes its error.
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

// current returns the message for the next try. Failed tries in this worker count towards its last
// receive.
func (d *delivery) current() Message {
	m := d.Message
	m.LastReceive = m.LastReceive || d.lastTry
	return m
}

// conclude decides about a finished try and returns its slot.
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
		d.end.Action = Delete // deleted by its handler, so its error no longer matters
	}
}

// decide calls [Decide] for a try that has just returned. During a stop, failed tries in this
// worker do not make it the last: the message has receives left, and another worker has time. A
// guard may have rejected it nevertheless, because the try began with LastReceive set.
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

// report logs a decision. known means that the outage that holds the message was logged before.
func (r *run) report(d *delivery, known bool) {
	if d.end.Err == nil {
		return
	}
	log := r.log.Warn
	if d.end.Action == Defer || d.end.Action == Park && !d.end.Failure || d.end.Action == Hold && known {
		log = r.log.Debug // expected, or logged before
	}
	log("not done", "name", d.name(), "message_id", d.ID, "receive", d.ReceiveCount,
		"action", d.end.Action.String(), "after", d.end.After, "reason", d.end.Reason, "error", d.end.Err)
}

// giveUp decides about a message that may no longer wait here, after the error of its last try if
// it had any.
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
	// Failed tries in this worker do not count: another worker can use the receives that are left.
	end := Decide(d.end.Err, d.Message, l)
	if end.Reason == reasonParkedAtStop && !r.isStopping() {
		end.Reason = reasonParkedTooLong
	}
	return end
}

// unstarted decides about a message that was not tried. It becomes visible at once. On its last
// receive SQS would then dead-letter it without a reason, so it is dead-lettered here with one.
// That happens only if the drain was too short, or if the messages before it took the 12 hours that
// SQS allows.
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

// giveBack ends a lane whose head stays in the queue. The followers are released first and the head
// last, so that no follower can be received before the head. If the handler has ended its
// goroutine, a held or parked head is released.
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

// line returns the line in which a held or parked message waits for a slot.
func (d Disposition) line() line {
	if d.refused {
		return refused
	}
	return again
}

// leftToRedrive reports whether SQS itself will dead-letter a message that could not be
// dead-lettered here. SQS does not deliver it again.
func leftToRedrive(d *delivery) bool { return d.end.Action == DeadLetter && d.LastReceive }
