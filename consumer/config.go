package consumer

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Defaults of [Config].
const (
	DefaultConcurrency  = 50
	DefaultVisibility   = 60 * time.Second
	DefaultPollWait     = 20 * time.Second
	DefaultDrainTimeout = 25 * time.Second
	DefaultBackoff      = 10 * time.Second
	DefaultMaxBackoff   = 15 * time.Minute
)

// Fixed times and bounds.
const (
	callDeadline    = 5 * time.Second  // of every call but a long poll
	pollGrace       = 10 * time.Second // a long poll's deadline beyond its wait
	maxPollBackoff  = 20 * time.Second // between failed receives; below the liveness limit
	maxAckBackoff   = 5 * time.Second  // between failed tries to end a message
	stopGrace       = time.Second      // for cancelled handlers to return
	settleTime      = 3 * time.Second  // for what they leave to be recorded and answered
	livenessLimit   = 60 * time.Second // without a sign of the receive loop
	maxVisibility   = maxHold          // what SQS accepts
	maxWaiting      = 1_000            // parked messages and lane followers
	maxWaitingBytes = 64 << 20         // their bodies
	acksPerSlot     = 10               // unanswered acks per slot at which receiving stops
	heartbeatShare  = 3                // a heartbeat every third of the visibility timeout
	jitterShare     = 10               // give or take a tenth of that
)

// Config says how a [Consumer] works. The zero value of a field, QueueURL
// apart, means its default.
type Config struct {
	// QueueURL is the queue to work on. Required.
	QueueURL string

	// DLQURL is the dead-letter queue for copies with a reason. Default: the
	// target of the queue's redrive policy. When there is none, a message that
	// would be dead-lettered is left in the queue, which is logged as an error.
	DLQURL string

	// Concurrency is the number of slots: messages handled at a time. Default
	// 50; at least 1.
	Concurrency int

	// Visibility is the visibility timeout set on each receive and kept up by
	// the heartbeat, which beats every third of it, give or take a tenth of
	// that. A crashed worker's messages are seen by others after at most this
	// long. Default 60s; 10s to 12h, whole seconds. With package dedupe its
	// lease + skew must fit between two thirds of it and a call's deadline:
	// Lease + Skew <= Visibility - Heartbeat() - 5s.
	Visibility time.Duration

	// PollWait is how long a receive waits for messages. Default 20s, which is
	// also the most SQS allows; at least 1s, whole seconds. A stop waits for
	// the poll that is out, so that no message is stranded in a lost answer.
	PollWait time.Duration

	// DrainTimeout is how long handlers may go on after a stop. Default 25s; at
	// least 1s. DrainTimeout + 4s (a grace and the settling of outcomes) must be
	// less than the platform's own stop timeout.
	DrainTimeout time.Duration

	// Backoff is the base of the delay after a failure: a random time up to
	// Backoff, doubled with each receive, up to MaxBackoff. Defaults 10s and
	// 15m; MaxBackoff at most 12h.
	Backoff    time.Duration
	MaxBackoff time.Duration

	// Rate is how many messages may be started a second; 0 means no limit.
	Rate float64

	// CancelOnLostReceipt cancels a handler's context with [ErrReceiptLost]
	// when SQS says that the message is no longer ours. Leave it off where a
	// lease guards the work: the other delivery is deferred then.
	CancelOnLostReceipt bool

	// Name returns a message's name for logs and dead-letter copies, and
	// whether it has one. Default: the attribute sqsonce.name.
	Name func(Message) (string, bool)

	// Logger gets what an operator should know. Default [slog.Default].
	Logger *slog.Logger

	// Hooks are called on events; see [Hooks].
	Hooks Hooks
}

// Hooks observe. Each may be nil, is called synchronously, from several
// goroutines, and must not block.
type Hooks struct {
	// Received is called after each answered receive, with the number of
	// messages and how long the call took.
	Received func(n int, took time.Duration)
	// Handled is called after each run of the handler, with what was decided
	// and how long the handler took.
	Handled func(m Message, d Disposition, took time.Duration)
	// Failed is called when a call to SQS failed or one of its entries did.
	Failed func(operation string, err error)
}

// Heartbeat returns the longest time between two extensions of a message's
// visibility timeout.
func (c Config) Heartbeat() time.Duration {
	every := cmp.Or(c.Visibility, DefaultVisibility) / heartbeatShare
	return every + every/jitterShare
}

// withDefaults returns a copy of c with the defaults filled in.
func (c Config) withDefaults() Config {
	c.Concurrency = cmp.Or(c.Concurrency, DefaultConcurrency)
	c.Visibility = cmp.Or(c.Visibility, DefaultVisibility)
	c.PollWait = cmp.Or(c.PollWait, DefaultPollWait)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, DefaultDrainTimeout)
	c.Backoff = cmp.Or(c.Backoff, DefaultBackoff)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, DefaultMaxBackoff)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Name == nil {
		c.Name = func(m Message) (string, bool) { return m.Attribute(AttrName) }
	}
	return c
}

// validate reports everything that is wrong with c, defaults filled in.
func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.QueueURL == "" {
		bad("QueueURL: must be set")
	}
	if c.QueueURL != "" && c.QueueURL == c.DLQURL {
		bad("DLQURL %q: must not be the queue itself", c.DLQURL)
	}
	if c.Concurrency < 1 {
		bad("Concurrency %d: must be at least 1", c.Concurrency)
	}
	if c.Visibility < 10*time.Second || c.Visibility > maxVisibility || c.Visibility%time.Second != 0 {
		bad("Visibility %s: must be whole seconds from 10s to 12h", c.Visibility)
	}
	if c.PollWait < time.Second || c.PollWait > DefaultPollWait || c.PollWait%time.Second != 0 {
		bad("PollWait %s: must be whole seconds from 1s to 20s", c.PollWait)
	}
	if c.DrainTimeout < time.Second {
		bad("DrainTimeout %s: must be at least 1s", c.DrainTimeout)
	}
	if c.Backoff < time.Second {
		bad("Backoff %s: must be at least 1s", c.Backoff)
	}
	if c.MaxBackoff < c.Backoff || c.MaxBackoff > maxVisibility {
		bad("MaxBackoff %s: must be between Backoff %s and 12h", c.MaxBackoff, c.Backoff)
	}
	if c.Rate < 0 {
		bad("Rate %g: must not be negative", c.Rate)
	}
	return errors.Join(errs...)
}

func (c Config) fifo() bool { return strings.HasSuffix(c.QueueURL, ".fifo") }
