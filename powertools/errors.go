package powertools

import (
	"fmt"
	"time"
)

// InProgressError says that Powertools' function is at work on a message. It is no failure: the
// message waits.
type InProgressError struct {
	Key   string        // Powertools' idempotency key
	Until time.Time     // when the record no longer holds the message
	After time.Duration // how long to wait before looking again, at most 15 s
}

// Error implements error.
func (e *InProgressError) Error() string {
	return fmt.Sprintf("in progress in Powertools as %q until %s", e.Key, e.Until.UTC().Format(time.RFC3339))
}

// Snoozed reports true: the message waits where it is, and no attempt is counted.
func (e *InProgressError) Snoozed() bool { return true }

// RetryAfter returns After.
func (e *InProgressError) RetryAfter() time.Duration { return e.After }

// Reason names the error in a dead-letter queue.
func (e *InProgressError) Reason() string { return "in progress in Powertools" }

// TimedOutError says that Powertools' function has timed out at work on a message, so that its
// outcome is not known.
type TimedOutError struct {
	Key string    // Powertools' idempotency key
	At  time.Time // of the function's deadline
}

// Error implements error.
func (e *TimedOutError) Error() string {
	return fmt.Sprintf("timed out in Powertools as %q at %s", e.Key, e.At.UTC().Format(time.RFC3339))
}

// OutcomeUnknown reports true: whether the work was done is not known.
func (e *TimedOutError) OutcomeUnknown() bool { return true }

// UnreadableError says that Powertools' record could not be read. The work has not begun.
type UnreadableError struct {
	Key string // Powertools' idempotency key
	Err error
}

// Error implements error.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("Powertools' record %q cannot be read: %v", e.Key, e.Err)
}

// Unwrap returns Err.
func (e *UnreadableError) Unwrap() error { return e.Err }

// Down reports true: no attempt is counted, and the message is tried again.
func (e *UnreadableError) Down() bool { return true }
