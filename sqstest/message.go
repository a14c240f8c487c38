package sqstest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

// instant is a point in time in nanoseconds since 1970. It has a third of the size of a time.Time,
// which matters for a backlog of millions of messages.
type instant int64

func now() instant { return instant(time.Now().UnixNano()) }

func (t instant) add(d time.Duration) instant { return t + instant(d) }
func (t instant) until(u instant) time.Duration {
	return time.Duration(u - t)
}
func (t instant) millis() int64  { return int64(t) / int64(time.Millisecond) }
func (t instant) seconds() int64 { return int64(t) / int64(time.Second) }

type state uint8

const (
	delayed  state = iota // its delay has not ended
	ready                 // may be received; on a FIFO queue, unless an earlier message is in flight
	inFlight              // received, invisible
)

// uuid identifies messages; version 4.
type uuid [16]byte

func newUUID() uuid {
	var id uuid
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (id uuid) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// message is one copy of a message in one queue.
type message struct {
	key  uuid // of this copy; differs from id only in copies made by Fault.Duplicate
	id   uuid
	body string

	attributes map[string]attribute
	group      string
	dedup      string
	trace      string
	sequence   uint64 // position in the order of the queue
	source     string // queue from which this message was dead-lettered

	sent          instant
	firstReceived instant // 0: never
	received      instant // last time
	visible       instant // end of the delay or of the time in flight
	receives      int     // in all queues
	receivesHere  int     // in this queue; compared with maxReceiveCount
	delivery      uint64  // part of the receipt handle; FIFO queues refuse the handle of an older delivery
	state         state
	changed       bool // visibility was changed since the last receive

	due        instant // end of the delay, of the time in flight, or of the retention period
	index      int     // in the heap of due messages
	prev, next *message
}

// messageList is an intrusive doubly linked list.
type messageList struct {
	head, tail *message
}

func (l *messageList) pushBack(m *message) { l.insertBefore(m, nil) }

// insertBefore puts m in front of at, or at the end if at is nil.
func (l *messageList) insertBefore(m, at *message) {
	m.next = at
	if at == nil {
		m.prev, l.tail = l.tail, m
	} else {
		m.prev, at.prev = at.prev, m
	}
	if m.prev == nil {
		l.head = m
	} else {
		m.prev.next = m
	}
}

// insertInOrder inserts m by its sequence. It searches from the head, because a message that
// becomes visible again is one of the oldest.
func (l *messageList) insertInOrder(m *message) {
	var at *message
	if l.tail != nil && l.tail.sequence > m.sequence {
		at = l.head
		for at.sequence < m.sequence {
			at = at.next
		}
	}
	l.insertBefore(m, at)
}

func (l *messageList) remove(m *message) {
	if m.prev == nil {
		l.head = m.next
	} else {
		m.prev.next = m.next
	}
	if m.next == nil {
		l.tail = m.prev
	} else {
		m.next.prev = m.prev
	}
	m.prev, m.next = nil, nil
}

// dueHeap is a heap of messages by due, for container/heap.
type dueHeap []*message

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].due != h[j].due {
		return h[i].due < h[j].due
	}
	return h[i].sequence < h[j].sequence
}
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *dueHeap) Push(x any) {
	m := x.(*message)
	m.index = len(*h)
	*h = append(*h, m)
}
func (h *dueHeap) Pop() any {
	old := *h
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return m
}

// A receipt handle consists of the queue's nonce, the key of the message copy, the delivery and a
// checksum, so that lookups need no search and old or damaged handles are recognised.
const handleSize = 8 + 16 + 8 + 4

func encodeHandle(queue [8]byte, key uuid, delivery uint64) string {
	buf := make([]byte, 0, handleSize)
	buf = append(buf, queue[:]...)
	buf = append(buf, key[:]...)
	buf = binary.BigEndian.AppendUint64(buf, delivery)
	buf = binary.BigEndian.AppendUint32(buf, crc32.ChecksumIEEE(buf))
	return base64.StdEncoding.EncodeToString(buf)
}

func decodeHandle(queue [8]byte, handle string) (key uuid, delivery uint64, ok bool) {
	buf, err := base64.StdEncoding.DecodeString(handle)
	if err != nil || len(buf) != handleSize {
		return uuid{}, 0, false
	}
	if crc32.ChecksumIEEE(buf[:handleSize-4]) != binary.BigEndian.Uint32(buf[handleSize-4:]) || [8]byte(buf[:8]) != queue {
		return uuid{}, 0, false
	}
	return uuid(buf[8:24]), binary.BigEndian.Uint64(buf[24:32]), true
}
