package target

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// StatusError is returned when the target answered with a status other than 2xx.
type StatusError struct {
	Status  int    // HTTP status, 100 to 999
	Excerpt string // beginning of the response body on one line; may be empty

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

// Permanent reports whether the status means that the message is bad, so that no retry can succeed.
func (e *StatusError) Permanent() bool { return e.permanent }

// RetryAfter returns the Retry-After of the answer, at most 12 hours. It is 0 if there was none, or
// an invalid one.
func (e *StatusError) RetryAfter() time.Duration { return e.retryAfter }

// TargetDown reports whether the status means that the target is missing or misconfigured (a
// redirect, a wrong path, an expired token), so that the message is not the cause.
func (e *StatusError) TargetDown() bool {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		return !e.permanent
	}
	return e.Status >= 300 && e.Status < 400
}

// UnknownOutcomeError is returned when at least a part of the request was sent and no complete
// answer came back. The target may have done the work, or still be doing it.
type UnknownOutcomeError struct {
	Err error // the cause

	until    time.Time // the target's deadline; zero if it has answered
	timedOut bool      // the deadline has passed
	stopped  bool      // the connection broke during a stop of this process
	garbled  bool      // the answer to a batch does not tell which messages are done
}

// Error implements error.
func (e *UnknownOutcomeError) Error() string {
	text := "outcome at the target is unknown: "
	if e.stopped {
		text += "the connection broke during a stop of this worker: "
	}
	return text + e.Err.Error()
}

// Unwrap returns Err.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// OutcomeUnknown returns true.
func (e *UnknownOutcomeError) OutcomeUnknown() bool { return true }

// Stopped reports whether the connection broke during a stop of this process. The target was
// probably stopped with it, and ended first.
func (e *UnknownOutcomeError) Stopped() bool { return e.stopped }

// RunningUntil returns the target's deadline. It may do the work until then.
func (e *UnknownOutcomeError) RunningUntil() time.Time { return e.until }

// RetryAfter returns the time until the target's deadline, so that a second request does not meet
// the first one still running. It is 0 after the deadline.
func (e *UnknownOutcomeError) RetryAfter() time.Duration { return max(time.Until(e.until), 0) }

// RefusedError is returned when the target asks for a delay, by 429 or by 503 with Retry-After. The
// work was not done, and the attempt does not count.
type RefusedError struct {
	Err *StatusError // the answer
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *RefusedError) Unwrap() error { return e.Err }

// Down returns true: the attempt does not count.
func (e *RefusedError) Down() bool { return true }

// Refused returns true: the message waits, and fewer messages are started.
func (e *RefusedError) Refused() bool { return true }

// RetryAfter returns the Retry-After of the answer, or 0.
func (e *RefusedError) RetryAfter() time.Duration { return e.Err.RetryAfter() }

// DownError is returned when an attempt does not count. Either the request never reached the target
// (no connection, or one that broke before a byte was sent), or the target is suspect (see
// [Judge]).
type DownError struct {
	Err error // the cause
}

// Error implements error.
func (e *DownError) Error() string {
	if _, ok := errors.AsType[*StatusError](e.Err); ok {
		return "target is suspect: " + e.Err.Error()
	}
	return "target not reached: " + e.Err.Error()
}

// Unwrap returns Err.
func (e *DownError) Unwrap() error { return e.Err }

// Down returns true: the attempt does not count.
func (e *DownError) Down() bool { return true }

// Permanent returns false, even if the answer blames the message, because a suspect target is not
// believed.
func (e *DownError) Permanent() bool { return false }
