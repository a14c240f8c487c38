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

// Bounds of a [History]. Buckets and rings take less than 1 MiB. The verdicts of the messages in
// the worker take some hundred KiB for a hundred slots, and at most about 8 MiB.
const (
	bucketTime   = 5 * time.Second
	bucketCount  = 180 // 15 minutes
	maxOutcomes  = 200
	maxEvents    = 1024
	maxFailures  = 64
	maxMessages  = 8192 // messages with stored verdicts
	maxVerdicts  = 16   // per message
	maxWatches   = 8
	maxErrorKept = 400 // bytes
	maxIDShown   = 100 // bytes; ids of SQS have 36
	// maxNameKept is the number of bytes kept of a name. It is larger than every valid name, so that a
	// shortened text is never a valid name of another story.
	maxNameKept = protocol.MaxNameBytes + len("…")
)

// The counters of a bucket.
const (
	countReceived = iota
	countHandled  // runs that completed
	countFailed   // runs that failed
	countRecorded // duplicates answered from the record
	countCached   // duplicates answered from the cache
	countJoined   // duplicates answered by the attempt that they joined
	countDeferred // duplicates deferred
	countEnded    // messages deleted or dead-lettered
	countCalls    // calls to AWS
	counters
)

// bucket holds the counts of one interval of bucketTime.
type bucket struct {
	index  int64 // number of the interval since 1970; other counts are stale
	counts [counters]uint32
	handle histogram // runs of the handler
	dwell  histogram // time from sending to the handler

	inFlight int          // most messages in the worker at once
	left     int          // messages in the worker at the end
	looked   bool         // a page was open, so the gauges are known
	gauges   gaugeReading // the latest values
}

// gaugeReading holds values that are known only while a page is open; -1 means unknown.
type gaugeReading struct {
	oldest                       time.Duration
	visible, hidden, delayed, dl int64
}

// History holds the worker's last 15 minutes, and its latest outcomes, failures and events by name.
// Feed it through [History.ConsumerHooks], [History.DedupeHooks] and [History.CountCalls]. It is
// safe for concurrent use, and starts no goroutine.
type History struct {
	lease time.Duration
	since time.Time // time of its creation
	seed  maphash.Seed

	mu       sync.Mutex // not held across calls to other packages
	buckets  [bucketCount]bucket
	seq      int64 // sequence number of outcomes and events
	outcomes ring[Outcome]
	events   ring[event]
	failures map[string]*Failure
	guarded  *simplelru.LRU[string, *guarded] // guarded by mu; by message id: messages that have not ended
	inFlight int
	watches  map[*watch]struct{}
}

// guarded holds the guard's verdicts on a message in the worker. SQS may have delivered it twice,
// and both deliveries may be in the worker.
type guarded struct {
	name     string
	attempt  hold // attempt under way; zero: none
	verdicts []verdict
	one      [1]verdict // space for the usual single verdict
}

// verdict is the guard's verdict on one run of a message's handler, before the pool's decision.
type verdict struct {
	outcome string
	attempt int
	fence   int64
	took    time.Duration
}

// hold is an attempt under way in this process.
type hold struct {
	attempt int
	fence   int64
	until   time.Time // end of its lease
}

// event is an event of a name in this worker.
type event struct {
	hash uint64 // hash of the whole name
	Event
}

// NewHistory returns an empty history. lease is the duration of a claim or renewal, for the
// countdowns.
func NewHistory(lease time.Duration) *History {
	messages, err := simplelru.NewLRU[string, *guarded](maxMessages, nil)
	if err != nil { // only for a size that is not positive
		panic(err)
	}
	return &History{
		lease: lease, since: time.Now(), seed: maphash.MakeSeed(),
		outcomes: newRing[Outcome](maxOutcomes), events: newRing[event](maxEvents),
		failures: make(map[string]*Failure), guarded: messages, watches: make(map[*watch]struct{}),
	}
}

// Outcome is the outcome of one run of the handler.
type Outcome struct {
	Seq     int64   `json:"seq"`
	At      int64   `json:"at"` // epoch ms
	Name    string  `json:"name"`
	ID      string  `json:"id"`      // message id
	Outcome string  `json:"outcome"` // verdict of the guard: completed, retrying, rejected, recorded, cached, joined, deferred, ...
	Action  string  `json:"action"`  // treatment of the message: delete, release, ...
	Attempt int     `json:"attempt,omitempty"`
	Fence   int64   `json:"fence,omitempty,string"`
	Receive int     `json:"receive"`
	TookMS  float64 `json:"took_ms"`
	Error   string  `json:"error,omitempty"`
}

// Event is an event of a name in this worker.
type Event struct {
	Seq     int64   `json:"seq"`
	At      int64   `json:"at"`   // epoch ms
	Kind    string  `json:"kind"` // claimed, took over, completed, retrying, recorded, deferred, ...
	Attempt int     `json:"attempt,omitempty"`
	Fence   int64   `json:"fence,omitempty,string"`
	TookMS  float64 `json:"took_ms,omitempty"`
	Detail  string  `json:"detail,omitempty"`
}

// bucketAt returns the bucket of now, and empties it if it holds an older interval. The caller
// holds mu.
func (h *History) bucketAt(now time.Time) *bucket {
	index := now.UnixNano() / int64(bucketTime)
	b := &h.buckets[index%bucketCount]
	if b.index != index {
		*b = bucket{index: index, inFlight: h.inFlight, left: h.inFlight}
	}
	return b
}

// received counts an answered receive of n messages.
func (h *History) received(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucketAt(time.Now())
	b.counts[countReceived] += uint32(n)
	h.inFlight += n
	b.inFlight, b.left = max(b.inFlight, h.inFlight), h.inFlight
}

// called counts a call to AWS.
func (h *History) called() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bucketAt(time.Now()).counts[countCalls]++
}

// of returns the entry of an attempt's message, and creates it if needed; nil without an id. The
// caller holds mu.
func (h *History) of(a dedupe.Attempt) *guarded {
	if a.MessageID == "" {
		return nil
	}
	if g, ok := h.guarded.Get(a.MessageID); ok {
		return g
	}
	// Clone the texts, because the name may share memory with a body.
	g := &guarded{name: strings.Clone(a.Name)}
	g.verdicts = g.one[:0]
	h.guarded.Add(strings.Clone(a.MessageID), g)
	return g
}

// judged stores a verdict until the pool's decision. The caller holds mu.
func (h *History) judged(a dedupe.Attempt, v verdict) {
	if g := h.of(a); g != nil && len(g.verdicts) < maxVerdicts {
		g.verdicts = append(g.verdicts, v)
	}
}

// claimed counts an attempt that now holds its name.
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

// renewed extends an attempt's lease.
func (h *History) renewed(a dedupe.Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g, ok := h.guarded.Get(a.MessageID); ok && g.attempt.fence == int64(a.Fence) {
		g.attempt.until = time.Now().Add(h.lease)
	}
}

// happened records an event that is neither the start nor the end of an attempt.
func (h *History) happened(name, kind, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(name, Event{Kind: kind, Detail: clip(detail, maxErrorKept)}, time.Now())
}

// settled records the end of an attempt.
func (h *History) settled(a dedupe.Attempt, outcome string, took time.Duration, err error) {
	detail := ""
	if err != nil {
		detail = clip(err.Error(), maxErrorKept)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if g := h.of(a); g != nil && g.attempt.fence == int64(a.Fence) { // otherwise it is another delivery's attempt
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

// suppressed records a duplicate that did not run. kind is recorded, cached, joined or deferred.
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

// refused records a message that did not run, and the reason.
func (h *History) refused(a dedupe.Attempt, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(a.Name, Event{Kind: "refused", Detail: reason}, time.Now())
	h.judged(a, verdict{outcome: reason})
}

// handled records the pool's decision about a message after a run of its handler. name is for a
// message without a verdict of the guard.
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
		of = name(m) // not under mu, because it reads the body
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

// ended records that a delivery has left this worker. handled has taken its verdict before; any
// left belongs to another delivery.
func (h *History) ended(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight = max(0, h.inFlight-1)
	h.bucketAt(time.Now()).left = h.inFlight
	if g, ok := h.guarded.Peek(id); ok && len(g.verdicts) == 0 && g.attempt == (hold{}) {
		h.guarded.Remove(id)
	}
}

// note appends to the events of a name. The caller holds mu.
func (h *History) note(name string, e Event, now time.Time) {
	h.seq++
	e.Seq, e.At = h.seq, now.UnixMilli()
	h.events.put(event{maphash.String(h.seed, name), e})
}

// next removes and returns the oldest verdict on a message, or returns instead. There are several
// only while several deliveries of the message are in the worker. The caller holds the history's
// mu.
func (g *guarded) next(instead verdict) verdict {
	if len(g.verdicts) == 0 {
		return instead
	}
	oldest := g.verdicts[0]
	g.verdicts = slices.Delete(g.verdicts, 0, 1)
	return oldest
}

// trail returns the last events of a name, at most limit, oldest first.
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

// clip returns s as valid UTF-8 of at most n bytes, including an ellipsis. The result does not
// share memory with s.
func clip(s string, n int) string {
	long := len(s) > n
	if long {
		s = cut(s, n)
	}
	s = strings.ToValidUTF8(s, "\uFFFD") // each bad byte may have become three bytes
	if !long && len(s) <= n {
		return strings.Clone(s)
	}
	if most := n - len("…"); len(s) > most {
		s = cut(s, most)
	}
	return s + "…"
}

// cut shortens s to at most n bytes, without splitting a character.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// ring keeps the newest values. The zero value keeps none; use newRing.
type ring[T any] struct {
	values []T
	next   int // index of the next value, if values is full
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

// newest returns a copy of up to n values, newest first.
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

// each calls f with every value, oldest first, until f returns false.
func (r *ring[T]) each(f func(*T) bool) {
	for i := range r.values {
		if !f(&r.values[(r.next+i)%len(r.values)]) {
			return
		}
	}
}
