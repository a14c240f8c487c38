package consumer

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"github.com/sqsonce/sqsonce/failure"
)

// Action is how a message is settled after its handler has returned.
type Action int

// The actions. Hold and Park keep the message in this worker, invisible to other receivers and
// without a slot.
const (
	Delete     Action = iota + 1 // the work is done
	Release                      // make it visible again after a delay
	Defer                        // like Release, but the attempt was no failure
	Park                         // wait in this worker for a time, then call the handler again
	Hold                         // wait in this worker until its dependency is up, or until it is the next probe
	DeadLetter                   // copy it to the dead-letter queue, then delete it
	Keep                         // leave it to its visibility timeout
)

// String returns the action's name in logs and metrics. It is "unknown" for an undefined action.
func (a Action) String() string {
	names := [...]string{"", "delete", "release", "defer", "park", "hold", "dead-letter", "keep"}
	if a < 0 || int(a) >= len(names) {
		return "unknown"
	}
	return names[a]
}

// waits reports whether the message stays in this worker for another call of the handler.
func (a Action) waits() bool { return a == Park || a == Hold }

// Disposition is a decision about a message.
type Disposition struct {
	Action   Action
	After    time.Duration // delay of Release, Defer, Park and Hold
	Reason   string        // of DeadLetter, in a few words
	Err      error         // the handler's error; nil if it succeeded
	Attempts int           // of DeadLetter: counted attempts, or receives if attempts are not counted
	Failure  bool          // the try failed and counts

	unavailable bool // the error was Unavailable
	refused     bool // the error was Refused
}

// Limits are the inputs of [Decide] beside the error and the message.
type Limits struct {
	Backoff    time.Duration // base of the delay after a failure
	MaxBackoff time.Duration // bound on that delay
	Stopping   bool          // the stop has begun: only messages on their last receive may wait here
	Over       bool          // the drain, or SQS's time for the message, has ended: no message may wait here
	InPlace    bool          // FIFO: no other message of the group may pass during a retry
	Tries      int           // failed tries in this worker since the receive
	Refusals   int           // refusals in a row
	Own        bool          // the message was held when an outage ended, so the cause of a new failure is likely its own
	Random     float64       // spreads delays; 0 <= Random < 1
}

// Bounds of deferrals and waits.
const (
	maxDefer   = 15 * time.Minute
	inPlaceMax = 5 * time.Second // until the retry of a deferred FIFO head, or of a parked message during a stop
	keepAgain  = 30 * time.Second
	refusalMin = time.Second // delay of a refusal without RetryAfter
	refusalMax = time.Minute
)

// Decide returns how m is settled after its handler has returned err. It is a pure function. The
// first matching rule applies:
//
//   - nil: Delete.
//   - Keep() true: Keep, because another attempt owns the outcome. On the last receive, or in
//     place: Park, because SQS would not wait for that attempt.
//   - Refused() true: Park for RetryAfter(). Without it the delay is 1 second, doubled with each
//     refusal in a row up to a minute. Then the message goes before all others. The rate of starts
//     is lowered.
//   - Unavailable() true: Hold for RetryAfter(), at most MaxBackoff, and then until the dependency
//     is up or the message is the next probe. With Own the delay is at least a backoff.
//   - Left() true: Release for RetryAfter(), at most 12 hours. On the last receive, in place, or
//     with Shared() true: Park for the same time. If the stop has cancelled it on the last receive:
//     DeadLetter.
//   - Snoozed() true: Park for RetryAfter().
//   - Deferred() true: Defer for RetryAfter() plus up to 1 second, doubled with each receive after
//     the first, at most 15 minutes. On the last receive: Park for at most 15 minutes. In place:
//     Park for at most 5 seconds.
//   - Permanent() true: DeadLetter.
//   - Cancelled by the stop ([context.Canceled] or [ErrStopped] in the error): Release for
//     RetryAfter(), usually 0. On the last receive: DeadLetter.
//   - NotBegun() or Shared() true: Park for RetryAfter().
//   - Any other error on the last receive: DeadLetter.
//   - Any other error: Release for RetryAfter(), at most 12 hours. Without it the delay is a
//     backoff with full jitter. In place: Park instead.
//
// After the stop has begun, only a message on its last receive is held or parked, and only until
// the drain ends. Other messages become visible: a deferred head at once, a held, refused or
// snoozed message after RetryAfter(), a failed head after its delay. When the drain or the 12 hours
// of SQS end, a deferred or snoozed message on its last receive is dead-lettered. So is a held,
// refused, left or kept one whose error has a Reason(). Without a Reason() it is left alone,
// because no outcome may have been recorded.
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
	case failure.Is(err, failure.NotBegun.NotBegun), failure.Is(err, failure.Shared.Shared):
		return decideSnoozed(err, m, l, reasonStopped)
	case m.LastReceive:
		return deadLetter(err, m, "failed on its last receive")
	}
	d := Disposition{Action: Release, After: failureDelay(err, m, l), Err: err, Failure: true}
	if l.InPlace && !l.ends(m) {
		d.Action = Park
	}
	return d
}

// ends reports whether the message may no longer wait in this worker.
func (l Limits) ends(m Message) bool { return l.Over || l.Stopping && !m.LastReceive }

// stopped reports whether the stop has cancelled the try that returned err.
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

// wait returns d, which holds or parks m, or how m is settled if it may not wait.
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

// unmoved returns a dead letter if the error gives a reason, and d otherwise. SQS itself would move
// the message on the next receive, without a reason.
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
	noFailure := failure.Is(err, failure.Deferred.Deferred) || failure.Is(err, failure.Snoozed.Snoozed) ||
		failure.Is(err, failure.Shared.Shared) || failure.Is(err, failure.NotBegun.NotBegun)
	if noFailure && !failure.Is(err, failure.Permanent.Permanent) {
		d.Reason, d.Failure = cmp.Or(reason, d.Reason), false
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

// wholeSeconds rounds up to whole seconds, at least 1. SQS has no smaller unit.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}
