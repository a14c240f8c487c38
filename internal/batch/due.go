package batch

import (
	"slices"
	"time"
)

// A call is slow once it takes slowFactor times the usual duration, and at least
// minSlow. The minimum keeps the jitter of fast calls from splitting batches.
const (
	slowFactor = 3
	minSlow    = 50 * time.Millisecond
)

// load is what decides whether a call is due.
type load struct {
	waiting  int           // items
	full     bool          // they fill a call
	inFlight int           // calls
	limit    int           // of calls in flight
	youngest time.Duration // age of the call in flight that began last
	slow     time.Duration // age at which a call is slow
}

// due reports whether a call goes now. If not, wait is the time after which one
// becomes due by itself; zero means that it takes another item or an answer.
func (l load) due() (now bool, wait time.Duration) {
	switch {
	case l.waiting == 0 || l.inFlight >= l.limit:
		return false, 0
	case l.full || l.inFlight == 0 || l.youngest >= l.slow:
		return true, 0
	default:
		return false, l.slow - l.youngest
	}
}

// flight keeps account of the calls in flight and of the usual duration of one.
type flight struct {
	began []time.Time   // of the calls in flight, oldest first
	usual time.Duration // running mean
}

// begin counts a call that begins now.
func (f *flight) begin(now time.Time) time.Time {
	f.began = append(f.began, now)
	return now
}

// end takes a call off the account. Its duration moves the mean by an eighth, and
// counts for at most the duration at which a call is slow: one call that hangs
// changes little, and a lasting change is followed within some twenty calls.
func (f *flight) end(began, now time.Time) {
	i := slices.Index(f.began, began)
	f.began = slices.Delete(f.began, i, i+1)
	f.usual += (min(now.Sub(began), f.slow()) - f.usual) / 8
}

func (f *flight) slow() time.Duration { return max(slowFactor*f.usual, minSlow) }

// load returns the part of a load that the account knows.
func (f *flight) load(now time.Time) load {
	l := load{inFlight: len(f.began), slow: f.slow()}
	if l.inFlight > 0 {
		l.youngest = now.Sub(f.began[l.inFlight-1])
	}
	return l
}
