package dedupe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Behaviour that a handler's error may have, asked for by method so that
// handlers need not import this package.
type (
	// permanentError: no retry can cure it.
	permanentError interface {
		error
		Permanent() bool
	}
	// unknownOutcome: the work may have been done, or not.
	unknownOutcome interface {
		error
		OutcomeUnknown() bool
	}
	// downError: the work never began, because what it needs is not there.
	downError interface {
		error
		Down() bool
	}
	// unavailableError: what the work needs is known to be down for everybody (a
	// breaker is open), so that this says nothing about the message.
	unavailableError interface {
		error
		Unavailable() bool
	}
)

// failure is how a failed attempt is recorded and reported.
type failure struct {
	kind    protocol.FailKind
	text    string
	release bool // not counted: the work did not matter
	stopped bool // because the caller stops
}

// judge decides what a handler's error means for the record.
func judge(ctx context.Context, err error, lastDelivery, hold bool) failure {
	f := failure{kind: protocol.FailRetryable, text: err.Error()}
	if isDown(err) {
		f.release = true // also on the last delivery: it is tried again in place
		return f
	}
	if e, ok := errors.AsType[permanentError](err); ok && e.Permanent() {
		f.kind = protocol.FailPermanent
		return f
	}
	_, notBegun := errors.AsType[*notBegun](err)
	stopped := ctx.Err() != nil && causedBy(ctx, err)
	uncertain := stopped || errors.Is(err, ErrLeaseLost)
	if e, ok := errors.AsType[unknownOutcome](err); ok && e.OutcomeUnknown() {
		uncertain = true
	}
	switch {
	case uncertain && hold && !notBegun:
		f.kind = protocol.FailUnknown
	case stopped && lastDelivery:
		f.text, f.stopped = "stopped: "+f.text, true
	case stopped:
		f.release, f.stopped = true, true
	}
	return f
}

// isDown reports whether err says that the attempt does not count.
func isDown(err error) bool {
	if e, ok := errors.AsType[downError](err); ok && e.Down() {
		return true
	}
	e, ok := errors.AsType[unavailableError](err)
	return ok && e.Unavailable()
}

// causedBy reports whether err comes of the end of ctx.
func causedBy(ctx context.Context, err error) bool {
	return errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))
}

// wrap turns the handler's error into what Do returns, given the record that
// was written.
func (f failure) wrap(rec protocol.Record, err error) error {
	switch {
	case f.release && f.stopped:
		return &stopped{attempts: rec.Attempts, err: err}
	case f.release:
		return &unavailable{released: true, err: err}
	case rec.Status == protocol.Unknown:
		return &UnknownOutcomeError{Name: rec.Name, Attempts: rec.Attempts, Text: rec.Error, Err: err}
	case rec.Status == protocol.Rejected:
		e := &RejectedError{Name: rec.Name, Attempts: rec.Attempts, Text: rec.Error, Err: err}
		switch {
		case f.stopped:
			e.why = "stopped"
		case f.kind == protocol.FailRetryable:
			e.why = "attempts used up"
		}
		return e
	default:
		return &failedError{rec.Attempts, err}
	}
}

// refusal is the error for a claim that did not start an attempt.
func refusal(r protocol.Record, v protocol.Verdict, key Key, t protocol.Terms, now time.Time) error {
	switch v {
	case protocol.VerdictWait:
		return &InProgressError{Name: r.Name, Until: r.LeaseUntil, After: max(r.LeaseUntil.Sub(now), 0) + t.Skew}
	case protocol.VerdictMismatch:
		return &MismatchError{Name: r.Name, Status: r.Status, MessageID: r.MessageID, Differs: key.Compared}
	case protocol.VerdictRejected:
		return &RejectedError{Name: r.Name, Attempts: r.Attempts, Text: r.Error}
	case protocol.VerdictExhausted:
		return &ExhaustedError{Name: r.Name, Attempts: r.Attempts, Text: r.Error}
	case protocol.VerdictUnknown:
		return &UnknownOutcomeError{Name: r.Name, Attempts: r.Attempts, Text: r.Error}
	case protocol.VerdictUnreadable:
		return &leftAlone{attempts: r.Attempts, err: fmt.Errorf("%w: %q has format %d and status %q", ErrUnreadable, r.Name, r.Format, r.Status)}
	default:
		return &leftAlone{attempts: r.Attempts, taken: true, err: fmt.Errorf("%w: %q", ErrLeaseLost, r.Name)}
	}
}
