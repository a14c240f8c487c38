package sqstest

import (
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newTestQueue(name string) *queue {
	fifo := name == "q.fifo"
	return newQueue(name, fifo, newSettings(fifo), 1, func() instant { return 0 })
}

func (q *queue) putTest(group string, at instant, delay time.Duration) *message {
	id := newUUID()
	m := &message{id: id, key: id, body: "x", group: group, sent: at}
	q.put(m, at, delay)
	return m
}

func TestQueueCases(t *testing.T) {
	t.Run("standard queue refuses to go over the limit in flight", testStandardQueueRefusesToGoOverTheLimitInFlight)
}

func testStandardQueueRefusesToGoOverTheLimitInFlight(t *testing.T) {
	s := New(Config{})
	s.queues["q"] = newTestQueue("q")
	s.queues["q.fifo"] = newTestQueue("q.fifo")
	at := now()
	for _, q := range s.queues {
		for i := range maxInFlight + 5 {
			q.putTest(strconv.Itoa(i), at, 0)
		}
		if n := len(q.take(at, maxInFlight-3, time.Hour, nil)); n != maxInFlight-3 {
			t.Fatalf("%s: took %d, want %d", q.name, n, maxInFlight-3)
		}
		in := receiveMessageInput{onQueue: onQueue{q.name}, MaxNumberOfMessages: new(10)}
		out, err := s.receiveMessage(t.Context(), in, Fault{})
		if err != nil || len(out.Messages) != 3 {
			t.Errorf("%s: up to the limit got %d, %v, want 3", q.name, len(out.Messages), err)
		}
		out, err = s.receiveMessage(t.Context(), in, Fault{})
		if e, _ := errors.AsType[*Error](err); len(out.Messages) != 0 || (q.fifo == nil) != (e != nil && e.Code == "OverLimit") {
			t.Errorf("%s: over the limit got %d, %v", q.name, len(out.Messages), err)
		}
	}
}

// After any sequence of operations every message has one state, the counters match the states, and
// a FIFO group delivers its messages in order.
func TestQueueKeepsItsBooks(t *testing.T) {
	for _, name := range []string{"q", "q.fifo"} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				q, at := newTestQueue(name), instant(time.Hour)
				var held []*message
				t.Repeat(map[string]func(*rapid.T){
					"put": func(t *rapid.T) {
						q.putTest(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "group"), at, 0)
					},
					"put delayed": func(t *rapid.T) {
						q.putTest(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "group"), at, 3*time.Second)
					},
					"take": func(t *rapid.T) {
						n, was := rapid.IntRange(1, 10).Draw(t, "n"), q.available()
						before := inFlightOf(q)
						got := q.take(at, n, seconds(rapid.IntRange(0, 5).Draw(t, "visibility")), nil)
						if was != (len(got) > 0) {
							t.Fatalf("available %v, took %d", was, len(got))
						}
						checkOrder(t, q, got, before)
						held = append(held, got...)
					},
					"delete": func(t *rapid.T) {
						if len(held) == 0 {
							return
						}
						if m := rapid.SampledFrom(held).Draw(t, "message"); q.messages[m.key] == m {
							q.remove(m)
						}
					},
					"hide": func(t *rapid.T) {
						if len(held) == 0 {
							return
						}
						m := rapid.SampledFrom(held).Draw(t, "message")
						if q.messages[m.key] == m && (q.fifo == nil || m.state == inFlight) {
							q.hide(m, at, seconds(rapid.IntRange(0, 5).Draw(t, "visibility")))
						}
					},
					"pass time": func(t *rapid.T) {
						at = at.add(seconds(rapid.IntRange(1, 4).Draw(t, "seconds")))
						q.advance(at)
					},
					"pass much time": func(*rapid.T) {
						at = at.add(q.settings.retention / 3)
						q.advance(at)
					},
					"": func(t *rapid.T) { checkBooks(t, q, at) },
				})
			})
		})
	}
}

// inFlightOf returns the lowest sequence number in flight of each group.
func inFlightOf(q *queue) map[string]uint64 {
	lowest := map[string]uint64{}
	for _, m := range q.messages {
		if have, ok := lowest[m.group]; m.state == inFlight && (!ok || m.sequence < have) {
			lowest[m.group] = m.sequence
		}
	}
	return lowest
}

// checkOrder checks a receive of a FIFO queue: each group is in order and without gaps, and no
// message was sent after a message of its group that was in flight before.
func checkOrder(t *rapid.T, q *queue, got []*message, before map[string]uint64) {
	if q.fifo == nil {
		return
	}
	last := map[string]uint64{}
	for _, m := range got {
		if m.sequence <= last[m.group] {
			t.Fatalf("group %s out of order", m.group)
		}
		if b, ok := before[m.group]; ok && m.sequence > b {
			t.Fatalf("group %s: a message behind one in flight was delivered", m.group)
		}
		last[m.group] = m.sequence
	}
	for _, m := range q.messages {
		if m.state != inFlight && m.sequence < last[m.group] {
			t.Fatalf("group %s: a message was passed over", m.group)
		}
	}
}

func checkBooks(t *rapid.T, q *queue, at instant) {
	var count [3]int
	for _, m := range q.messages {
		count[m.state]++
		if q.due[m.index] != m {
			t.Fatalf("message %s is not where it says in the heap", m.id)
		}
	}
	if want := [3]int{q.waiting, q.visible, q.flying}; count != want || len(q.messages) != len(q.due) {
		t.Fatalf("counted %v of %d in the heap, counters say %v", count, len(q.due), want)
	}
	listed := 0
	for m := q.ready.head; m != nil; m = m.next {
		listed++
	}
	if q.fifo == nil {
		if listed != q.visible {
			t.Fatalf("%d messages in the ready list, want %d", listed, q.visible)
		}
		return
	}
	open := 0
	for _, g := range q.fifo.groups {
		flying, barrier := 0, uint64(math.MaxUint64)
		for _, m := range q.messages {
			if m.group == g.id && m.state == inFlight {
				flying++
				barrier = min(barrier, m.sequence)
			}
		}
		for m := g.flying.head; m != nil; m = m.next {
			flying--
			if m.state != inFlight || m.next != nil && m.next.sequence < m.sequence {
				t.Fatalf("group %s: the messages in flight are out of order", g.id)
			}
		}
		if flying != 0 {
			t.Fatalf("group %s misses %d messages in flight", g.id, flying)
		}
		for m := g.waiting.head; m != nil; m = m.next {
			listed++
			if m.next != nil && m.next.sequence < m.sequence {
				t.Fatalf("group %s is out of order", g.id)
			}
		}
		head := g.waiting.head
		if isOpen := head != nil && head.state == ready && head.sequence < barrier; isOpen != (g.open != nil) {
			t.Fatalf("group %s: open %v, want %v", g.id, g.open != nil, isOpen)
		}
		if g.open != nil {
			open++
		}
	}
	if listed != q.visible+q.waiting || open != q.fifo.open.Len() {
		t.Fatalf("%d messages in groups, want %d; %d groups open, want %d", listed, q.visible+q.waiting, q.fifo.open.Len(), open)
	}
}

// BenchmarkDrain receives and deletes a backlog in batches of ten. The time per message must not
// depend on the length of the backlog.
func BenchmarkDrain(b *testing.B) {
	for _, name := range []string{"q", "q.fifo"} {
		for _, n := range []int{10_000, 1_000_000} {
			b.Run(name+"/"+strconv.Itoa(n), func(b *testing.B) {
				b.ReportAllocs()
				q, at := newTestQueue(name), instant(time.Hour)
				for i := 0; i < b.N; {
					b.StopTimer()
					for j := range n {
						q.putTest(strconv.Itoa(j%100), at, 0)
					}
					b.StartTimer()
					for len(q.messages) > 0 && i < b.N {
						for _, m := range q.take(at, 10, time.Minute, nil) {
							q.remove(m)
							i++
						}
						at = at.add(time.Microsecond)
					}
				}
			})
		}
	}
}
