package sqstest

import (
	"container/heap"
	"container/list"
	"crypto/rand"
	"time"
)

const (
	maxMessageSize       = 1 << 20 // bytes, attributes included; also of a whole batch
	maxVisibilitySeconds = 43200
	maxVisibility        = maxVisibilitySeconds * time.Second
	maxInFlight          = 120_000
)

// queue is the state of one queue, guarded by Server.mu. It has no timers: every operation first
// calls advance, which applies the changes that have become due. Each message has one state (ready,
// delayed, in flight) and one place in the heap due, so that no operation searches the backlog.
type queue struct {
	name     string
	nonce    [8]byte // invalidates the receipt handles of an earlier queue of this name
	settings settings
	tags     map[string]string
	created  instant
	modified instant
	purged   instant
	deleted  bool

	messages map[uuid]*message
	sequence uint64 // of the last message added
	due      dueHeap
	ready    messageList // standard queues
	fifo     *fifo       // FIFO queues; nil otherwise
	visible  int
	flying   int
	flights  map[string]int // messages in flight by group, of a standard queue
	waiting  int            // delayed

	pollers  list.List      // of *poller, the longest waiting first
	external func() instant // next time at which a move task may add messages; 0: never
}

func newQueue(name string, fifo bool, st settings, at instant, external func() instant) *queue {
	q := &queue{name: name, settings: st, created: at, modified: at, messages: map[uuid]*message{}, sequence: 1 << 62, external: external}
	rand.Read(q.nonce[:])
	if fifo {
		q.fifo = newFIFO(st.groupDedup)
	}
	return q
}

// put adds a message that becomes visible after delay.
func (q *queue) put(m *message, at instant, delay time.Duration) {
	q.messages[m.key] = m
	m.index = -1
	q.sequence += 256
	m.sequence = q.sequence
	if delay > 0 {
		q.enter(m, delayed, at.add(delay))
	} else {
		q.enter(m, ready, at)
	}
}

// enter gives a state to m, which has none.
func (q *queue) enter(m *message, s state, visible instant) {
	m.state, m.visible = s, visible
	switch s {
	case delayed:
		q.waiting++
	case ready:
		q.visible++
		if q.fifo == nil {
			q.ready.pushBack(m)
		}
	case inFlight:
		q.fly(m, 1)
	}
	if q.fifo != nil {
		q.fifo.enter(m)
	}
	q.schedule(m)
}

// leave removes m from its state. The caller must call enter or drop m.
func (q *queue) leave(m *message) {
	switch m.state {
	case delayed:
		q.waiting--
	case ready:
		q.visible--
		if q.fifo == nil {
			q.ready.remove(m)
		}
	case inFlight:
		q.fly(m, -1)
	}
	if q.fifo != nil {
		q.fifo.leave(m)
	}
}

// schedule computes m.due and updates the heap.
func (q *queue) schedule(m *message) {
	m.due = m.sent.add(q.settings.retention)
	if m.state != ready {
		m.due = min(m.due, m.visible)
	}
	if m.index < 0 {
		heap.Push(&q.due, m)
	} else {
		heap.Fix(&q.due, m.index)
	}
}

// remove deletes m from the queue.
func (q *queue) remove(m *message) {
	q.leave(m)
	heap.Remove(&q.due, m.index)
	m.index = -1
	delete(q.messages, m.key)
	if len(q.messages) == 0 && cap(q.due) > 1024 {
		// Maps and slices do not shrink.
		q.messages, q.due = map[uuid]*message{}, nil
	}
}

// advance drops messages whose retention period has ended, and makes messages visible whose delay
// or visibility timeout has ended.
func (q *queue) advance(at instant) {
	for len(q.due) > 0 && q.due[0].due <= at {
		m := q.due[0]
		switch {
		case m.sent.add(q.settings.retention) <= at:
			q.remove(m)
		default:
			q.leave(m)
			q.enter(m, ready, m.visible)
		}
	}
}

// nextDue returns the next time at which the queue changes without a request; 0: never.
func (q *queue) nextDue() instant {
	next := q.external()
	if len(q.due) > 0 && (next == 0 || q.due[0].due < next) {
		next = q.due[0].due
	}
	return next
}

// available reports whether take would find a message.
func (q *queue) available() bool {
	if q.fifo != nil {
		return q.fifo.open.Len() > 0
	}
	return q.ready.head != nil
}

// take receives up to n messages. A message that has reached maxReceiveCount is passed to dead, and
// is received only if dead returns false.
func (q *queue) take(at instant, n int, visibility time.Duration, dead func(*message) bool) []*message {
	n = min(n, maxInFlight-q.flying)
	var out []*message
	receive := func(m *message) {
		if p := q.settings.redrive; p != nil && m.receivesHere >= p.maxReceive && dead(m) {
			return
		}
		q.leave(m)
		m.receives++
		m.receivesHere++
		m.delivery++
		m.received, m.changed = at, false
		if m.firstReceived == 0 {
			m.firstReceived = at
		}
		q.enter(m, inFlight, at.add(visibility))
		out = append(out, m)
	}
	if q.fifo != nil && n > 0 {
		q.fifo.each(func(m *message) bool {
			receive(m)
			return len(out) < n
		})
		return out
	}
	for len(out) < n {
		m := q.fairest()
		if m == nil {
			break
		}
		receive(m)
	}
	return out
}

// hide changes the visibility timeout of a message in flight. With 0 it becomes visible at once.
func (q *queue) hide(m *message, at instant, visibility time.Duration) {
	m.changed = true
	q.leave(m)
	if visibility == 0 {
		q.enter(m, ready, at)
	} else {
		q.enter(m, inFlight, at.add(visibility))
	}
}

// unreceive reverts a delivery whose answer could not be sent.
func (q *queue) unreceive(m *message, at instant) {
	if q.messages[m.key] != m || m.state != inFlight {
		return
	}
	m.receives--
	m.receivesHere--
	if m.receives == 0 {
		m.firstReceived = 0
	}
	q.hide(m, at, 0)
}

// reconfigure replaces the settings and applies them to the stored messages.
func (q *queue) reconfigure(st settings, at instant) {
	delayChange := st.delay - q.settings.delay
	q.settings, q.modified = st, at
	for _, m := range q.due {
		if q.fifo != nil && m.state == delayed {
			m.visible = m.visible.add(delayChange) // FIFO queues apply a new delay to messages already there
		}
		m.due = m.sent.add(st.retention)
		if m.state != ready {
			m.due = min(m.due, m.visible)
		}
	}
	heap.Init(&q.due)
}

// clear drops all messages.
func (q *queue) clear() {
	q.messages, q.due = map[uuid]*message{}, nil
	q.ready, q.visible, q.flying, q.waiting, q.flights = messageList{}, 0, 0, 0, nil
	if q.fifo != nil {
		q.fifo.clear()
	}
}
