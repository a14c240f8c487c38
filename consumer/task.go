package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// errGoexit is the failure of a handler that ended its goroutine.
var errGoexit = errors.New("handler called runtime.Goexit")

// task is a message in this worker, from its receipt to its end.
type task struct {
	Message
	received time.Time
	tried    bool // its handler was called
	tries    int  // failed tries in place
	lastTry  bool // they have used up what receives SQS would give

	nameOnce sync.Once
	name     string // by Config.Name; set by nameOnce

	phase      atomic.Int32                            // see [phase]
	visibleAt  atomic.Int64                            // Unix nanoseconds; until then SQS hides it
	extensions atomic.Int32                            // heartbeats answered
	lapsed     atomic.Bool                             // one was answered when the visibility timeout was over
	cancel     atomic.Pointer[context.CancelCauseFunc] // of its handler
	lost       atomic.Bool                             // SQS says that the receipt is not ours any more

	visibility chan struct{} // full while somebody changes it
	over       bool          // guarded by visibility; no more heartbeats
	nextBeat   time.Time     // guarded by beats.mu
	number     int           // of the messages received; set by beats.add
	place      int           // among beats.tasks; guarded by beats.mu

	lane lane // that it is the first of, if it is
}

func newTask(m Message, received time.Time, visibility time.Duration) *task {
	t := &task{Message: m, received: received, visibility: make(chan struct{}, 1)}
	t.visibleAt.Store(received.Add(visibility).UnixNano())
	return t
}

func (t *task) enter(p phase) { t.phase.Store(int32(p)) }

// current is the message as the next try sees it: failed tries in place count
// towards its last receive.
func (t *task) current() Message {
	m := t.Message
	m.LastReceive = m.LastReceive || t.lastTry
	return m
}

// name returns a message's name, or nothing.
func (c *Consumer) name(t *task) string {
	t.nameOnce.Do(func() {
		if name, ok := c.cfg.Name(t.Message); ok {
			t.name = name
		}
	})
	return t.name
}

// live takes a message from its turn for a slot to the decision about its end.
func (c *Consumer) live(l *lane, t *task, turn *turn) (d Disposition) {
	for {
		t.enter(queued)
		if !c.awaitSlot(l, t, turn) {
			return c.giveUp(t, d)
		}
		var again bool
		d, again = c.try(l, t)
		c.change(c.floor.release)
		if !again {
			return d
		}
		if d, again = c.waitHere(t, d); !again {
			return d
		}
		turn = c.floor.ask(false)
	}
}

// giveUp is what becomes of a message that can wait here no longer, after the
// decision of its last try if there was one.
func (c *Consumer) giveUp(t *task, d Disposition) Disposition {
	if d.Err == nil {
		return c.unstarted(t)
	}
	l := c.limits(t)
	l.Stopping, l.Over = true, true
	// Receives that only failed tries in place have used up are there for others.
	end := Decide(d.Err, t.Message, l)
	if end.Reason == reasonParkedAtStop && !c.isStopping() {
		end.Reason = reasonParkedTooLong
	}
	return end
}

// awaitSlot waits for the message's turn. At a stop a message that has not
// started is given back, unless it must be handled now.
func (c *Consumer) awaitSlot(l *lane, t *task, turn *turn) bool {
	select {
	case <-turn.granted():
		if c.pace() {
			return true
		}
	case <-c.stopping:
	}
	if c.mustStart(l, t) {
		select {
		case <-turn.granted():
			if c.work.Err() == nil {
				return true
			}
		case <-c.work.Done():
		}
	}
	c.change(func() { c.floor.withdraw(turn) })
	return false
}

// pace waits for what the rate limit allows. It reports false when a stop comes
// first.
func (c *Consumer) pace() bool {
	if c.limiter.Limit() == rate.Inf {
		return !c.isStopping()
	}
	return c.limiter.Wait(stopContext{c.work, c.stopping}) == nil
}

// mustStart reports whether a stop must not give back this message: SQS would
// dead-letter it, or one that must come after it, unattempted.
func (c *Consumer) mustStart(l *lane, t *task) bool {
	return t.LastReceive || c.lanes.lastReceiveFollows(l)
}

// stopContext ends with the stop, and lets the rate limiter see no deadline.
type stopContext struct {
	context.Context
	stopping <-chan struct{}
}

func (s stopContext) Done() <-chan struct{} { return s.stopping }

func (s stopContext) Err() error {
	select {
	case <-s.stopping:
		return context.Canceled
	default:
		return nil
	}
}

// try calls the handler, again and again in its slot while what it depends on
// is down. It reports whether the message waits here for another try.
func (c *Consumer) try(l *lane, t *task) (d Disposition, again bool) {
	for held := false; ; held = true {
		pass := c.floor.enter(!t.tried)
		if !c.awaitPass(l, t, pass, held) {
			c.change(func() { c.floor.turnBack(pass) })
			return c.giveUp(t, d), false
		}
		t.tried = true
		d = c.attempt(l, t, pass, held)
		if d.Action != Hold {
			return d, d.Action == Park
		}
	}
}

// attempt calls the handler once, and decides. When the handler ends its
// goroutine, which is this one, another goes on with the lane.
func (c *Consumer) attempt(l *lane, t *task, pass *pass, held bool) Disposition {
	start := time.Now()
	returned := false
	defer func() {
		if !returned {
			c.workers.start(func() { c.goOn(l, t, c.survive(l, t, c.conclude(t, pass, start, held, errGoexit))) })
		}
	}()
	err := c.call(t)
	returned = true
	return c.conclude(t, pass, start, held, err)
}

// conclude decides about a try that has ended.
func (c *Consumer) conclude(t *task, pass *pass, start time.Time, held bool, err error) Disposition {
	d := c.decide(t, err)
	if d.Action != Delete && c.isElsewhere(t) {
		d.Action, d.Reason = Keep, ""
	}
	c.change(func() { c.floor.leave(pass, d) })
	c.report(t, d, time.Since(start), held)
	if d.Failure {
		t.tries++
		t.lastTry = c.facts.maxReceives > 0 && t.ReceiveCount+t.tries >= c.facts.maxReceives
	}
	return d
}

// isElsewhere reports whether another worker may have the message, so that its
// end is not ours to decide: SQS refused its receipt handle, or on a FIFO queue
// its visibility timeout is over. One on its last receive goes nowhere else.
func (c *Consumer) isElsewhere(t *task) bool {
	return !t.LastReceive && (t.lost.Load() || c.cfg.fifo() && c.isExpired(t))
}

// isExpired reports whether the message's visibility timeout is over, as far as
// is known here, or has been for a while on a standard queue.
func (c *Consumer) isExpired(t *task) bool {
	return t.lapsed.Load() || time.Now().UnixNano() >= t.visibleAt.Load()
}

// survive takes a message from the decision about a try whose goroutine is gone
// to the one about its end.
func (c *Consumer) survive(l *lane, t *task, d Disposition) Disposition {
	c.change(c.floor.release)
	if d.Action != Park {
		return d
	}
	d, again := c.waitHere(t, d)
	if !again {
		return d
	}
	return c.live(l, t, c.floor.ask(false))
}

// decide is [Decide] about a try that has just returned. At a stop, tries in
// place do not make it the last: SQS has receives left, and another worker has
// the time. A guard that was told so before the try may have rejected it all the
// same.
func (c *Consumer) decide(t *task, err error) Disposition {
	l, m := c.limits(t), t.current()
	if l.Stopping {
		m = t.Message
	}
	return Decide(err, m, l)
}

// awaitPass waits for leave to call the handler. It reports false when the stop
// or the end of what SQS allows comes first. At a stop, what must be handled
// now goes without leave once, and waits for it until the drain is over when it
// was held then.
func (c *Consumer) awaitPass(l *lane, t *task, p *pass, again bool) bool {
	select {
	case <-p.granted:
		return c.work.Err() == nil
	default:
	}
	t.enter(held)
	end := time.NewTimer(time.Until(c.holdEnd(t)))
	defer end.Stop()
	select {
	case <-p.granted:
		return c.work.Err() == nil
	case <-end.C:
		return false
	case <-c.stopping:
	}
	if !c.mustStart(l, t) {
		return false
	}
	if !again {
		c.floor.turnBack(p)
		return c.work.Err() == nil
	}
	select {
	case <-p.granted:
		return c.work.Err() == nil
	case <-c.work.Done():
		return false
	}
}

// waitHere keeps a message without a slot until it is to be tried again.
func (c *Consumer) waitHere(t *task, d Disposition) (Disposition, bool) {
	t.enter(parked)
	c.floor.wait(1, len(t.Body))
	c.tellParked(t, true)
	d, again := c.pause(t, d)
	c.tellParked(t, false)
	c.change(func() { c.floor.wait(-1, -len(t.Body)) })
	return d, again
}

func (c *Consumer) tellParked(t *task, parked bool) {
	if c.cfg.Hooks.Parked != nil {
		c.cfg.Hooks.Parked(t.Message, parked)
	}
}

// holdEnd is when a message that waits here has to be let go, so that its end
// is answered within what SQS allows.
func (c *Consumer) holdEnd(t *task) time.Time {
	return t.received.Add(maxHold - min(2*c.cfg.Visibility, maxHold/2))
}

// pause waits for d.After. A stop, or the longest time SQS leaves a message
// with one receiver, ends the wait with the decision about the message. One on
// its last receive is looked at at once when a stop begins, and waits until the
// drain is over.
func (c *Consumer) pause(t *task, d Disposition) (Disposition, bool) {
	lasts := t.LastReceive && !d.Failure
	var stop <-chan struct{} = c.stopping
	if lasts && c.isStopping() {
		stop = c.work.Done()
	}
	left := time.Until(c.holdEnd(t))
	wait := time.NewTimer(min(d.After, left))
	defer wait.Stop()
	select {
	case <-wait.C:
		if d.After < left {
			return d, true
		}
	case <-stop:
		if lasts && c.work.Err() == nil {
			return d, true
		}
	}
	return c.giveUp(t, d), false
}

func (c *Consumer) limits(t *task) Limits {
	return Limits{
		Backoff: c.cfg.Backoff, MaxBackoff: c.cfg.MaxBackoff, Stopping: c.isStopping(), Over: c.work.Err() != nil,
		InPlace: c.cfg.fifo(), Tries: t.tries, Holds: c.floor.failedProbes(),
		Random: c.cfg.Random(),
	}
}

// call runs the handler once. Its panic is its error.
func (c *Consumer) call(t *task) (err error) {
	ctx, cancel := context.WithCancelCause(c.work)
	defer cancel(nil)
	t.cancel.Store(&cancel)
	if t.lost.Load() && c.cfg.CancelOnLostReceipt {
		cancel(ErrReceiptLost)
	}
	t.enter(running)
	defer t.enter(ending)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return c.handler(ctx, t.current())
}

// report logs a decision and tells the hook; held says that the message was
// held before this try.
func (c *Consumer) report(t *task, d Disposition, took time.Duration, held bool) {
	if c.cfg.Hooks.Handled != nil {
		c.cfg.Hooks.Handled(t.Message, d, took)
	}
	if d.Err == nil {
		return
	}
	log := c.cfg.Logger.Warn
	if d.Action == Defer || d.Action == Park && !d.Failure || d.Action == Hold && held {
		log = c.cfg.Logger.Debug // ordinary, or told before
	}
	log("not done", "name", c.name(t), "message_id", t.ID, "receive", t.ReceiveCount,
		"action", d.Action.String(), "after", d.After, "reason", d.Reason, "error", d.Err)
}
