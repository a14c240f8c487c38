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

// Sentinel errors for [errors.Is].
var (
	// ErrLeaseLost is the cause of a handler's cancelled context when its lease cannot be renewed
	// in time. It is also wrapped by the error of an attempt after another one has taken over. Such
	// an attempt must not settle its message, because the new holder owns the outcome.
	ErrLeaseLost = errors.New("lease lost")

	// ErrUnavailable is wrapped when the store did not answer or refused a call. Either the work
	// did not start, or its outcome could not be recorded.
	ErrUnavailable = errors.New("store unavailable")

	// ErrResult is wrapped when a name is completed but its recorded result does not decode into
	// the caller's type, for example after a change of that type. The work is done and does not run
	// again.
	ErrResult = errors.New("recorded result cannot be decoded")

	// ErrUnreadable is wrapped when the stored record was written by a newer release, or is not a
	// record. The message must stay in the queue.
	ErrUnreadable = errors.New("record not readable by this release")
)

// forGood makes an error a [failure.Permanent].
type forGood struct{}

// Permanent returns true: no retry can succeed.
func (forGood) Permanent() bool { return true }

// InProgressError is returned when another attempt holds the name. It is no failure: the caller
// should ask again after the lease has ended.
type InProgressError struct {
	Name  string        // the held name
	Until time.Time     // recorded end of the lease; zero if this process holds the name
	After time.Duration // delay until the caller should ask again
}

// Error implements error.
func (e *InProgressError) Error() string {
	return fmt.Sprintf("%q is in progress elsewhere; try again in %s", e.Name, e.After)
}

// Deferred returns true: the message is tried again later, and no failure counts.
func (e *InProgressError) Deferred() bool { return true }

// RetryAfter returns After.
func (e *InProgressError) RetryAfter() time.Duration { return e.After }

// Reason returns the reason for a dead letter, "in progress elsewhere".
func (e *InProgressError) Reason() string { return "in progress elsewhere" }

// MismatchError is returned when the name was used before with a different payload.
type MismatchError struct {
	forGood

	Name      string          // the name
	Status    protocol.Status // status of the record with the other payload
	MessageID string          // message of the last claim; may be empty
	Differs   string          // the compared part of the payload, see [Key]; empty means all of it
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
	return fmt.Sprintf("%q was used before%s and %s differs (record is %s); to run it anyway: producer %s, then redrive",
		e.Name, by, what, e.Status, way)
}

// argument returns the name as a shell argument in double quotes. It returns NAME if the name is
// long, or if the shell or the command would read it differently.
func argument(name string) string {
	quoted := strconv.Quote(name)
	if len(quoted) > 256 || quoted[1:len(quoted)-1] != name || strings.HasPrefix(name, "-") || strings.ContainsAny(name, "$`!") {
		return "NAME"
	}
	return quoted
}

// Reason returns the reason for a dead letter, "mismatch".
func (e *MismatchError) Reason() string { return "mismatch" }

// RejectedError is returned when the name has failed for good, now (Err is set) or earlier. A name
// is also rejected when its last attempt ends without an outcome, for example because its worker
// died.
type RejectedError struct {
	forGood

	Name     string // the name
	Attempts int    // counted attempts
	Text     string // the recorded failure
	Err      error  // the handler's error if this attempt was rejected, else nil
	why      string
}

// Reasons of a rejection without a permanent error.
const (
	whyUsedUp  = "attempts used up"
	whyStopped = "stopped"
)

// Error implements error. The advice precedes the failure, because the end of a text may be cut.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("%q is rejected after attempt %d (to run it again: producer resolve %s --retry, then redrive): %s",
		e.Name, e.Attempts, argument(e.Name), e.Text)
}

// Unwrap returns the handler's error, or nil.
func (e *RejectedError) Unwrap() error { return e.Err }

// AttemptsCounted returns Attempts.
func (e *RejectedError) AttemptsCounted() int { return e.Attempts }

// Reason returns the reason for a dead letter: "rejected", "attempts used up", or "stopped".
func (e *RejectedError) Reason() string {
	if e.why != "" {
		return e.why
	}
	return "rejected"
}

// UnknownOutcomeError is returned when it is not known whether the work was done. The name does not
// run again until an operator decides.
type UnknownOutcomeError struct {
	forGood

	Name     string // the name
	Attempts int    // counted attempts
	Text     string // text of the last failure
	Err      error  // the handler's error if this attempt became UNKNOWN, else nil
}

// Error implements error. The advice precedes the failure, because the end of a text may be cut.
func (e *UnknownOutcomeError) Error() string {
	name := argument(e.Name)
	return fmt.Sprintf("the outcome of %q is unknown (if its work was done: producer resolve %s --completed; "+
		"to run it again: producer resolve %s --retry, then redrive): %s", e.Name, name, name, e.Text)
}

// Unwrap returns the handler's error, or nil.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// AttemptsCounted returns Attempts.
func (e *UnknownOutcomeError) AttemptsCounted() int { return e.Attempts }

// Reason returns the reason for a dead letter, "unknown outcome".
func (e *UnknownOutcomeError) Reason() string { return "unknown outcome" }

// failedError is the error of a failed attempt on a name that will be tried again.
type failedError struct {
	attempts int
	shared   bool // the error is of a whole batch, and the attempt does not count
	err      error
}

func (e *failedError) Error() string { return e.err.Error() }
func (e *failedError) Unwrap() error { return e.err }

// Permanent returns false, even if the handler's error is permanent, because the record allows
// another attempt. A handler that has lost its lease cannot reject the name.
func (e *failedError) Permanent() bool { return false }

// Shared reports whether the error is of a whole batch.
func (e *failedError) Shared() bool { return e.shared }

// AttemptsCounted returns the name's number of attempts.
func (e *failedError) AttemptsCounted() int { return e.attempts }

// leftAlone is the error of an attempt that must neither delete nor release its message: another
// attempt owns the outcome, or the outcome could not be recorded.
type leftAlone struct {
	attempts int
	taken    bool // another attempt has taken over, and the record is valid
	err      error
}

func (e *leftAlone) Error() string { return e.err.Error() }
func (e *leftAlone) Unwrap() error { return e.err }

// Keep returns true: the message keeps its visibility timeout.
func (e *leftAlone) Keep() bool { return true }

// Reason returns the reason for a dead letter, for a message without further tries or deliveries.
// It is empty if the record could not be written or read, because then no reason is known.
func (e *leftAlone) Reason() string {
	if e.taken {
		return (*InProgressError)(nil).Reason()
	}
	return ""
}

// AttemptsCounted returns the name's number of attempts.
func (e *leftAlone) AttemptsCounted() int { return e.attempts }

// unavailable is the error of an attempt that waits for the recovery of a dependency.
type unavailable struct {
	released bool // the record was released, so the store works and another dependency is down
	err      error
}

func (e *unavailable) Error() string { return e.err.Error() }
func (e *unavailable) Unwrap() error { return e.err }

// Reason returns the reason for a dead letter, for a message without further tries or deliveries.
// It is empty if the store is down, because the state of the record is not known.
func (e *unavailable) Reason() string {
	if e.released {
		return "target down"
	}
	return ""
}

// Unavailable returns true: nothing was counted, and the message is tried again in place.
func (e *unavailable) Unavailable() bool { return true }

// unavailableFor is unavailable for an attempt that has left work running elsewhere. Its name stays
// held until that work must be over.
type unavailableFor struct {
	unavailable
	after time.Duration // until the end of that work, plus Skew
}

// RetryAfter returns how long the name stays held.
func (e *unavailableFor) RetryAfter() time.Duration { return e.after }

// leftRunning is the error of an attempt that has left work running elsewhere. The name stays held
// until that work must be over.
type leftRunning struct {
	attempts int
	after    time.Duration // until the end of that work, plus Skew
	stopped  bool          // the caller stops, and the attempt does not count
	shared   bool          // a batch failed as a whole, and the attempt does not count
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

// Shared reports whether the error is of a whole batch.
func (e *leftRunning) Shared() bool { return e.shared }

// Left returns true: a retry makes no sense before the end of the work elsewhere.
func (e *leftRunning) Left() bool { return true }

// Deferred returns true, as the message is tried again later.
func (e *leftRunning) Deferred() bool { return true }

// RetryAfter returns how long the name stays held.
func (e *leftRunning) RetryAfter() time.Duration { return e.after }

// AttemptsCounted returns the name's number of attempts.
func (e *leftRunning) AttemptsCounted() int { return e.attempts }

// stopped is the error of an attempt that was cancelled because its caller stops. Its record has
// been released.
type stopped struct {
	attempts int
	err      error
}

func (e *stopped) Error() string   { return "stopped without an outcome: " + e.err.Error() }
func (e *stopped) Unwrap() []error { return []error{context.Canceled, e.err} }

// AttemptsCounted returns the name's number of attempts.
func (e *stopped) AttemptsCounted() int { return e.attempts }
