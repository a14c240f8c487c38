package sqstest

import "container/list"

// poller is a receive that waits for messages. The first in line also watches
// the time for all: it wakes up when the next message becomes due.
type poller struct {
	signal chan struct{} // holds one signal
	place  *list.Element // in queue.pollers; nil when called up
	alarm  instant       // when it wakes up by itself for the queue; 0 is never
}

// wake tells the first poller that there is something to take, or that
// something becomes due before it would look. Everything that may have
// changed either calls it. A poller that has been called up calls it again in
// its turn, so that no call is lost and the next one gets what it leaves.
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
	default: // a call that has not been looked at yet does for both
	}
}

// join puts p in line, at the front when it has stood there before, and
// returns when it has to look again: at the latest by deadline.
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

// quit takes p out of the line and passes on what it may have been called for.
func (q *queue) quit(p *poller) {
	if p.place != nil {
		q.pollers.Remove(p.place)
		p.place = nil
	}
	q.wake()
}
