package consumer

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
)

// Defaults of [Config].
const (
	defaultConcurrency  = 50
	defaultVisibility   = 60 * time.Second
	defaultPollWait     = 20 * time.Second
	defaultDrainTimeout = 25 * time.Second
	defaultBackoff      = 10 * time.Second
	defaultMaxBackoff   = 15 * time.Minute
	defaultWaitingBytes = 64 << 20
)

// Fixed times and bounds.
const (
	callDeadline    = 5 * time.Second  // of every call but a long poll
	pollGrace       = 10 * time.Second // of silence: beyond a long poll's wait, or within its answer
	maxAckBackoff   = 8 * time.Second  // between failed tries to end a message
	stopGrace       = time.Second      // for cancelled handlers to return
	settleTime      = 3 * time.Second  // for what they leave to be recorded and answered
	livenessLimit   = 60 * time.Second // without a sign of the receiver
	queueDownAfter  = 60 * time.Second // of receives that fail
	backlogAnswer   = 5 * time.Second  // a receive that is answered sooner met a backlog: more receives may be out
	overdueGrace    = 10 * time.Second // after the end of a handler's time
	overdueAgain    = time.Minute      // a handler is called overdue once more
	sentBackAfter   = 15 * time.Minute // when a message is visible again that found no room to wait
	minVisibility   = 10 * time.Second // below it a heartbeat and a call's deadline do not fit
	maxVisibility   = maxHold          // what SQS accepts
	minPollWait     = time.Second      // below it a receive would be a short poll
	minDrainTimeout = time.Second      // below it no handler would be let finish
	minBackoff      = time.Second      // SQS counts in seconds
	maxWaiting      = 1_000            // messages that wait here
	waitingPerSlot  = 10               // or so many on a FIFO queue, where groups come with followers
	acksPerSlot     = 10               // unanswered acks per slot at which receiving stops
	leastMaxAcks    = 500              // or this many, or two per slot
	heartbeatShare  = 3                // a heartbeat every third of the visibility timeout
	jitterShare     = 10               // give or take a tenth of that
)

var (
	pollBackoff  = backoff.Policy{First: time.Second, Max: 20 * time.Second}    // between failed receives; below the liveness limit
	redriveEvery = backoff.Policy{First: 5 * time.Minute, Max: 5 * time.Minute} // the redrive policy is read again
)

// Config says how a [Consumer] works. The zero value of a field, QueueURL
// apart, means its default. [New] checks all of it and reports every problem.
type Config struct {
	// QueueURL is the queue to work on. Required. A name that ends in .fifo
	// makes it a FIFO queue.
	QueueURL string

	// DLQURL is the dead-letter queue for copies with a reason. Default: the
	// target of the queue's redrive policy. Must not be QueueURL. When there is
	// neither, a message that would be dead-lettered is left in the queue, which
	// is logged as an error.
	DLQURL string

	// Concurrency is the number of slots: messages handled at a time. Default
	// 50; at least 1.
	Concurrency int

	// Visibility is the visibility timeout set on each receive and kept up by
	// the heartbeat, which beats every third of it, give or take a tenth of
	// that. A crashed worker's messages are seen by others after at most this
	// long. Default 60s; 10s to 12h, whole seconds. With package dedupe its
	// lease must end before that: Lease + Skew <= [Config.LeaseBound].
	Visibility time.Duration

	// PollWait is how long a receive waits for messages. Default 20s, which is
	// also the most SQS allows; at least 1s, whole seconds. A stop waits for
	// the poll that is out, at most DrainTimeout, so that no message is
	// stranded in a lost answer: DrainTimeout should not be shorter.
	PollWait time.Duration

	// DrainTimeout is how long handlers may go on after a stop. Default 25s; at
	// least 1s. [Config.StopTime] must be less than the platform's own stop
	// timeout. Where the queue's maxReceiveCount is 1 it should be at least
	// PollWait plus the longest handler: a shorter one is warned about.
	DrainTimeout time.Duration

	// Backoff is the base of the delay after a failure: a random time up to
	// Backoff, doubled with each receive, up to MaxBackoff. Default 10s; at
	// least 1s.
	Backoff time.Duration

	// MaxBackoff bounds the delay after a failure that does not name its own.
	// Default 15m; from Backoff to 12h.
	MaxBackoff time.Duration

	// Rate is how many messages may be begun a second, in bursts of at most that
	// many. 0 means no limit; must not be negative. No more are received than may
	// be begun within a second. Refusals lower the rate for a while; see [Decide].
	Rate float64

	// GroupConcurrency is how many messages of one group are handled at a time, and GroupRate
	// how many of it may be begun a second, in bursts of at most that many, by this consumer.
	// Others wait here without a slot, as those do that MaxWaitingBytes bounds: at most 1,000
	// (on FIFO queues 10 per slot if that is more). At the bound nothing is received. 0 means
	// no limit; neither may be negative.
	GroupConcurrency int
	GroupRate        float64

	// GroupBy returns the group that GroupConcurrency and GroupRate count a message for; one
	// without a group has no limit. It is called for several messages at a time. Default: the
	// message group, as [Message] has it.
	GroupBy func(Message) string

	// MaxWaitingBytes bounds the bodies of the messages that wait here without a
	// slot: held, parked, refused, or behind the head of a FIFO group. Default
	// 64 MiB; at least 1 MiB, which is one message.
	MaxWaitingBytes int

	// HandlerTimeout is how long a handler may take before its context is
	// cancelled with [context.DeadlineExceeded]. Default 0: no limit. The slot stays
	// taken until the handler has returned; see Hooks.Overdue.
	HandlerTimeout time.Duration

	// CancelOnLostReceipt cancels a handler's context with [ErrReceiptLost]
	// when SQS refuses the message's receipt handle, or after the 12 hours that
	// a message may be held. SQS refuses the handle of a deleted message, and on
	// a FIFO queue an expired one. A standard queue tells nothing of a message
	// that is still there: it takes an expired handle and that of an earlier
	// delivery, so that a handler whose message was received elsewhere goes on.
	// (Recorded by LocalStack; docs/consumer.md has the tests.) Default false:
	// leave it off where a lease guards the work, because the other delivery is
	// deferred then.
	CancelOnLostReceipt bool

	// Name returns a message's name for logs, dead-letter copies and
	// [Consumer.Flights], and whether it has one. It is called at most once for
	// a message, for several at a time. Default: the attribute sqsonce.name.
	Name func(Message) (string, bool)

	// Logger gets what an operator should know. Default [slog.Default].
	Logger *slog.Logger

	// Hooks are called on events; see [Hooks]. Default: none.
	Hooks Hooks
}

// Heartbeat returns the longest time between two extensions of a message's
// visibility timeout.
func (c Config) Heartbeat() time.Duration {
	every := cmp.Or(c.Visibility, defaultVisibility) / heartbeatShare
	return every + every/jitterShare
}

// LeaseBound returns how long a lease on the work of a message, clock skew
// included, may last so that a crashed worker's message comes back to a name
// that is free: what is left of the visibility timeout when a heartbeat is due,
// less the time that its call may take.
func (c Config) LeaseBound() time.Duration {
	return cmp.Or(c.Visibility, defaultVisibility) - c.Heartbeat() - callDeadline
}

// StopTime returns how long [Consumer.Run] may take to return after a stop:
// the drain, a second for cancelled handlers to return, and three to settle
// what they leave.
func (c Config) StopTime() time.Duration {
	return cmp.Or(c.DrainTimeout, defaultDrainTimeout) + stopGrace + settleTime
}

// withDefaults returns a copy of c with the defaults filled in.
func (c Config) withDefaults() Config {
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	c.Visibility = cmp.Or(c.Visibility, defaultVisibility)
	c.PollWait = cmp.Or(c.PollWait, defaultPollWait)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, defaultDrainTimeout)
	c.Backoff = cmp.Or(c.Backoff, defaultBackoff)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, max(defaultMaxBackoff, c.Backoff))
	c.MaxWaitingBytes = cmp.Or(c.MaxWaitingBytes, defaultWaitingBytes)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Name == nil {
		c.Name = func(m Message) (string, bool) { return m.Attribute(AttrName) }
	}
	if c.GroupBy == nil {
		c.GroupBy = func(m Message) string { return m.GroupID }
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
	if c.Visibility < minVisibility || c.Visibility > maxVisibility || c.Visibility%time.Second != 0 {
		bad("Visibility %s: must be whole seconds from %s to %s", c.Visibility, minVisibility, maxVisibility)
	}
	if c.PollWait < minPollWait || c.PollWait > defaultPollWait || c.PollWait%time.Second != 0 {
		bad("PollWait %s: must be whole seconds from %s to %s", c.PollWait, minPollWait, defaultPollWait)
	}
	if c.DrainTimeout < minDrainTimeout {
		bad("DrainTimeout %s: must be at least %s", c.DrainTimeout, minDrainTimeout)
	}
	if c.Backoff < minBackoff {
		bad("Backoff %s: must be at least %s", c.Backoff, minBackoff)
	}
	if c.MaxBackoff < c.Backoff || c.MaxBackoff > maxVisibility {
		bad("MaxBackoff %s: must be between Backoff %s and %s", c.MaxBackoff, c.Backoff, maxVisibility)
	}
	if !(c.Rate >= 0) { // a NaN is wrong too
		bad("Rate %g: must not be negative", c.Rate)
	}
	if c.GroupConcurrency < 0 {
		bad("GroupConcurrency %d: must not be negative", c.GroupConcurrency)
	}
	if !(c.GroupRate >= 0) {
		bad("GroupRate %g: must not be negative", c.GroupRate)
	}
	if c.MaxWaitingBytes < maxMessageBytes {
		bad("MaxWaitingBytes %d: must be at least %d", c.MaxWaitingBytes, maxMessageBytes)
	}
	if c.HandlerTimeout < 0 {
		bad("HandlerTimeout %s: must not be negative", c.HandlerTimeout)
	}
	return errors.Join(errs...)
}

func (c Config) fifo() bool { return strings.HasSuffix(c.QueueURL, ".fifo") }
