package batch

import (
	"slices"
	"time"
)

// Bounds of the rule.
const (
	// The pace of partial batches is paceNum/paceDen of the fastest recent call. The
	// third more lets the answer of a call that takes as long as all the others arrive
	// first, with the items that it sets free.
	paceNum, paceDen = 4, 3
	// minPace keeps the jitter of a server that answers at once from splitting batches.
	minPace = time.Millisecond
	// firstPace is the pace before the first answer, which may include a TLS handshake.
	firstPace = 50 * time.Millisecond
	// recent is how many calls the pace looks back at.
	recent = 16
	// busyShare: the senders are busy while the last call carried at least Max/busyShare
	// items.
	busyShare = 3
)

// load is what decides whether a call is due.
type load struct {
	waiting  int           // items
	full     bool          // they fill a call
	closing  bool          // no more will come
	joining  bool          // the first of them lets others join it
	busy     bool          // the last call carried many items
	inFlight int           // calls
	limit    int           // of calls in flight
	since    time.Duration // the last call began
	pace     time.Duration // between the beginnings of two calls, where the later is partial
}

// due reports whether a call goes now. If not, wait is the time after which one
// becomes due by itself; zero means that it takes another item or an answer.
func (l load) due() (now bool, wait time.Duration) {
	switch {
	case l.waiting == 0 || l.inFlight >= l.limit:
		return false, 0
	case l.full || l.closing:
		return true, 0
	case l.joining:
		return false, 0
	case l.inFlight == 0 && !l.busy || l.since >= l.pace:
		return true, 0
	default:
		return false, l.pace - l.since
	}
}

// flight keeps account of the calls in flight and of the durations of recent ones.
type flight struct {
	calls    int
	last     time.Time // when the last one began
	carried  int       // items of the last one
	took     [recent]time.Duration
	answered int // calls
}

func (f *flight) begin(now time.Time, items int) {
	f.calls++
	f.last, f.carried = now, items
}

func (f *flight) end(took time.Duration) {
	f.calls--
	f.took[f.answered%recent] = took
	f.answered++
}

// pace follows the fastest of the recent calls. Where all calls take the same, a
// partial batch waits for the answer of the call in flight. Where durations vary, it
// waits for a fraction of the usual one, and slow calls do not count: waiting for them
// would cost more than a fuller batch saves.
func (f *flight) pace() time.Duration {
	if f.answered == 0 {
		return firstPace
	}
	return max(slices.Min(f.took[:min(f.answered, recent)])*paceNum/paceDen, minPace)
}

// load returns the part of a load that the account knows. most is the number of items
// that a call can carry.
func (f *flight) load(now time.Time, most int) load {
	return load{
		busy: f.carried > 1 && f.carried*busyShare >= most, inFlight: f.calls,
		since: now.Sub(f.last), pace: f.pace(),
	}
}
