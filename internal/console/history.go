package console

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Bounds of what a [History] keeps, however many messages go by. Buckets and
// rings come to less than a mebibyte. The verdicts follow the messages that are
// here: some hundred kibibytes for a hundred slots, and at most about 8 MiB.
const (
	bucketTime   = 5 * time.Second
	bucketCount  = 180 // 15 minutes
	maxOutcomes  = 200
	maxEvents    = 1024
	maxFailures  = 64
	maxMessages  = 8192 // messages of which the guard's verdict is kept
	maxVerdicts  = 16   // of one message
	maxWatches   = 8
	maxErrorKept = 400 // bytes
	maxIDShown   = 100 // bytes; SQS's have 36
	// maxNameKept keeps a name whole, since its story is found by it. What is
	// longer than a name can be stays too long when it is cut, so that it does
	// not become the name of another story.
	maxNameKept = protocol.MaxNameBytes + len("…")
)

// The counters of a bucket.
const (
	countReceived = iota
	countHandled  // runs that ended as completed
	countFailed   // tries that failed
	countRecorded // duplicates answered from the record
	countCached   // duplicates answered from memory
	countJoined   // duplicates answered by the attempt they joined
	countDeferred // duplicates deferred
	countEnded    // messages deleted or dead-lettered
	countCalls    // calls to AWS
	counters
)

// bucket is what happened in one stretch of bucketTime.
type bucket struct {
	index  int64 // its number since 1970; another one's counts are stale
	counts [counters]uint32
	handle histogram // runs of the handler
	dwell  histogram // from send to handler

	aloft  int          // most messages here at once
	left   int          // messages here at the end
	looked bool         // somebody looked, so the gauges are known
	gauges gaugeReading // last ones seen
}

// gaugeReading is what is known only while somebody looks; -1 is unknown.
type gaugeReading struct {
	oldest                       time.Duration
	visible, hidden, delayed, dl int64
}

// History is the worker's last quarter of an hour, and its last outcomes,
// failures and events by name. Feed it through [History.ConsumerHooks],
// [History.DedupeHooks] and [History.CountCalls]. It is safe for concurrent use,
// and starts no goroutine.
type History struct {
	lease time.Duration
	since time.Time // when it began
	seed  maphash.Seed

	mu       sync.Mutex // never held across a call to somebody else
	buckets  [bucketCount]bucket
	seq      int64 // of outcomes and events
	outcomes ring[Outcome]
	events   ring[event]
	failures map[string]*Failure
	guarded  *simplelru.LRU[string, *guarded] // by message id: messages that have not ended
	aloft    int
	watches  map[*watch]struct{}
}

// guarded is what the guard said about a message that is here. SQS may have
// delivered the message twice, and both deliveries may be here.
type guarded struct {
	name     string
	attempt  hold // at work; zero: none
	verdicts []verdict
	one      [1]verdict // room for them: mostly there is one
}

// verdict is what the guard said about one run of a message's handler. The pool
// has not yet said what it does with the message.
type verdict struct {
	outcome string
	attempt int
	fence   int64
	took    time.Duration
}

// hold is an attempt at work in this process.
type hold struct {
	attempt int
	fence   int64
	until   time.Time // when its lease ends at the latest
}

// event is something that happened to a name here.
type event struct {
	hash uint64 // of the whole name
	Event
}

// NewHistory returns an empty history. lease is how long a claim or renewal
// holds a name, from which the countdowns are reckoned.
func NewHistory(lease time.Duration) *History {
	messages, err := simplelru.NewLRU[string, *guarded](maxMessages, nil)
	if err != nil { // only of a size that is not positive
		panic(err)
	}
	return &History{
		lease: lease, since: time.Now(), seed: maphash.MakeSeed(),
		outcomes: newRing[Outcome](maxOutcomes), events: newRing[event](maxEvents),
		failures: make(map[string]*Failure), guarded: messages, watches: make(map[*watch]struct{}),
	}
}

// Outcome is what became of one run of the handler.
type Outcome struct {
	Seq     int64   `json:"seq"`
	At      int64   `json:"at"` // epoch ms
	Name    string  `json:"name"`
	ID      string  `json:"id"`      // message id
	Outcome string  `json:"outcome"` // what the guard said: completed, retrying, rejected, recorded, cached, joined, deferred, ...
	Action  string  `json:"action"`  // what becomes of the message: delete, release, ...
	Attempt int     `json:"attempt,omitempty"`
	Fence   int64   `json:"fence,omitempty,string"`
	Receive int     `json:"receive"`
	TookMS  float64 `json:"took_ms"`
	Error   string  `json:"error,omitempty"`
}

// Event is something that happened to a name in this worker.
type Event struct {
	Seq     int64   `json:"seq"`
	At      int64   `json:"at"`   // epoch ms
	Kind    string  `json:"kind"` // claimed, took over, completed, retrying, recorded, deferred, ...
	Attempt int     `json:"attempt,omitempty"`
	Fence   int64   `json:"fence,omitempty,string"`
	TookMS  float64 `json:"took_ms,omitempty"`
	Detail  string  `json:"detail,omitempty"`
}

// bucketAt returns the bucket of now, emptied if it was another's. The caller
// holds mu.
func (h *History) bucketAt(now time.Time) *bucket {
	index := now.UnixNano() / int64(bucketTime)
	b := &h.buckets[index%bucketCount]
	if b.index != index {
		*b = bucket{index: index, aloft: h.aloft, left: h.aloft}
	}
	return b
}

// received counts an answered receive of n messages.
func (h *History) received(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucketAt(time.Now())
	b.counts[countReceived] += uint32(n)
	h.aloft += n
	b.aloft, b.left = max(b.aloft, h.aloft), h.aloft
}

// called counts a call to AWS.
func (h *History) called() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bucketAt(time.Now()).counts[countCalls]++
}

// of returns what is known of a message, and begins to remember it; nil without
// an id. The caller holds mu.
func (h *History) of(a dedupe.Attempt) *guarded {
	if a.MessageID == "" {
		return nil
	}
	if g, ok := h.guarded.Get(a.MessageID); ok {
		return g
	}
	// Copies: the name may be part of a body.
	g := &guarded{name: strings.Clone(a.Name)}
	g.verdicts = g.one[:0]
	h.guarded.Add(strings.Clone(a.MessageID), g)
	return g
}

// judged keeps a verdict until the pool says what it does with the message. The
// caller holds mu.
func (h *History) judged(a dedupe.Attempt, v verdict) {
	if g := h.of(a); g != nil && len(g.verdicts) < maxVerdicts {
		g.verdicts = append(g.verdicts, v)
	}
}

// claimed counts an attempt that holds its name from now on.
func (h *History) claimed(a dedupe.Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if g := h.of(a); g != nil {
		g.attempt = hold{a.Number, int64(a.Fence), now.Add(h.lease)}
	}
	h.note(a.Name, Event{Kind: "claimed", Attempt: a.Number, Fence: int64(a.Fence)}, now)
	h.count(a.Name, func(w *watch) { w.running++ })
}

// renewed puts off the end of an attempt's lease.
func (h *History) renewed(a dedupe.Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g, ok := h.guarded.Get(a.MessageID); ok && g.attempt.fence == int64(a.Fence) {
		g.attempt.until = time.Now().Add(h.lease)
	}
}

// happened notes something that is neither the beginning nor the end of an attempt.
func (h *History) happened(name, kind, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(name, Event{Kind: kind, Detail: clip(detail, maxErrorKept)}, time.Now())
}

// settled records how an attempt ended.
func (h *History) settled(a dedupe.Attempt, outcome string, took time.Duration, err error) {
	detail := ""
	if err != nil {
		detail = clip(err.Error(), maxErrorKept)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if g := h.of(a); g != nil && g.attempt.fence == int64(a.Fence) { // else another delivery's attempt
		g.attempt = hold{}
	}
	b := h.bucketAt(now)
	b.handle.add(took)
	if outcome == "completed" {
		b.counts[countHandled]++
	}
	h.note(a.Name, Event{Kind: outcome, Attempt: a.Number, Fence: int64(a.Fence), TookMS: millis(took), Detail: detail}, now)
	h.judged(a, verdict{outcome, a.Number, int64(a.Fence), took})
	h.count(a.Name, func(w *watch) {
		w.running--
		if outcome == "completed" {
			w.handled++
		} else {
			w.failed++
		}
	})
}

// suppressed records that a duplicate did not run. kind is recorded, cached,
// joined or deferred.
func (h *History) suppressed(a dedupe.Attempt, kind string) {
	counter := map[string]int{"cached": countCached, "joined": countJoined, "deferred": countDeferred}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	which, ok := counter[kind]
	if !ok {
		which = countRecorded
	}
	h.bucketAt(now).counts[which]++
	h.note(a.Name, Event{Kind: kind}, now)
	h.judged(a, verdict{outcome: kind})
	h.count(a.Name, func(w *watch) {
		if kind == "deferred" {
			w.deferred++
		} else {
			w.suppressed++
		}
	})
}

// refused records that nothing ran, and why.
func (h *History) refused(a dedupe.Attempt, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(a.Name, Event{Kind: "refused", Detail: reason}, time.Now())
	h.judged(a, verdict{outcome: reason})
}

// handled records what the pool does with a message after a run of its handler.
// name is for a message that the guard has said nothing about.
func (h *History) handled(m consumer.Message, d consumer.Disposition, took time.Duration, name func(consumer.Message) string) {
	text := ""
	if d.Err != nil {
		text = clip(d.Err.Error(), maxErrorKept)
	}
	h.mu.Lock()
	g, known := h.guarded.Get(m.ID)
	h.mu.Unlock()
	v := verdict{outcome: d.Action.String(), took: took}
	var of string
	if known {
		of = g.name
	} else {
		of = name(m) // not under mu: it reads the body
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if known {
		v = g.next(v)
	}
	now := time.Now()
	b := h.bucketAt(now)
	b.dwell.add(now.Add(-took).Sub(m.SentAt))
	if d.Failure {
		b.counts[countFailed]++
		h.blame(clip(of, maxNameKept), m.ID, text, m.ReceiveCount, now)
	}
	if d.Action == consumer.Delete || d.Action == consumer.DeadLetter {
		b.counts[countEnded]++
		h.count(of, func(w *watch) { w.ended++ })
	}
	h.seq++
	h.outcomes.put(Outcome{
		Seq: h.seq, At: now.UnixMilli(), Name: clip(of, maxNameKept), ID: clip(m.ID, maxIDShown), Outcome: v.outcome, Action: d.Action.String(),
		Attempt: v.attempt, Fence: v.fence, Receive: m.ReceiveCount, TookMS: millis(took), Error: text,
	})
	if d.Action == consumer.DeadLetter && of != "" {
		h.note(of, Event{Kind: "dead-lettered", Detail: clip(d.Reason, maxErrorKept)}, now)
		h.count(of, func(w *watch) { w.deadLettered++ })
	}
}

// ended records that a delivery is not in this worker any more. Its verdict was
// taken by handled before; what is left belongs to another delivery.
func (h *History) ended(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.aloft = max(0, h.aloft-1)
	h.bucketAt(time.Now()).left = h.aloft
	if g, ok := h.guarded.Peek(id); ok && len(g.verdicts) == 0 && g.attempt == (hold{}) {
		h.guarded.Remove(id)
	}
}

// note appends to the trail of a name. The caller holds mu.
func (h *History) note(name string, e Event, now time.Time) {
	h.seq++
	e.Seq, e.At = h.seq, now.UnixMilli()
	h.events.put(event{maphash.String(h.seed, name), e})
}

// next takes the oldest verdict on a message, or returns instead. There is more
// than one only while several deliveries of the message are here. The caller
// holds the history's mu.
func (g *guarded) next(instead verdict) verdict {
	if len(g.verdicts) == 0 {
		return instead
	}
	oldest := g.verdicts[0]
	g.verdicts = slices.Delete(g.verdicts, 0, 1)
	return oldest
}

// trail returns what happened to name here, the oldest first, at most the last
// limit of it.
func (h *History) trail(name string, limit int) []Event {
	hash := maphash.String(h.seed, name)
	h.mu.Lock()
	defer h.mu.Unlock()
	found := []Event{}
	h.events.each(func(e *event) bool {
		if e.hash == hash {
			found = append(found, e.Event)
		}
		return true
	})
	return found[max(0, len(found)-limit):]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// clip returns s as valid text of at most n bytes, an ellipsis included. What
// it returns does not keep s alive.
func clip(s string, n int) string {
	long := len(s) > n
	if long {
		s = cut(s, n)
	}
	s = strings.ToValidUTF8(s, "\uFFFD") // each bad byte may have become three
	if !long && len(s) <= n {
		return strings.Clone(s)
	}
	if most := n - len("…"); len(s) > most {
		s = cut(s, most)
	}
	return s + "…"
}

// cut shortens s to at most n bytes without splitting a character.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// ring keeps the newest values that were put into it. The zero value keeps
// none; use newRing.
type ring[T any] struct {
	values []T
	next   int // where the next one goes, once values is full
}

func newRing[T any](size int) ring[T] { return ring[T]{values: make([]T, 0, size)} }

func (r *ring[T]) put(v T) {
	if len(r.values) < cap(r.values) {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % len(r.values)
}

// newest returns up to n values, the newest first, as a copy.
func (r *ring[T]) newest(n int) []T {
	out := make([]T, 0, min(n, len(r.values)))
	for i := range r.values {
		if len(out) == n {
			break
		}
		at := (r.next - 1 - i + 2*len(r.values)) % len(r.values)
		out = append(out, r.values[at])
	}
	return out
}

// each calls f with every value, the oldest first, until f returns false.
func (r *ring[T]) each(f func(*T) bool) {
	for i := range r.values {
		if !f(&r.values[(r.next+i)%len(r.values)]) {
			return
		}
	}
}
