package consumer

import (
	"errors"
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

// ErrAbandoned is wrapped by the error of Run when handlers ignored the
// cancellation of their context; the error names their messages, which are left
// to their visibility timeout.
var ErrAbandoned = errors.New("handlers ignored their cancellation and were left behind")

// Behaviour that a handler's error may have, asked for by method so that the
// packages that return such errors need not import this one.
type (
	// retryAfterer says how long to wait before the next try.
	retryAfterer interface {
		error
		RetryAfter() time.Duration
	}
	// permanenter says that no retry can cure it.
	permanenter interface {
		error
		Permanent() bool
	}
	// deferrer says that it is no failure: somebody else is at work.
	deferrer interface {
		error
		Deferred() bool
	}
	// keeper says that the message must be left as it is: its outcome belongs
	// to somebody else, or is not recorded.
	keeper interface {
		error
		Keep() bool
	}
	// unavailabler says that something the handler depends on is down and that
	// nothing was counted against the message.
	unavailabler interface {
		error
		Unavailable() bool
	}
	// reasoner names the error in a dead-letter queue, in a few words.
	reasoner interface {
		error
		Reason() string
	}
	// attempter knows how many attempts were counted.
	attempter interface {
		error
		AttemptsCounted() int
	}
)
