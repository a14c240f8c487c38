package consumer

import (
	"errors"
	"fmt"
	"time"
)

// Causes with which a handler's context is cancelled.
var (
	// ErrStopped: the consumer stops and its drain time is over.
	ErrStopped = errors.New("consumer: stopped, drain time is over")
	// ErrReceiptLost: SQS no longer takes the message for ours
	// (Config.CancelOnLostReceipt).
	ErrReceiptLost = errors.New("consumer: receipt lost")
)

// ErrAbandoned is wrapped by the error of Run when handlers ignored the cancellation of
// their context; the error names their messages, which are left to their visibility
// timeout.
var ErrAbandoned = errors.New("handlers ignored their cancellation and were left behind")

var (
	errGoexit    = errors.New("handler called runtime.Goexit")
	errNoReceipt = errors.New("message did not come from a running consumer")
)

// RetryAfter returns err, which must not be nil, as a failure whose message is tried again
// after d, at most 12 hours, in place of the backoff. It counts like any other failure.
func RetryAfter(err error, d time.Duration) error { return &retryAfterError{err, d} }

type retryAfterError struct {
	error
	after time.Duration
}

func (e *retryAfterError) Unwrap() error             { return e.error }
func (e *retryAfterError) RetryAfter() time.Duration { return e.after }

// Permanent returns err, which must not be nil, as a failure that no retry can cure: the
// message goes to the dead-letter queue at once.
func Permanent(err error) error { return &permanentError{error: err} }

type permanentError struct {
	error
	reason string // empty: none of its own
}

func (e *permanentError) Unwrap() error   { return e.error }
func (e *permanentError) Permanent() bool { return true }
func (e *permanentError) Reason() string  { return e.reason }

// Snooze returns an error that puts a message off: its handler is called again after d, at
// most 12 hours, and nothing is counted. The message waits in this worker, without a slot
// and without another receive. When the worker stops it waits in the queue.
func Snooze(d time.Duration) error { return snooze(d) }

type snooze time.Duration

func (s snooze) Error() string             { return fmt.Sprintf("snoozed for %s", time.Duration(s)) }
func (s snooze) Snoozed() bool             { return true }
func (s snooze) RetryAfter() time.Duration { return max(0, time.Duration(s)) }
