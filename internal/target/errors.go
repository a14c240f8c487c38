package target

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// StatusError says that the target answered with a status other than 2xx.
type StatusError struct {
	Status  int    // HTTP status, 100 to 999
	Excerpt string // beginning of the answer's body on one line; may be empty

	permanent  bool
	retryAfter time.Duration
}

// Error implements error: the status and the beginning of the body.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("target answered %d", e.Status)
	if s := http.StatusText(e.Status); s != "" {
		text += " " + s
	}
	if e.Excerpt != "" {
		text += ": " + e.Excerpt
	}
	return text
}

// Permanent reports whether the status says that the message is bad, so that
// no retry can cure it.
func (e *StatusError) Permanent() bool { return e.permanent }

// RetryAfter returns how long the target asked to be left alone, at most 12
// hours; 0 when it did not ask, or not in a readable way.
func (e *StatusError) RetryAfter() time.Duration { return e.retryAfter }

// TargetDown reports whether the status says that the target is not there as
// it should be (a redirect, a wrong path, an expired token), which is not the
// message's fault.
func (e *StatusError) TargetDown() bool {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		return !e.permanent
	}
	return e.Status >= 300 && e.Status < 400
}

// UnknownOutcomeError says that the request, or a part of it, went out and no
// whole answer came back: the target may have done the work, or still be at it.
type UnknownOutcomeError struct {
	Err error // what broke

	until    time.Time // end of the time the target had; zero: it has answered
	timedOut bool      // it used up that time
	stopped  bool      // the connection broke while this process was told to stop
	garbled  bool      // the answer to a batch does not say which messages are done
}

// Error implements error.
func (e *UnknownOutcomeError) Error() string {
	text := "outcome at the target is unknown: "
	if e.stopped {
		text += "the connection broke while this worker was told to stop: "
	}
	return text + e.Err.Error()
}

// Unwrap returns what broke.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// OutcomeUnknown reports true.
func (e *UnknownOutcomeError) OutcomeUnknown() bool { return true }

// Stopped reports whether the connection broke while this process was told to stop: the
// target was probably stopped with it, before it.
func (e *UnknownOutcomeError) Stopped() bool { return e.stopped }

// RunningUntil returns the end of the time that the target had. Until then it may
// still be at work.
func (e *UnknownOutcomeError) RunningUntil() time.Time { return e.until }

// RetryAfter returns what is left now of the time the target had, so that a
// second request does not meet the first one still at work; 0 when it is used up.
func (e *UnknownOutcomeError) RetryAfter() time.Duration { return max(time.Until(e.until), 0) }

// RefusedError says that the target asks for patience: by 429, or by 503 with
// Retry-After. Nothing has happened, and the attempt does not count.
type RefusedError struct {
	Err *StatusError // the answer
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the answer.
func (e *RefusedError) Unwrap() error { return e.Err }

// Down reports true: the attempt did not happen.
func (e *RefusedError) Down() bool { return true }

// Refused reports true: the message waits, and fewer are begun.
func (e *RefusedError) Refused() bool { return true }

// RetryAfter returns how long the target asked to be left alone; 0 when it did not
// say.
func (e *RefusedError) RetryAfter() time.Duration { return e.Err.RetryAfter() }

// DownError says that the attempt does not count: the request never reached the
// target (no connection, or one that broke before a byte was sent), or the target
// is suspect (see [Judge]).
type DownError struct {
	Err error // what broke
}

// Error implements error.
func (e *DownError) Error() string {
	if _, ok := errors.AsType[*StatusError](e.Err); ok {
		return "target is suspect: " + e.Err.Error()
	}
	return "target not reached: " + e.Err.Error()
}

// Unwrap returns what broke.
func (e *DownError) Unwrap() error { return e.Err }

// Down reports true: the attempt did not happen.
func (e *DownError) Down() bool { return true }

// Permanent reports false, whatever the answer says about the message: a suspect
// target is not believed.
func (e *DownError) Permanent() bool { return false }
