package dedupe

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Behaviour that a handler's error may have, asked for by method so that
// handlers need not import this package.
type (
	permanentError interface {
		error
		Permanent() bool
	}
	unknownOutcome interface {
		error
		OutcomeUnknown() bool
	}
	downError interface {
		error
		Down() bool
	}
)

// outcome is how a failed attempt is recorded and reported.
type outcome struct {
	kind    FailKind
	text    string
	release bool // not counted: the work did not matter
	stopped bool // because the caller stops
}

// judge decides what a handler's error means for the record.
func judge(ctx context.Context, err error, lastDelivery, hold bool) outcome {
	out := outcome{kind: FailRetryable, text: err.Error()}
	if e, ok := errors.AsType[downError](err); ok && e.Down() {
		out.release = true // the work never began
		return out
	}
	if e, ok := errors.AsType[permanentError](err); ok && e.Permanent() {
		out.kind = FailPermanent
		return out
	}
	cancelled := ctx.Err() != nil && errors.Is(err, context.Canceled)
	lost := errors.Is(err, ErrLeaseLost)
	uncertain := cancelled || lost
	if e, ok := errors.AsType[unknownOutcome](err); ok && e.OutcomeUnknown() {
		uncertain = true
	}
	switch {
	case uncertain && hold:
		out.kind = FailUnknown
	case cancelled && lastDelivery:
		out.text, out.stopped = "stopped: "+out.text, true
	case cancelled:
		out.release, out.stopped = true, true
	}
	return out
}

// wrap turns the handler's error into what Do returns, given the record that
// was written.
func (o outcome) wrap(rec Record, err error) error {
	switch {
	case o.release && o.stopped:
		return &stopped{err}
	case o.release:
		return &unavailable{err}
	case rec.Status == Unknown:
		return &UnknownOutcomeError{Name: rec.Name, Text: rec.Error, Err: err}
	case rec.Status == Rejected:
		e := &RejectedError{Name: rec.Name, Attempts: rec.Attempts, Text: rec.Error, Err: err}
		switch {
		case o.stopped:
			e.why = "stopped"
		case o.kind == FailRetryable:
			e.why = "attempts used up"
		}
		return e
	default:
		return err
	}
}

// jitter returns a random duration below d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d) //nolint:gosec // spreads retries, guards nothing
}
