package consumer

import (
	"errors"
	"fmt"
	"time"
)

// Causes of a handler's cancelled context.
var (
	// ErrStopped means that the consumer stops and the drain has ended.
	ErrStopped = errors.New("consumer: stopped, drain time is over")
	// ErrReceiptLost means that another receiver may have the message; see
	// [Config].CancelOnLostReceipt.
	ErrReceiptLost = errors.New("consumer: receipt lost")
)

// ErrAbandoned is wrapped by the error of [Consumer.Run] if handlers ignored the cancellation of
// their contexts. The error names their messages, which keep their visibility timeout.
var ErrAbandoned = errors.New("handlers ignored their cancellation and were left behind")

var (
	errGoexit    = errors.New("handler called runtime.Goexit")
	errNoReceipt = errors.New("message did not come from a running consumer")
)

// RetryAfter returns err, which must not be nil, as a failure with its own delay: the message is
// tried again after d, at most 12 hours, instead of after the backoff. It counts like any other
// failure.
func RetryAfter(err error, d time.Duration) error { return &retryAfterError{err, d} }

type retryAfterError struct {
	error
	after time.Duration
}

func (e *retryAfterError) Unwrap() error             { return e.error }
func (e *retryAfterError) RetryAfter() time.Duration { return e.after }

// Permanent returns err, which must not be nil, as a failure that no retry can cure. The message
// goes to the dead-letter queue at once.
func Permanent(err error) error { return &permanentError{error: err} }

type permanentError struct {
	error
	reason string // empty if the error has no reason of its own
}

func (e *permanentError) Unwrap() error   { return e.error }
func (e *permanentError) Permanent() bool { return true }
func (e *permanentError) Reason() string  { return e.reason }

// Snooze returns an error that postpones a message. Its handler is called again after d, at most 12
// hours, and no attempt counts. The message waits in this worker, without a slot and without
// another receive. During a stop it waits in the queue instead.
func Snooze(d time.Duration) error { return snooze(d) }

type snooze time.Duration

func (s snooze) Error() string             { return fmt.Sprintf("snoozed for %s", time.Duration(s)) }
func (s snooze) Snoozed() bool             { return true }
func (s snooze) RetryAfter() time.Duration { return max(0, time.Duration(s)) }
