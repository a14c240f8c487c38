package batch

import (
	"slices"
	"time"
)

// Bounds of the rule.
const (
	// The pace of partial batches is paceNum/paceDen of the fastest recent call. The additional
	// third lets the answer of a call of that duration arrive first, with the items that it sets
	// free.
	paceNum, paceDen = 4, 3
	// minPace keeps the jitter of a fast server from splitting batches.
	minPace = time.Millisecond
	// firstPace is the pace before the first answer, which may include a TLS handshake.
	firstPace = 50 * time.Millisecond
	// recent is the number of calls on which the pace is based.
	recent = 16
	// busyShare defines busy senders: the last call carried at least Max/busyShare items.
	busyShare = 3
)

// load holds the inputs for the decision whether a call is due.
type load struct {
	waiting  int           // waiting items
	full     bool          // they fill a call
	closing  bool          // no more will come
	joining  bool          // the first of them lets other items join it
	busy     bool          // the last call carried many items
	inFlight int           // calls in flight
	limit    int           // bound on calls in flight
	since    time.Duration // time since the last call began
	pace     time.Duration // interval between the beginnings of two calls, if the later one is partial
}

// due reports whether a call is sent now. If not, wait is the time until one becomes due by itself.
// Zero means that only another item or an answer can make one due.
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

// flight tracks the calls in flight and the durations of recent ones.
type flight struct {
	calls    int
	last     time.Time // beginning of the last call
	carried  int       // items of the last call
	took     [recent]time.Duration
	answered int // answered calls
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

// pace follows the fastest of the recent calls. If all calls take the same time, a partial batch
// waits for the answer of the call in flight. If the durations vary, it waits for a fraction of the
// usual one. Slow calls do not count, because waiting for them would cost more than a fuller batch
// saves.
func (f *flight) pace() time.Duration {
	if f.answered == 0 {
		return firstPace
	}
	return max(slices.Min(f.took[:min(f.answered, recent)])*paceNum/paceDen, minPace)
}

// load returns the inputs that flight knows. most is the number of items that a call can carry.
func (f *flight) load(now time.Time, most int) load {
	return load{
		busy: f.carried > 1 && f.carried*busyShare >= most, inFlight: f.calls,
		since: now.Sub(f.last), pace: f.pace(),
	}
}
