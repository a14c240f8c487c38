package sqstest

import "container/list"

// poller is a receive that waits for messages. The first poller of a queue also wakes up when the
// next message becomes due.
type poller struct {
	signal chan struct{} // capacity 1
	place  *list.Element // in queue.pollers; nil after a signal
	alarm  instant       // time at which the poller wakes up without a signal; 0: never
}

// wake signals the first poller if a message is available, or if a message becomes due before the
// poller's alarm. Every change of either calls wake. A signalled poller calls wake again, so that
// the next poller gets the messages that it leaves.
func (q *queue) wake() {
	e := q.pollers.Front()
	if e == nil {
		return
	}
	p := e.Value.(*poller)
	if q.available() || q.deleted {
		q.pollers.Remove(e)
		p.place = nil
		p.call()
		return
	}
	if due := q.nextDue(); due != 0 && (p.alarm == 0 || due < p.alarm) {
		p.alarm = due
		p.call()
	}
}

func (p *poller) call() {
	select {
	case p.signal <- struct{}{}:
	default: // the pending signal is enough
	}
}

// join adds p to the pollers, at the front if it waits again, and returns the time at which p must
// check the queue: deadline at the latest.
func (q *queue) join(p *poller, again bool, deadline instant) instant {
	switch {
	case p.place != nil:
	case again:
		p.place = q.pollers.PushFront(p)
	default:
		p.place = q.pollers.PushBack(p)
	}
	p.alarm = 0
	if q.pollers.Front() == p.place {
		p.alarm = q.nextDue()
		if p.alarm != 0 {
			return min(p.alarm, deadline)
		}
	}
	return deadline
}

// quit removes p from the pollers and passes its signal on.
func (q *queue) quit(p *poller) {
	if p.place != nil {
		q.pollers.Remove(p.place)
		p.place = nil
	}
	q.wake()
}
