package dedupe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Sentinels that callers branch on with [errors.Is].
var (
	// ErrLeaseLost is the cause with which a handler's context is cancelled
	// when its lease can no longer be proven, and is wrapped by the error of an
	// attempt that somebody else has taken over. Such an attempt must leave its
	// message alone: the new holder owns the outcome.
	ErrLeaseLost = errors.New("lease lost")

	// ErrUnavailable is wrapped by errors that say the store did not answer or
	// refused; the work was not started, or its outcome could not be recorded.
	ErrUnavailable = errors.New("store unavailable")

	// ErrResult is wrapped when a name is completed, and its recorded result cannot
	// be decoded into the type that the caller asks for: another release has
	// recorded it, for example. The work is done and does not run again.
	ErrResult = errors.New("recorded result cannot be decoded")

	// ErrUnreadable is wrapped when the stored record was written by a newer
	// release, or by something else. The message must be left in place.
	ErrUnreadable = errors.New("record not readable by this release")
)

// forGood makes an error a [failure.Permanent].
type forGood struct{}

// Permanent reports true: no retry can succeed.
func (forGood) Permanent() bool { return true }

// InProgressError says that another attempt holds the name. It is not a
// failure: the message should be looked at again when the lease has ended.
type InProgressError struct {
	Name  string        // the name that is held
	Until time.Time     // end of the lease as recorded; zero when held by this process
	After time.Duration // how long to wait before looking again
}

// Error implements error.
func (e *InProgressError) Error() string {
	return fmt.Sprintf("%q is in progress elsewhere; look again in %s", e.Name, e.After)
}

// Deferred reports true: try later, and do not count a failure.
func (e *InProgressError) Deferred() bool { return true }

// RetryAfter returns how long to wait before looking again.
func (e *InProgressError) RetryAfter() time.Duration { return e.After }

// Reason names the error in a dead-letter queue.
func (e *InProgressError) Reason() string { return "in progress elsewhere" }

// MismatchError says that the name was used before with a different payload.
type MismatchError struct {
	forGood

	Name      string          // the name
	Status    protocol.Status // of the record with the other payload
	MessageID string          // message that last claimed the name; may be empty
	Differs   string          // what was compared, see [Key]; empty: the payload as a whole
}

// Error implements error.
func (e *MismatchError) Error() string {
	what := "the whole body, which is compared (setting fingerprint),"
	if e.Differs != "" {
		what = strconv.Quote(e.Differs) + " in the body, which is compared (setting fingerprint),"
	}
	by := ""
	if e.MessageID != "" {
		by = " by message " + e.MessageID
	}
	way := "resolve " + argument(e.Name) + " --retry"
	if e.Status == protocol.Completed {
		way = "forget " + argument(e.Name)
	}
	return fmt.Sprintf("%q was used before%s and %s differs (record is %s); to run it all the same: producer %s, then redrive",
		e.Name, by, what, e.Status, way)
}

// argument returns the name as a shell's argument in double quotes, or NAME where the
// shell, or the command, would read it differently, or where it is long.
func argument(name string) string {
	quoted := strconv.Quote(name)
	if len(quoted) > 256 || quoted[1:len(quoted)-1] != name || strings.HasPrefix(name, "-") || strings.ContainsAny(name, "$`!") {
		return "NAME"
	}
	return quoted
}

// Reason names the error in a dead-letter queue.
func (e *MismatchError) Reason() string { return "mismatch" }

// RejectedError says that the name has failed for good: now, when Err is set,
// or earlier. A name is also rejected when its last attempt ends without an outcome,
// because its worker died, for example.
type RejectedError struct {
	forGood

	Name     string // the name
	Attempts int    // attempts counted
	Text     string // the recorded failure
	Err      error  // the handler's error, when this attempt was the one rejected
	why      string
}

// Why a name was rejected, other than by a permanent error.
const (
	whyUsedUp  = "attempts used up"
	whyStopped = "stopped"
)

// Error implements error. The way out stands before the failure, which may be cut.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("%q is rejected after attempt %d (to run it again: producer resolve %s --retry, then redrive): %s",
		e.Name, e.Attempts, argument(e.Name), e.Text)
}

// Unwrap returns the handler's error, or nil.
func (e *RejectedError) Unwrap() error { return e.Err }

// AttemptsCounted returns Attempts.
func (e *RejectedError) AttemptsCounted() int { return e.Attempts }

// Reason names the error in a dead-letter queue: "rejected", "attempts used
// up", or "stopped".
func (e *RejectedError) Reason() string {
	if e.why != "" {
		return e.why
	}
	return "rejected"
}

// UnknownOutcomeError says that it is not known whether the work was done, and
// that it is not run again without an operator's word.
type UnknownOutcomeError struct {
	forGood

	Name     string // the name
	Attempts int    // attempts counted
	Text     string // what is known
	Err      error  // the handler's error, when this attempt was the one parked
}

// Error implements error. The way out stands before the failure, which may be cut.
func (e *UnknownOutcomeError) Error() string {
	name := argument(e.Name)
	return fmt.Sprintf("the outcome of %q is unknown (if its work was done: producer resolve %s --completed; "+
		"to run it again: producer resolve %s --retry, then redrive): %s", e.Name, name, name, e.Text)
}

// Unwrap returns the handler's error, or nil.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// AttemptsCounted returns Attempts.
func (e *UnknownOutcomeError) AttemptsCounted() int { return e.Attempts }

// Reason names the error in a dead-letter queue.
func (e *UnknownOutcomeError) Reason() string { return "unknown outcome" }

// failedError is the error of an attempt that failed and will be tried again.
type failedError struct {
	attempts int
	shared   bool // the error is that of a batch, and the attempt does not count
	err      error
}

func (e *failedError) Error() string { return e.err.Error() }
func (e *failedError) Unwrap() error { return e.err }

// Permanent reports false, whatever the handler's error says: the record will be tried
// again. A handler whose lease was lost cannot reject the name.
func (e *failedError) Permanent() bool { return false }

// Shared reports whether the message is no more to blame than others.
func (e *failedError) Shared() bool { return e.shared }

// AttemptsCounted returns how many attempts the name has had.
func (e *failedError) AttemptsCounted() int { return e.attempts }

// leftAlone is the error of an attempt whose message must neither be deleted
// nor released: somebody else owns the outcome, or it could not be recorded.
type leftAlone struct {
	attempts int
	taken    bool // over, by another attempt: the record is in order, and not ours
	err      error
}

func (e *leftAlone) Error() string { return e.err.Error() }
func (e *leftAlone) Unwrap() error { return e.err }

// Keep reports true: leave the message as it is.
func (e *leftAlone) Keep() bool { return true }

// Reason names the error in a dead-letter queue, for a message that can be
// neither looked at again nor delivered again. It is empty when the record
// could not be written or read: then SQS's own move is the honest one.
func (e *leftAlone) Reason() string {
	if e.taken {
		return (*InProgressError)(nil).Reason()
	}
	return ""
}

// AttemptsCounted returns how many attempts the name has had.
func (e *leftAlone) AttemptsCounted() int { return e.attempts }

// unavailable is the error of a call that a dependency's recovery will cure.
type unavailable struct {
	released bool // an attempt whose record has been released: not the store is down, but what the work needs
	err      error
}

func (e *unavailable) Error() string { return e.err.Error() }
func (e *unavailable) Unwrap() error { return e.err }

// Reason names the error in a dead-letter queue, for a message that can be
// neither tried again nor delivered again. It is empty when the store is down:
// nobody knows what the record says, and the message is left alone.
func (e *unavailable) Reason() string {
	if e.released {
		return "target down"
	}
	return ""
}

// Unavailable reports true: nothing was counted; try again in place.
func (e *unavailable) Unavailable() bool { return true }

// unavailableFor is unavailable, of an attempt that has left work running elsewhere:
// its name stays held until that must be over.
type unavailableFor struct {
	unavailable
	after time.Duration // until then, with the skew margin
}

// RetryAfter returns how long the name stays held.
func (e *unavailableFor) RetryAfter() time.Duration { return e.after }

// leftRunning is the error of an attempt that has left work running elsewhere: the
// name stays held until that must be over.
type leftRunning struct {
	attempts int
	after    time.Duration // until then, with the skew margin
	stopped  bool          // the caller stops; the attempt does not count
	shared   bool          // a batch failed as a whole; the attempt does not count
	err      error
}

func (e *leftRunning) Error() string {
	return fmt.Sprintf("%v; the name stays held for %s", e.err, e.after.Round(time.Millisecond))
}

func (e *leftRunning) Unwrap() []error {
	if e.stopped {
		return []error{context.Canceled, e.err}
	}
	return []error{e.err}
}

// Shared reports whether the message is no more to blame than others.
func (e *leftRunning) Shared() bool { return e.shared }

// Left reports true: until the work elsewhere is over, trying again is no use.
func (e *leftRunning) Left() bool { return true }

// Deferred reports true, for the same reason.
func (e *leftRunning) Deferred() bool { return true }

// RetryAfter returns how long the name stays held.
func (e *leftRunning) RetryAfter() time.Duration { return e.after }

// AttemptsCounted returns how many attempts the name has had.
func (e *leftRunning) AttemptsCounted() int { return e.attempts }

// stopped is the error of an attempt that was cancelled because its caller
// stops; its record has been released.
type stopped struct {
	attempts int
	err      error
}

func (e *stopped) Error() string   { return "stopped before its outcome mattered: " + e.err.Error() }
func (e *stopped) Unwrap() []error { return []error{context.Canceled, e.err} }

// AttemptsCounted returns how many attempts the name has had.
func (e *stopped) AttemptsCounted() int { return e.attempts }
