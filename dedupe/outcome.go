package dedupe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

// handled describes how the call of a handler ended with an error.
type handled struct {
	err      error
	lost     bool  // the handler was cancelled because its lease was lost
	stop     error // error of the caller's context when the handler returned; nil if alive
	notBegun bool  // the handler was not called
	refused  bool  // the handler succeeded, but the store refuses its effects: access denied, or no such table
}

// ending is how a failed attempt is recorded and reported.
type ending struct {
	kind    protocol.FailKind
	text    string
	release bool          // released, not counted
	stopped bool          // the caller stops
	down    bool          // a dependency of the work is down
	shared  bool          // a batch failed as a whole
	rest    time.Duration // how long the work may still run elsewhere; 0 if it does not
}

// judge decides how a handler's error is recorded. The first matching rule applies:
//
//   - The store refuses the effects: released, not counted. With Hold: UNKNOWN.
//   - The lease was lost: a failure. With Hold: UNKNOWN. With [failure.NotBegun]: released, not
//     counted.
//   - [failure.Shared], and the caller does not stop: released, not counted. With Hold and an
//     unknown outcome: UNKNOWN.
//   - [failure.Permanent]: rejected.
//   - [failure.Down], [failure.Unavailable], [failure.Deferred], [failure.Refused] or
//     [failure.Snoozed]: released, not counted.
//   - The caller's context was cancelled, or the error is [failure.Stopped]: released, not counted.
//     With Hold, unless the work had not begun: UNKNOWN. On the last delivery: rejected.
//   - [failure.NotBegun]: released, not counted.
//   - The caller's deadline has passed, the handler panicked or ended its goroutine, or the outcome
//     is unknown: a failure. With Hold: UNKNOWN.
//   - Any other error: a failure.
//
// An attempt whose error is [failure.StillRunning] leaves instead of a release or a failure. The
// text and the wrapping of the error do not matter, because a handler's error for a cancelled call
// need not wrap the context's.
func judge(h handled, lastDelivery, hold bool) ending {
	end := ending{kind: protocol.FailRetryable, text: h.err.Error()}
	notBegun := h.notBegun || failure.Is(h.err, failure.NotBegun.NotBegun)
	stopped := h.notBegun || !h.lost && (errors.Is(h.stop, context.Canceled) || failure.Is(h.err, failure.Stopped.Stopped))
	rest := stillRunning(h.err)
	uncertain := h.lost || h.stop != nil || rest > 0 || panicked(h.err) || failure.Is(h.err, failure.OutcomeUnknown.OutcomeUnknown)
	switch {
	case h.refused && hold:
		end.kind = protocol.FailUnknown
	case h.refused:
		end.release, end.down = true, true
	case !h.lost && !stopped && failure.Is(h.err, failure.Shared.Shared):
		if hold && uncertain {
			end.kind = protocol.FailUnknown
			break
		}
		end.shared, end.rest = true, rest
		end.release = rest == 0
	case !h.lost && failure.Is(h.err, failure.Permanent.Permanent):
		end.kind = protocol.FailPermanent
	case !h.lost && uncounted(h.err):
		// Not final on the last delivery either, because the message is tried again in place.
		if end.down = isDown(h.err); end.down {
			end.rest = rest
		}
		end.release = end.rest == 0
	case notBegun && !stopped:
		end.release = true
	case hold && uncertain && !notBegun:
		end.kind = protocol.FailUnknown
	case rest > 0:
		end.rest, end.stopped = rest, stopped
	case stopped && lastDelivery:
		end.text, end.stopped = "stopped: "+end.text, true
	case stopped:
		end.release, end.stopped = true, true
	}
	return end
}

// counted reports whether an attempt that leaves counts.
func (f ending) counted() bool { return !f.stopped && !f.down && !f.shared }

// uncounted reports whether the error means that the attempt does not count.
func uncounted(err error) bool {
	return isDown(err) || failure.Is(err, failure.Deferred.Deferred) ||
		failure.Is(err, failure.Refused.Refused) || failure.Is(err, failure.Snoozed.Snoozed)
}

// isDown reports whether the error means that a dependency is down.
func isDown(err error) bool {
	return failure.Is(err, failure.Down.Down) || failure.Is(err, failure.Unavailable.Unavailable)
}

// stillRunning returns how long the work may still run elsewhere.
func stillRunning(err error) time.Duration {
	e, ok := errors.AsType[failure.StillRunning](err)
	if !ok || e.RunningUntil().IsZero() {
		return 0
	}
	return max(0, time.Until(e.RunningUntil()))
}

// wrap turns the handler's error into the error of Do. rec is the record that was written.
func (f ending) wrap(rec protocol.Record, err error, t protocol.Terms) error {
	switch {
	case f.rest > 0 && f.down:
		return &unavailableFor{unavailable{released: true, err: err}, f.rest + t.Skew}
	case f.rest > 0:
		return &leftRunning{attempts: rec.Attempts, after: f.rest + t.Skew, stopped: f.stopped, shared: f.shared, err: err}
	case f.release && f.stopped:
		return &stopped{attempts: rec.Attempts, err: err}
	case f.release && f.down:
		return &unavailable{released: true, err: err}
	case f.release:
		return &failedError{attempts: rec.Attempts, shared: f.shared, err: err}
	case rec.Status == protocol.Unknown:
		return &UnknownOutcomeError{Name: rec.Name, Attempts: rec.Attempts, Text: rec.Error, Err: err}
	case rec.Status == protocol.Rejected:
		e := &RejectedError{Name: rec.Name, Attempts: rec.Attempts, Text: rec.Error, Err: err}
		switch {
		case f.stopped:
			e.why = whyStopped
		case f.kind == protocol.FailRetryable:
			e.why = whyUsedUp
		}
		return e
	default:
		return &failedError{attempts: rec.Attempts, err: err}
	}
}

// refusal returns the error for a claim that did not start an attempt.
func refusal(r protocol.Record, v protocol.Verdict, key Key, t protocol.Terms, now time.Time) error {
	switch v {
	case protocol.VerdictWait:
		return &InProgressError{Name: r.Name, Until: r.LeaseUntil, After: max(r.LeaseUntil.Add(t.Skew).Sub(now), 0)}
	case protocol.VerdictMismatch:
		return &MismatchError{Name: r.Name, Status: r.Status, MessageID: r.MessageID, Differs: key.Compared}
	case protocol.VerdictRejected:
		return &RejectedError{Name: r.Name, Attempts: r.Attempts, Text: r.Error}
	case protocol.VerdictExhausted:
		return &RejectedError{Name: r.Name, Attempts: r.Attempts, Text: r.Error, why: whyUsedUp}
	case protocol.VerdictUnknown:
		return &UnknownOutcomeError{Name: r.Name, Attempts: r.Attempts, Text: r.Error}
	case protocol.VerdictUnreadable:
		return &leftAlone{attempts: r.Attempts, err: fmt.Errorf("%w: %q has format %d and status %q", ErrUnreadable, r.Name, r.Format, r.Status)}
	default:
		return &leftAlone{attempts: r.Attempts, taken: true, err: fmt.Errorf("%w: %q", ErrLeaseLost, r.Name)}
	}
}
