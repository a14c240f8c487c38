// Package failure defines the methods by which a handler's error classifies itself.
//
// The guard (package dedupe) and the pool (package consumer) look for these methods in the whole
// tree of an error, as errors.As does. An error type that has one of them needs no import. The
// interfaces have their own package because guard and pool use the same ones and do not import
// each other.
//
// An error without any of these methods is an ordinary failure: the attempt counts, and the work
// is tried again until the attempts are used up.
//
// For each interface, "Guard" is the effect on the name's record and "Pool" the effect on the
// message. If several apply, the guard takes the first of Shared, Permanent, Down, Unavailable,
// Deferred, Refused, Snoozed, Stopped, NotBegun, and the pool the first of Keep, Refused,
// Unavailable, Left, Snoozed, Deferred, Permanent, NotBegun, Shared.
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

// Down says that the work never began, because a dependency could not be reached.
//
// Guard: the attempt is released and does not count; the error becomes Unavailable.
type Down interface {
	error
	Down() bool
}

// Unavailable says that a dependency is down for every message. The error does not count against
// the message.
//
// Guard: the attempt is released and does not count. Pool: the message waits in the worker and is
// tried again.
type Unavailable interface {
	error
	Unavailable() bool
}

// Deferred says that the work was not tried and should be tried later, for instance because
// another attempt is running. It is no failure.
//
// Pool: the message is handled again after RetryAfter.
type Deferred interface {
	error
	Deferred() bool
}

// Refused says that a dependency asks for fewer requests, such as an HTTP target that answers 429.
// The work was not done.
//
// Guard: the attempt is released and does not count. Pool: the message waits in the worker for
// RetryAfter and is then handled before any other; the pool lowers its rate of attempts.
type Refused interface {
	error
	Refused() bool
}

// Snoozed says that the work is not due yet. It is no failure.
//
// Guard: the attempt is released and does not count. Pool: the message waits in the
// worker for RetryAfter.
type Snoozed interface {
	error
	Snoozed() bool
}

// Shared says that the error belongs to several messages together: a batch failed as a whole, or
// was cancelled because of another of its messages. The error does not count against the message.
//
// Guard: the attempt does not count. It is released, or stays held (see [StillRunning]). Under
// Config.Hold the name becomes UNKNOWN if its outcome is unknown. Pool: the message waits in the
// worker for RetryAfter; package consumer's Batch then handles it alone.
type Shared interface {
	error
	Shared() bool
}

// NotBegun says that the call ended before the work began, for instance while the message waited
// for others of its batch.
//
// Guard: the attempt is released and does not count. After a stop of the caller, on the last
// delivery, its reason is "stopped". The name never becomes UNKNOWN. Pool: the message waits in the
// worker for RetryAfter; at a stop it becomes visible, or on its last receive is dead-lettered
// with the reason "stopped".
type NotBegun interface {
	error
	NotBegun() bool
}

// Left says that the attempt has ended and counts. No attempt can start before RetryAfter.
//
// Pool: the message becomes visible after exactly RetryAfter. On its last receive, and at the head
// of a FIFO group, it waits in the worker instead.
type Left interface {
	error
	Left() bool
}

// RetryAfter is the wait before the next attempt. With zero or less the pool chooses the wait.
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

// Stopped says that the attempt failed because its process and a dependency were stopped together.
//
// Guard: as if the caller had cancelled the attempt. It does not count, and on the last delivery
// its reason is "stopped". Under Config.Hold an unknown outcome becomes UNKNOWN.
type Stopped interface {
	error
	Stopped() bool
}

// StillRunning says that the work may still run elsewhere until the returned time, such as a
// request that was sent but not answered. A zero or past time has no effect.
//
// Guard: under Config.Hold the name becomes UNKNOWN at once. Otherwise the attempt ends, which
// frees the handler's goroutine and the pool's slot, and the name stays held until that time. The
// error becomes Deferred, with RetryAfter. The attempt counts, unless its caller stopped or
// the error is also [Stopped].
type StillRunning interface {
	error
	RunningUntil() time.Time
}

// Keep says that the message must stay in the queue, because another attempt decides its outcome
// or because the outcome could not be recorded.
//
// Pool: the message is neither deleted nor released. It becomes visible when its visibility timeout
// ends.
type Keep interface {
	error
	Keep() bool
}

// Reason is a short text for the dead-letter queue. An empty text has no effect.
type Reason interface {
	error
	Reason() string
}

// AttemptsCounted is the number of attempts that the name has had.
type AttemptsCounted interface {
	error
	AttemptsCounted() int
}

// Is finds the first error in err's tree that implements T and returns the result of its method. It
// returns false if there is none, or if err is nil:
//
//	failure.Is(err, failure.Permanent.Permanent)
func Is[T error](err error, shows func(T) bool) bool {
	e, ok := errors.AsType[T](err)
	return ok && shows(e)
}
