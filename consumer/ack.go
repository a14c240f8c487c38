package consumer

import (
	"time"
)

// end carries out the decision about a message and waits for SQS's answer. It
// reports whether the message has left the queue, as far as can be known.
func (c *Consumer) end(t *task, d Disposition) bool {
	c.floor.ack(1)
	t.enter(ending)
	defer func() {
		c.beats.remove(t)
		c.change(func() { c.floor.ack(-1) })
		if c.cfg.Hooks.Ended != nil {
			c.cfg.Hooks.Ended(t.Message, d)
		}
	}()
	switch d.Action {
	case Delete:
		return c.remove(t)
	case DeadLetter:
		if !c.deadLetter(t, d) {
			// It stays, told of loudly; not so that it comes back at once.
			c.release(t, max(time.Second, failureDelay(d.Err, t.Message, c.limits(t))))
			return false
		}
		return c.remove(t)
	case Release, Defer:
		c.release(t, d.After)
	case Keep, Park, Hold:
		if d.Err != nil || t.LastReceive {
			c.cfg.Logger.Warn("message left to its visibility timeout", "name", c.name(t), "message_id", t.ID,
				"receive", t.ReceiveCount, "error", d.Err)
		}
	}
	return false
}

// remove deletes a message. A receipt that SQS does not take any more counts
// as deleted here: the delivery that replaced it will be found done.
func (c *Consumer) remove(t *task) bool {
	err := c.insist("DeleteMessageBatch", t, isReceiptLost, func() error {
		_, err := c.acks.deletes.Do(c.calls, t.ReceiptHandle)
		return err
	})
	return err == nil || isReceiptLost(err)
}

// release makes a message visible again after d. Heartbeats for it have ended
// before: one that came later would hide it again. Once its visibility timeout
// is over there is nothing to release: a standard queue would take the old
// receipt handle and change the delivery that another worker has.
func (c *Consumer) release(t *task, d time.Duration) {
	if c.isExpired(t) {
		c.cfg.Logger.Warn("message not released: its visibility timeout is over", "name", c.name(t), "message_id", t.ID)
		return
	}
	left := time.Until(t.received.Add(maxHold - time.Second)).Truncate(time.Second) // what is sent is rounded up
	d = max(0, min(d, left))
	_ = c.insist("ChangeMessageVisibilityBatch", t, isReceiptLost, func() error { // told of by insist; there is no more to do
		select {
		case t.visibility <- struct{}{}:
		case <-c.calls.Done():
			return c.calls.Err()
		}
		defer func() { <-t.visibility }()
		_, err := c.acks.changes.Do(c.calls, change{t.ReceiptHandle, d, false})
		t.over = err == nil
		return err
	})
}

// untilTogether is how long to wait before the next try. It ends at a moment
// that is the same for all that wait, so that they share their calls again, and
// another one in each process.
func (c *Consumer) untilTogether(t *task, try int) time.Duration {
	every := doubled(250*time.Millisecond, try, maxAckBackoff)
	if c.isStopping() {
		every = min(every, time.Second) // there may not be time for more than a few
	}
	spread := time.Duration(t.number) % time.Millisecond // in the order of arrival, by less than a call takes
	return every - time.Since(c.begun)%every + spread
}

// waitTogether waits until then. A stop that begins meanwhile has less time. It
// reports false when there is no time left at all.
func (c *Consumer) waitTogether(t *task, try int) bool {
	if !c.isStopping() && c.sleepUntilStop(c.untilTogether(t, try)) {
		return true
	}
	return sleep(c.calls, c.untilTogether(t, try))
}

// insist makes a call until it succeeds, can never succeed (final), or the
// consumer has no time left; between tries the heartbeat keeps the message.
func (c *Consumer) insist(operation string, t *task, final func(error) bool, call func() error) error {
	for try := 0; ; try++ {
		err := call()
		if err == nil {
			return nil
		}
		if final(err) || !c.waitTogether(t, try) {
			c.cfg.Logger.Warn("message left to its visibility timeout", "name", c.name(t), "message_id", t.ID,
				"operation", operation, "error", err)
			return err
		}
	}
}
