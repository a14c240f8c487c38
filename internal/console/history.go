package console

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sqsonce/sqsonce/dedupe"
)

// Bounds of what a [History] keeps, however many messages go by. Buckets and
// rings come to less than a mebibyte. The maps follow the messages that are
// here: some hundred kibibytes for a hundred slots, and at most about 8 MiB.
const (
	bucketTime   = 5 * time.Second
	bucketCount  = 180 // 15 minutes
	maxOutcomes  = 200
	maxEvents    = 1024
	maxFailures  = 64
	maxAloft     = 8192 // messages whose name is kept while they are here
	maxSame      = 16   // deliveries of one of them at once
	maxSaid      = 16   // verdicts on one name
	maxWatches   = 8
	maxErrorKept = 400 // bytes
	maxIDShown   = 100 // bytes; SQS's have 36
	// maxNameKept keeps a name whole, since its story is found by it. What is
	// longer than a name can be stays too long when it is cut, so that it does
	// not become the name of another story.
	maxNameKept = dedupe.MaxNameBytes + len("…")
)

// The counters of a bucket.
const (
	countReceived = iota
	countHandled  // runs that ended as completed
	countFailed   // tries that failed
	countRecorded // duplicates answered from the record
	countCached   // duplicates answered from memory
	countJoined   // duplicates answered by the attempt they joined
	countDeferred // duplicates told to come again
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
// [History.DedupeHooks], [History.Keys] and [History.CountCalls]. It is safe
// for concurrent use, and starts no goroutine.
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
	keys     map[string]*keyed // by message id: what was keyed and has not ended
	notes    map[string]*notes // by name: of these, and of attempts at work here
	aloft    int
	watches  map[*watch]struct{}
}

// keyed is a message whose name is known. SQS may have delivered it twice, and
// both deliveries be here.
type keyed struct {
	name       string
	of         *notes    // of its name
	deliveries []uint64  // hashes of their receipts
	one        [1]uint64 // room for them: mostly there is one
}

// notes is what is known of a name: who holds it, and what the guard said about
// it and the pool has not told yet.
type notes struct {
	name     string
	messages int  // keyed messages of that name
	held     hold // by an attempt at work here; zero: by none
	said     []verdict
	one      [1]verdict // room for them: mostly there is one
}

// verdict is what the guard said about one run, until the pool tells which
// message it was.
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
	return &History{
		lease: lease, since: time.Now(), seed: maphash.MakeSeed(),
		outcomes: newRing[Outcome](maxOutcomes), events: newRing[event](maxEvents),
		failures: make(map[string]*Failure),
		keys:     make(map[string]*keyed), notes: make(map[string]*notes),
		watches: make(map[*watch]struct{}),
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

// keyed remembers the name of a message until its last delivery here has ended.
func (h *History) keyed(id, receipt, name string) {
	delivery := maphash.String(h.seed, receipt)
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.keys[id]
	if k == nil {
		n := h.notes[name]
		if len(h.keys) >= maxAloft || n == nil && len(h.notes) >= maxAloft {
			return
		}
		// In one piece, and of its own: what is handed in may be part of something larger.
		both := id + name
		piece := &struct {
			keyed
			notes
		}{}
		if n == nil {
			n = h.noted(&piece.notes, both[len(id):])
		}
		n.messages++
		k = &piece.keyed
		k.name, k.of, k.deliveries = n.name, n, k.one[:0]
		h.keys[both[:len(id)]] = k
	}
	if !slices.Contains(k.deliveries, delivery) && len(k.deliveries) < maxSame {
		k.deliveries = append(k.deliveries, delivery)
	}
}

// noted makes n the notes of a name. The caller holds mu.
func (h *History) noted(n *notes, name string) *notes {
	n.name, n.said = name, n.one[:0]
	h.notes[name] = n
	return n
}

// drop forgets notes that are about nothing that is here. The caller holds mu.
func (h *History) drop(n *notes) {
	if n.messages == 0 && n.held == (hold{}) {
		delete(h.notes, n.name)
	}
}

// nameOf returns the name of a message that was keyed and has not ended. The
// caller holds mu.
func (h *History) nameOf(id string) (name string, known bool) {
	if k := h.keys[id]; k != nil {
		return k.name, true
	}
	return "", false
}

// claimed tells that an attempt holds the name from now on.
func (h *History) claimed(name string, attempt int, fence int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	n := h.notes[name]
	if n == nil && len(h.notes) < maxAloft {
		n = h.noted(&notes{}, strings.Clone(name))
	}
	if n != nil {
		n.held = hold{attempt, fence, now.Add(h.lease)}
	}
	h.note(name, Event{Kind: "claimed", Attempt: attempt, Fence: fence}, now)
	h.tell(name, func(w *watch) { w.running++ })
}

// renewed tells that the lease of a name was extended.
func (h *History) renewed(name string, fence int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if held, ok := h.heldBy(name); ok && held.fence == fence {
		h.notes[name].held.until = time.Now().Add(h.lease)
	}
}

// heldBy returns the attempt at work here that holds a name. The caller holds mu.
func (h *History) heldBy(name string) (held hold, ok bool) {
	n := h.notes[name]
	if n == nil || n.held == (hold{}) {
		return hold{}, false
	}
	return n.held, true
}

// happened notes something that is neither the beginning nor the end of an attempt.
func (h *History) happened(name, kind, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(name, Event{Kind: kind, Detail: clip(detail, maxErrorKept)}, time.Now())
}

// settled tells how an attempt ended.
func (h *History) settled(name string, attempt int, fence int64, outcome string, took time.Duration, err error) {
	detail := ""
	if err != nil {
		detail = clip(err.Error(), maxErrorKept)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if held, ok := h.heldBy(name); ok && held.fence == fence { // else a later attempt has it
		n := h.notes[name]
		n.held = hold{}
		h.drop(n)
	}
	b := h.bucketAt(now)
	b.handle.add(took)
	if outcome == "completed" {
		b.counts[countHandled]++
	}
	h.note(name, Event{Kind: outcome, Attempt: attempt, Fence: fence, TookMS: millis(took), Detail: detail}, now)
	h.expect(name, verdict{outcome, attempt, fence, took})
	h.tell(name, func(w *watch) {
		w.running--
		if outcome == "completed" {
			w.handled++
		} else {
			w.failed++
		}
	})
}

// suppressed tells that a duplicate did not run. kind is recorded, cached,
// joined or deferred.
func (h *History) suppressed(name, kind string) {
	counter := map[string]int{"cached": countCached, "joined": countJoined, "deferred": countDeferred}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	which, ok := counter[kind]
	if !ok {
		which = countRecorded
	}
	h.bucketAt(now).counts[which]++
	h.note(name, Event{Kind: kind}, now)
	h.expect(name, verdict{outcome: kind})
	h.tell(name, func(w *watch) {
		if kind == "deferred" {
			w.deferred++
		} else {
			w.suppressed++
		}
	})
}

// refused tells that nothing ran, and why.
func (h *History) refused(name, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(name, Event{Kind: "refused", Detail: reason}, time.Now())
	h.expect(name, verdict{outcome: reason})
}

// handled tells what is done with a message after a run of its handler.
func (h *History) handled(id, action, reason string, receive int, sentAt time.Time, took time.Duration, failure bool, err error) {
	text := ""
	if err != nil {
		text = clip(err.Error(), maxErrorKept)
	}
	ends := action == actionDelete || action == actionDeadLetter
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	name, said := "", verdict{outcome: action, took: took}
	k := h.keys[id]
	if k != nil {
		name, said = k.name, k.of.next(said)
	}
	b := h.bucketAt(now)
	b.dwell.add(now.Add(-took).Sub(sentAt))
	if failure {
		b.counts[countFailed]++
		h.blame(clip(name, maxNameKept), id, text, receive, now)
	}
	if ends {
		b.counts[countEnded]++
		h.tell(name, func(w *watch) { w.ended++ })
	}
	h.seq++
	h.outcomes.put(Outcome{
		Seq: h.seq, At: now.UnixMilli(), Name: clip(name, maxNameKept), ID: clip(id, maxIDShown), Outcome: said.outcome, Action: action,
		Attempt: said.attempt, Fence: said.fence, Receive: receive, TookMS: millis(took), Error: text,
	})
	if action == actionDeadLetter && k != nil {
		h.note(name, Event{Kind: "dead-lettered", Detail: clip(reason, maxErrorKept)}, now)
		h.tell(name, func(w *watch) { w.deadLettered++ })
	}
}

// ended tells that a delivery is not in this worker any more. With the last one
// of its name goes what the guard said of it: who comes next has nothing to do
// with that.
func (h *History) ended(id, receipt string) {
	delivery := maphash.String(h.seed, receipt)
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucketAt(time.Now())
	h.aloft = max(0, h.aloft-1)
	b.left = h.aloft
	k := h.keys[id]
	if k == nil {
		return
	}
	k.deliveries = slices.DeleteFunc(k.deliveries, func(d uint64) bool { return d == delivery })
	if len(k.deliveries) > 0 {
		return
	}
	delete(h.keys, id)
	if k.of.messages--; k.of.messages == 0 {
		k.of.said = k.of.said[:0]
	}
	h.drop(k.of)
}

// note appends to the trail of a name. The caller holds mu.
func (h *History) note(name string, e Event, now time.Time) {
	h.seq++
	e.Seq, e.At = h.seq, now.UnixMilli()
	h.events.put(event{maphash.String(h.seed, name), e})
}

// expect keeps what the guard said until the pool tells of the message, if one
// of that name is here. The caller holds mu.
func (h *History) expect(name string, v verdict) {
	if n := h.notes[name]; n != nil && n.messages > 0 && len(n.said) < maxSaid {
		n.said = append(n.said, v)
	}
}

// next takes the oldest verdict, or returns instead. The caller holds the
// history's mu.
func (n *notes) next(instead verdict) verdict {
	if len(n.said) == 0 {
		return instead
	}
	oldest := n.said[0]
	n.said = slices.Delete(n.said, 0, 1)
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
