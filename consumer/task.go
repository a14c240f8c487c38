package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// task is a message in this worker, from its receipt to its end.
type task struct {
	Message
	received time.Time
	tries    int // failed tries in place
	holds    int // unavailabilities in a row

	running atomic.Bool                             // its handler is at work
	cancel  atomic.Pointer[context.CancelCauseFunc] // of its handler
	ending  atomic.Bool                             // its end is being carried out
	lost    atomic.Bool                             // SQS says that the receipt is not ours any more

	visibility chan struct{} // full while somebody changes it
	over       bool          // guarded by visibility; no more heartbeats
	nextBeat   time.Time     // guarded by beats.mu
}

func newTask(m Message, received time.Time) *task {
	return &task{Message: m, received: received, visibility: make(chan struct{}, 1)}
}

// live takes a message from its turn for a slot to the decision about its end.
func (c *Consumer) live(l *lane, t *task, turn *turn) Disposition {
	for {
		if d, ok := c.awaitSlot(l, t, turn); !ok {
			return d
		}
		d, again := c.try(t)
		c.floor.release()
		c.kick()
		if !again {
			return d
		}
		if d, again = c.waitHere(t, d); !again {
			return d
		}
		turn = c.floor.ask()
	}
}

// awaitSlot waits for the message's turn. At a stop a message that has not
// started is given back, unless it, or one that must come after it, is on its
// last receive.
func (c *Consumer) awaitSlot(l *lane, t *task, turn *turn) (Disposition, bool) {
	select {
	case <-turn.granted:
		if c.limiter.Wait(stopContext{c.work, c.stopping}) == nil {
			return Disposition{}, true
		}
	case <-c.stopping:
	}
	if t.LastReceive || c.lanes.lastReceiveFollows(l) {
		select {
		case <-turn.granted:
			return Disposition{}, true
		case <-c.work.Done():
		}
	}
	c.floor.withdraw(turn)
	c.kick()
	return unstarted(t), false
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
func (c *Consumer) try(t *task) (d Disposition, again bool) {
	for {
		start := time.Now()
		err := c.call(t)
		d = Decide(err, t.Message, c.limits(t, c.isStopping()))
		c.report(t, d, time.Since(start))
		if d.Failure {
			t.tries++
			t.LastReceive = t.LastReceive || c.facts.maxReceives > 0 && t.ReceiveCount+t.tries >= c.facts.maxReceives
		}
		if d.Action != Hold {
			t.holds = 0
			return d, d.Action == Park
		}
		t.holds++
		if again, d = c.pause(t, d); !again {
			return d, false
		}
	}
}

// waitHere keeps a message without a slot until it is to be tried again.
func (c *Consumer) waitHere(t *task, d Disposition) (Disposition, bool) {
	c.floor.wait(1, len(t.Body))
	again, d := c.pause(t, d)
	c.floor.wait(-1, -len(t.Body))
	c.kick()
	return d, again
}

// pause waits for d.After. A stop, or the longest time SQS leaves a message
// with one receiver, ends the wait with the decision about the message.
func (c *Consumer) pause(t *task, d Disposition) (bool, Disposition) {
	holdEnd := time.Until(t.received.Add(maxHold - 2*c.cfg.Visibility))
	if d.After < holdEnd {
		if c.sleepUntilStop(d.After) {
			return true, d
		}
	} else if !c.sleepUntilStop(max(0, holdEnd)) {
		holdEnd = -1
	}
	end := Decide(d.Err, t.Message, c.limits(t, true))
	if !c.isStopping() && end.Action == DeadLetter && end.Reason == reasonParkedAtStop {
		end.Reason = reasonParkedTooLong
	}
	return false, end
}

func (c *Consumer) limits(t *task, stopping bool) Limits {
	return Limits{
		Backoff: c.cfg.Backoff, MaxBackoff: c.cfg.MaxBackoff, Stopping: stopping,
		InPlace: c.cfg.fifo(), Tries: t.tries, Holds: t.holds,
		Random: rand.Float64(), //nolint:gosec // spreads retries, guards nothing
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
	t.running.Store(true)
	defer t.running.Store(false)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return c.handler(ctx, t.Message)
}

// report logs a decision and tells the hook.
func (c *Consumer) report(t *task, d Disposition, took time.Duration) {
	if c.cfg.Hooks.Handled != nil {
		c.cfg.Hooks.Handled(t.Message, d, took)
	}
	if d.Err == nil {
		return
	}
	name, _ := c.cfg.Name(t.Message)
	log := c.cfg.Logger.Warn
	if d.Action == Defer || d.Action == Park && !d.Failure {
		log = c.cfg.Logger.Debug // ordinary: somebody else is at work
	}
	log("not done", "name", name, "message_id", t.ID, "receive", t.ReceiveCount,
		"action", d.Action.String(), "after", d.After, "reason", d.Reason, "error", d.Err)
}
