package sqstest

import (
	"container/list"
	"fmt"
	"math"
	"time"
)

// memory is the time for which FIFO queues remember deduplication ids and receive attempt ids,
// counted from the first use.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
const memory = 5 * time.Minute

// fifo is the state that a FIFO queue has and a standard queue lacks.
type fifo struct {
	groups   map[string]*group
	open     *list.List // of *group: the first message may be received
	sent     remembered[sentMessage]
	attempts remembered[[]attempted]

	// groupDedup limits deduplication to one message group. It keeps its value from the queue's
	// creation, because a later change of DeduplicationScope had no effect on SQS. Recorded:
	// test_fifo_change_to_high_throughput_after_creation and
	// test_fifo_change_to_regular_throughput_after_creation.
	groupDedup bool
}

// group holds the messages of one message group. A message in flight blocks later messages, not
// earlier ones: if three messages are in flight and the second is extended, SQS delivers the first
// again and neither of the others. Recorded by LocalStack (Apache-2.0,
// tests/aws/services/sqs/test_sqs.snapshot.json, 2025-11-19):
// test_fifo_group_visibility_extends_with_change_message_visibility.
type group struct {
	id      string
	waiting messageList   // delayed and ready, in the order of sending
	flying  messageList   // in flight, in the order of sending
	open    *list.Element // in fifo.open; nil when blocked or empty
}

// barrier returns the first sequence number that is blocked.
func (g *group) barrier() uint64 {
	if g.flying.head == nil {
		return math.MaxUint64
	}
	return g.flying.head.sequence
}

// place returns the list of m.
func (g *group) place(m *message) *messageList {
	if m.state == inFlight {
		return &g.flying
	}
	return &g.waiting
}

// sentMessage is the answer to a duplicate send.
type sentMessage struct {
	id       uuid
	sequence uint64
}

// attempted is one message of an earlier receive.
type attempted struct {
	key      uuid
	delivery uint64
}

func newFIFO(groupDedup bool) *fifo {
	f := &fifo{groupDedup: groupDedup}
	f.clear()
	return f
}

// clear drops all messages, receive attempts and deduplication ids. Recorded:
// test_purge_queue_clears_fifo_deduplication_cache.
func (f *fifo) clear() {
	f.groups, f.open = map[string]*group{}, list.New()
	f.attempts, f.sent = remembered[[]attempted]{}, remembered[sentMessage]{}
}

func (f *fifo) enter(m *message) {
	g := f.groups[m.group]
	if g == nil {
		g = &group{id: m.group}
		f.groups[m.group] = g
	}
	g.place(m).insertInOrder(m)
	f.settle(g)
}

func (f *fifo) leave(m *message) {
	g := f.groups[m.group]
	g.place(m).remove(m)
	f.settle(g)
}

// settle updates f.open after a change of g, and deletes an empty group.
func (f *fifo) settle(g *group) {
	head := g.waiting.head
	open := head != nil && head.state == ready && head.sequence < g.barrier()
	switch {
	case open && g.open == nil:
		g.open = f.open.PushBack(g)
	case !open && g.open != nil:
		f.open.Remove(g.open)
		g.open = nil
	}
	if head == nil && g.flying.head == nil {
		delete(f.groups, g.id)
		if len(f.groups) == 0 {
			f.groups = map[string]*group{} // frees the memory
		}
	}
}

// each calls visit with the messages that may be received, group by group, until visit returns
// false. visit must remove the message from g.waiting. A message that visit puts in flight does not
// block later ones, because one receive may return several messages of a group.
func (f *fifo) each(visit func(*message) bool) {
	for e := f.open.Front(); e != nil; {
		g, next := e.Value.(*group), e.Next()
		barrier := g.barrier()
		for m := g.waiting.head; m != nil && m.state == ready && m.sequence < barrier; m = g.waiting.head {
			if !visit(m) {
				return
			}
		}
		e = next
	}
}

func formatSequence(n uint64) string { return fmt.Sprintf("%020d", n) }

// remembered maps keys to values and drops a key after memory. The zero value is ready to use.
type remembered[V any] struct {
	values map[string]V
	order  []rememberedKey
}

type rememberedKey struct {
	key   string
	until instant
}

func (r *remembered[V]) get(key string, at instant) (V, bool) {
	r.expire(at)
	v, ok := r.values[key]
	return v, ok
}

// set stores a value. Replacing the value of a key does not extend its time. Call get first: it
// drops the expired keys.
func (r *remembered[V]) set(key string, v V, at instant) {
	if r.values == nil {
		r.values = map[string]V{}
	}
	if _, ok := r.values[key]; !ok {
		r.order = append(r.order, rememberedKey{key, at.add(memory)})
	}
	r.values[key] = v
}

func (r *remembered[V]) expire(at instant) {
	n := 0
	for n < len(r.order) && r.order[n].until <= at {
		delete(r.values, r.order[n].key)
		n++
	}
	switch {
	case n == len(r.order):
		r.values, r.order = nil, nil
	case n > 0:
		clear(r.order[:n]) // lets the strings be collected before append moves the slice
		r.order = r.order[n:]
	}
}
