// Package failure lists what an error of a handler may say about itself.
//
// The guard (package dedupe) and the pool (package consumer) do not know each
// other, and neither knows the packages whose errors a handler returns. They meet
// in methods: an error that has one of the methods below, anywhere in its tree,
// answers the question that its doc comment asks. An error type needs to import
// nothing for that. The interfaces stand here, in a package of their own, because
// guard and pool ask the same questions and may not import each other.
//
// An error without any of these methods is an ordinary failure: the attempt
// counts, and is tried again until its attempts are used up.
//
// For each interface, "guard" says how the attempt's record ends and "pool" what
// happens to the message. If several apply, the guard judges in the order Permanent,
// Down, Unavailable, Deferred, Refused, Snoozed; the pool in the order Keep, Refused,
// Unavailable, Left, Snoozed, Deferred, Permanent.
package failure

import (
	"errors"
	"time"
)

// Permanent says that no retry can succeed.
//
// Guard: the name is rejected. Pool: the message is dead-lettered.
type Permanent interface {
	error
	Permanent() bool
}

// Down says that the work never began, because something that it needs could not
// be reached.
//
// Guard: the attempt is released and does not count; the error becomes Unavailable.
type Down interface {
	error
	Down() bool
}

// Unavailable says that something the work needs is known to be down for every
// message, so that the error tells nothing about this one.
//
// Guard: the attempt is released and does not count. Pool: the message waits in the
// worker and is tried again.
type Unavailable interface {
	error
	Unavailable() bool
}

// Deferred says that the work was not tried, and should be, later: another attempt
// is at it, or the target asks for patience. It is no failure.
//
// Pool: the message is handled again after RetryAfter.
type Deferred interface {
	error
	Deferred() bool
}

// Refused says that something the work needs wants fewer requests, such as an HTTP
// target that answers 429. Nothing was done.
//
// Guard: the attempt is released and does not count. Pool: the message waits in the
// worker for RetryAfter and is the next to be handled then; messages are begun more
// slowly.
type Refused interface {
	error
	Refused() bool
}

// Snoozed says that the time for the work has not come. It is no failure.
//
// Guard: the attempt is released and does not count. Pool: the message waits in the
// worker for RetryAfter.
type Snoozed interface {
	error
	Snoozed() bool
}

// Left says that the attempt is over here, that it counts, and that nothing can be
// done about the message until RetryAfter.
//
// Pool: the message is released for exactly as long. On its last receive, and at the
// head of a FIFO group, it waits in the worker.
type Left interface {
	error
	Left() bool
}

// RetryAfter says how long to wait before the next try. Zero or less means that
// the pool chooses.
type RetryAfter interface {
	error
	RetryAfter() time.Duration
}

// OutcomeUnknown says that the work may or may not have been done.
//
// Guard: the name is UNKNOWN under Config.Hold; otherwise an ordinary failure.
type OutcomeUnknown interface {
	error
	OutcomeUnknown() bool
}

// StillRunning says that the work may still run elsewhere, at most until the given
// time: a request was sent, and its answer did not come. A zero or past time says
// nothing.
//
// Guard: under Config.Hold the name is UNKNOWN at once. Otherwise the attempt ends
// and the name stays held until then, so that the handler's goroutine and the pool's
// slot are free; the error becomes Deferred, with RetryAfter. The attempt counts,
// unless its caller stopped.
type StillRunning interface {
	error
	RunningUntil() time.Time
}

// Keep says that the message must be left as it is: its outcome belongs to another
// attempt, or could not be recorded.
//
// Pool: the message is neither deleted nor released.
type Keep interface {
	error
	Keep() bool
}

// Reason names the error in a dead-letter queue, in a few words. An empty reason
// says nothing.
type Reason interface {
	error
	Reason() string
}

// AttemptsCounted says how many attempts the name has had.
type AttemptsCounted interface {
	error
	AttemptsCounted() int
}

// Is reports whether the first error in err's tree that has behaviour T shows it:
//
//	failure.Is(err, failure.Permanent.Permanent)
func Is[T error](err error, shows func(T) bool) bool {
	e, ok := errors.AsType[T](err)
	return ok && shows(e)
}
