package consumer

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/sqsonce/sqsonce/failure"
)

// Action is what is done with a message after its handler has returned.
type Action int

// The actions. Hold and Park keep the message in this worker, invisible to others and
// without a slot.
const (
	Delete     Action = iota + 1 // done
	Release                      // visible again after a while
	Defer                        // the same, but it was no failure
	Park                         // wait here for a time, then call the handler again
	Hold                         // wait here until what it depends on is up, or as a probe
	DeadLetter                   // copy to the dead-letter queue, then delete
	Keep                         // leave it alone until its visibility timeout ends
)

// String returns the action's name in logs and metrics.
func (a Action) String() string {
	names := [...]string{"", "delete", "release", "defer", "park", "hold", "dead-letter", "keep"}
	if a < 0 || int(a) >= len(names) {
		return "unknown"
	}
	return names[a]
}

// waits reports whether the message stays here for another call of the handler.
func (a Action) waits() bool { return a == Park || a == Hold }

// Disposition is a decision about a message.
type Disposition struct {
	Action   Action
	After    time.Duration // of Release, Defer, Park and Hold
	Reason   string        // of DeadLetter, in a few words
	Err      error         // the handler's; nil when it succeeded
	Attempts int           // of DeadLetter: attempts counted, or receives where nobody counts
	Failure  bool          // a failed try, as opposed to one that did not count

	unavailable bool // the error said that something is down
	refused     bool // the error said "not now"
}

// Limits are what Decide needs to know beside the error and the message.
type Limits struct {
	Backoff    time.Duration // base of the delay after a failure
	MaxBackoff time.Duration // its bound
	Stopping   bool          // the consumer stops: only a message on its last receive may wait here
	Over       bool          // the drain is over, or SQS's time for the message: none may wait here
	InPlace    bool          // FIFO: a retry must not let others pass
	Tries      int           // failed tries here since the receive
	Refusals   int           // refusals in a row
	Own        bool          // the message was held when an outage ended: its trouble is its own
	Random     float64       // spreads delays; 0 <= Random < 1
}

// Bounds of deferrals and waits.
const (
	maxDefer   = 15 * time.Minute
	inPlaceMax = 5 * time.Second // a deferred FIFO head, or a parked message at a stop, looks again this soon
	keepAgain  = 30 * time.Second
	refusalMin = time.Second // a refusal that names no time
	refusalMax = time.Minute
)

// Decide says what becomes of m after its handler has returned err. It is pure. The
// rules, first match wins:
//
//   - nil: Delete.
//   - Keep() true: Keep. Another attempt owns the outcome. On the last receive, or in
//     place, SQS would not wait for that: Park.
//   - Refused() true: Park for RetryAfter(), or for a second, doubled with each refusal in
//     a row up to a minute. The message is the next to be handled then, and messages are
//     begun more slowly.
//   - Unavailable() true: Hold, for RetryAfter() at least, at most MaxBackoff. A message
//     that was held when an outage ended waits for a backoff of its own.
//   - Left() true: Release for RetryAfter(), at most 12 hours. On the last receive, in
//     place, or with Shared() true: Park for as long; cut off by a stop on the last receive:
//     DeadLetter.
//   - Snoozed() true: Park for RetryAfter().
//   - Deferred() true: Defer for RetryAfter() and up to a second, doubled with each receive
//     beyond the first, at most 15 minutes. On the last receive, or in place: Park.
//   - Permanent() true: DeadLetter.
//   - cancelled by the stop ([context.Canceled] or [ErrStopped] in the error): Release after
//     RetryAfter(), as a rule at once; on the last receive DeadLetter.
//   - Shared() true: Park for RetryAfter().
//   - anything else, on the last receive: DeadLetter.
//   - anything else: Release after RetryAfter(), at most 12 hours, or after a backoff with
//     full jitter. In place: Park instead.
//
// A message does not wait here (Hold, Park) during a stop, unless it is on its last
// receive: then it may wait until the drain is over. A deferred head is then visible at
// once, a held, refused or snoozed message after RetryAfter(), a failed head after its
// delay. On its last receive a deferred or snoozed message is dead-lettered in the end; so
// is a held, refused, left or kept one whose error gives a Reason(), while any other is
// left alone, because nothing is known to be recorded.
func Decide(err error, m Message, l Limits) Disposition {
	switch {
	case err == nil:
		return Disposition{Action: Delete}
	case failure.Is(err, failure.Keep.Keep):
		return decideKeep(err, m, l)
	case failure.Is(err, failure.Refused.Refused):
		return decideRefused(err, m, l)
	case failure.Is(err, failure.Unavailable.Unavailable):
		return decideUnavailable(err, m, l)
	case failure.Is(err, failure.Left.Left):
		return decideLeft(err, m, l)
	case failure.Is(err, failure.Snoozed.Snoozed):
		return decideSnoozed(err, m, l, reasonSnoozedAtStop)
	case failure.Is(err, failure.Deferred.Deferred):
		return decideDeferred(err, m, l)
	case failure.Is(err, failure.Permanent.Permanent):
		return deadLetter(err, m, "rejected")
	case l.stopped(err):
		if m.LastReceive {
			return deadLetter(err, m, reasonStopped)
		}
		return Disposition{Action: Release, After: min(retryAfter(err), maxHold), Err: err}
	case failure.Is(err, failure.Shared.Shared):
		return decideSnoozed(err, m, l, reasonBatchAtStop)
	case m.LastReceive:
		return deadLetter(err, m, "failed on its last receive")
	}
	d := Disposition{Action: Release, After: failureDelay(err, m, l), Err: err, Failure: true}
	if l.InPlace && !l.ends(m) {
		d.Action = Park
	}
	return d
}

// ends reports whether the message may wait here no longer.
func (l Limits) ends(m Message) bool { return l.Over || l.Stopping && !m.LastReceive }

// stopped reports whether err is that of a try that the stop has cut off.
func (l Limits) stopped(err error) bool {
	return l.Stopping && (errors.Is(err, context.Canceled) || errors.Is(err, ErrStopped))
}

func decideKeep(err error, m Message, l Limits) Disposition {
	switch {
	case l.ends(m) && m.LastReceive:
		return unmoved(err, m, Disposition{Action: Keep, Err: err})
	case l.ends(m) || !m.LastReceive && !l.InPlace:
		return Disposition{Action: Keep, Err: err}
	case l.Stopping:
		return Disposition{Action: Park, After: inPlaceMax, Err: err}
	default:
		return Disposition{Action: Park, After: keepAgain, Err: err}
	}
}

func decideRefused(err error, m Message, l Limits) Disposition {
	after := min(retryAfter(err), maxHold)
	if after == 0 {
		after = doubled(refusalMin, l.Refusals, refusalMax)
	}
	return wait(m, l, Disposition{Action: Park, After: after, Err: err, refused: true})
}

func decideUnavailable(err error, m Message, l Limits) Disposition {
	d := Disposition{Action: Hold, After: min(retryAfter(err), l.MaxBackoff), Err: err, unavailable: true}
	if l.Own && !l.ends(m) {
		d.After = max(d.After, failureDelay(nil, Message{ReceiveCount: 1}, l))
	}
	return wait(m, l, d)
}

func decideLeft(err error, m Message, l Limits) Disposition {
	shared := failure.Is(err, failure.Shared.Shared)
	d := Disposition{Action: Release, After: min(retryAfter(err), maxHold), Err: err, Failure: !shared}
	switch {
	case !l.InPlace && !m.LastReceive && !shared:
		return d
	case l.stopped(err) && m.LastReceive:
		return deadLetter(err, m, reasonStopped)
	case l.Over && m.LastReceive:
		return deadLetter(err, m, reasonParkedAtStop)
	}
	d.Action = Park
	return wait(m, l, d)
}

func decideSnoozed(err error, m Message, l Limits, atStop string) Disposition {
	if l.Over && m.LastReceive {
		return deadLetter(err, m, atStop)
	}
	return wait(m, l, Disposition{Action: Park, After: min(retryAfter(err), maxHold), Err: err})
}

// wait is d, which waits here, or what becomes of the message when it must not.
func wait(m Message, l Limits, d Disposition) Disposition {
	switch {
	case !l.ends(m):
		if l.Stopping && d.Action == Park {
			d.After = min(d.After, inPlaceMax)
		}
	case m.LastReceive:
		d.Action, d.After = Keep, 0
		return unmoved(d.Err, m, d)
	default:
		d.Action = Release
	}
	return d
}

// unmoved is d, or a dead letter if the error gives a reason: SQS's own move, with the
// next receive, would come without it.
func unmoved(err error, m Message, d Disposition) Disposition {
	if e, ok := errors.AsType[failure.Reason](err); ok && e.Reason() != "" {
		d = deadLetter(err, m, "")
		d.Failure = false
	}
	return d
}

func decideDeferred(err error, m Message, l Limits) Disposition {
	after := retryAfter(err) + time.Duration(l.Random*float64(time.Second))
	switch {
	case l.Over && m.LastReceive:
		return deadLetter(err, m, reasonParkedAtStop)
	case l.InPlace && l.ends(m):
		return Disposition{Action: Release, Err: err}
	case l.InPlace, l.Stopping && m.LastReceive:
		return Disposition{Action: Park, After: min(after, inPlaceMax), Err: err}
	case m.LastReceive:
		return Disposition{Action: Park, After: min(after, maxDefer), Err: err}
	}
	return Disposition{Action: Defer, After: doubled(wholeSeconds(after), m.ReceiveCount-1, maxDefer), Err: err}
}

func deadLetter(err error, m Message, reason string) Disposition {
	d := Disposition{Action: DeadLetter, Reason: reason, Err: err, Attempts: m.ReceiveCount, Failure: true}
	if e, ok := errors.AsType[failure.Reason](err); ok && e.Reason() != "" {
		d.Reason = e.Reason()
	}
	if failure.Is(err, failure.Deferred.Deferred) || failure.Is(err, failure.Snoozed.Snoozed) || failure.Is(err, failure.Shared.Shared) {
		d.Reason, d.Failure = reason, false
	}
	if e, ok := errors.AsType[failure.AttemptsCounted](err); ok {
		d.Attempts = e.AttemptsCounted()
	}
	return d
}

func failureDelay(err error, m Message, l Limits) time.Duration {
	if after := retryAfter(err); after > 0 {
		return min(after, maxHold)
	}
	ceiling := doubled(l.Backoff, m.ReceiveCount-1+l.Tries, l.MaxBackoff)
	return time.Duration(l.Random * float64(ceiling))
}

func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[failure.RetryAfter](err); ok {
		return max(0, e.RetryAfter())
	}
	return 0
}

// doubled returns d doubled n times, at most limit.
func doubled(d time.Duration, n int, limit time.Duration) time.Duration {
	for range n {
		if d >= limit || d > math.MaxInt64/2 {
			break
		}
		d *= 2
	}
	return min(d, limit)
}

// wholeSeconds rounds up to a second, at least one: SQS knows no less.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}
