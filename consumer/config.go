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
	callDeadline    = 5 * time.Second  // of every call except a long poll
	pollGrace       = 10 * time.Second // of silence: beyond a long poll's wait, or within its answer
	maxAckBackoff   = 8 * time.Second  // between failed tries to settle a message
	stopGrace       = time.Second      // for cancelled handlers to return
	settleTime      = 3 * time.Second  // for their outcomes to be recorded and their messages to be settled
	livenessLimit   = 60 * time.Second // without a sign of life from the receiver
	queueDownAfter  = 60 * time.Second // of failing receives
	backlogAnswer   = 5 * time.Second  // a receive that is answered sooner found a backlog, so more receives may be out
	overdueGrace    = 10 * time.Second // after the handler's deadline
	overdueAgain    = time.Minute      // between two reports of the same overdue handler
	sentBackAfter   = 15 * time.Minute // delay of a message that is sent back because too many wait here
	minVisibility   = 10 * time.Second // a shorter one has no room for a heartbeat interval and a call
	maxVisibility   = maxHold          // what SQS accepts
	minPollWait     = time.Second      // SQS has no long poll below 1 second
	minDrainTimeout = time.Second      // a shorter drain would cancel every handler
	minBackoff      = time.Second      // SQS counts visibility in seconds
	maxWaiting      = 1_000            // messages that wait here
	waitingPerSlot  = 10               // the bound on a FIFO queue, if it is higher: groups arrive with their followers
	acksPerSlot     = 10               // unanswered acks per slot at which receiving stops
	leastMaxAcks    = 500              // upper bound on unanswered acks, or 2 per slot if that is higher
	heartbeatShare  = 3                // a heartbeat every third of the visibility timeout
	jitterShare     = 10               // give or take a tenth of that
)

var (
	pollBackoff  = backoff.Policy{First: time.Second, Max: 20 * time.Second}    // between failed receives; below the liveness limit
	redriveEvery = backoff.Policy{First: 5 * time.Minute, Max: 5 * time.Minute} // between two reads of the redrive policy
)

// Config configures a [Consumer]. Only QueueURL is required. The zero value of any other field
// means its default. [New] checks all fields and reports every problem.
type Config struct {
	// QueueURL is the URL of the queue. Required. It is a FIFO queue if the URL ends in ".fifo".
	QueueURL string

	// DLQURL is the URL of the dead-letter queue, which gets copies of failed messages with the
	// reason. It must not be QueueURL. Default: the target of the queue's redrive policy. If there
	// is neither, a message that should be dead-lettered stays in the queue, and an error is
	// logged.
	DLQURL string

	// Concurrency is the number of slots: the number of messages handled at a time. Default 50; at
	// least 1.
	Concurrency int

	// Visibility is the visibility timeout set by each receive and each heartbeat. A heartbeat is
	// sent every third of it, give or take a tenth of that. It is the longest time until other
	// workers see the messages of a crashed worker. Default 60s; 10s to 12h, whole seconds. With
	// package dedupe the lease must end before that: Lease + Skew <= [Config.LeaseBound].
	Visibility time.Duration

	// PollWait is how long a receive waits for messages. Default 20s, which is also the most that
	// SQS allows; at least 1s, whole seconds. A stop waits for open polls, at most DrainTimeout,
	// because messages in a lost answer stay invisible for a visibility timeout. So DrainTimeout
	// should not be shorter than PollWait.
	PollWait time.Duration

	// DrainTimeout is how long running handlers may continue after a stop. Default 25s; at least
	// 1s. [Config.StopTime] must be less than the platform's stop timeout. If the queue's
	// maxReceiveCount is 1, DrainTimeout should be at least PollWait plus the longest handler. A
	// warning is logged if it is not longer than PollWait.
	DrainTimeout time.Duration

	// Backoff is the base of the delay after a failure. The delay is random, between 0 and Backoff,
	// doubled with each receive up to MaxBackoff. Default 10s; at least 1s.
	Backoff time.Duration

	// MaxBackoff bounds the delay after a failure whose error has no RetryAfter. Default 15m, or
	// Backoff if that is longer; from Backoff to 12h.
	MaxBackoff time.Duration

	// Rate is how many messages may start per second. A burst has at most that many. 0 means no
	// limit; otherwise 0.000001 to 1,000,000,000. A receive asks for no more messages than may
	// start within a second. Refusals lower the rate for a while; see [Decide].
	Rate float64

	// GroupConcurrency is how many messages of one group this consumer handles at a time. GroupRate
	// is how many messages of one group it starts per second; a burst has at most that many. 0
	// means no limit. GroupConcurrency must not be negative, and GroupRate has the bounds of Rate.
	// Further messages of the group wait in this worker without a slot. They count towards
	// MaxWaitingBytes and towards a bound of 1,000 messages, or 10 per slot on a FIFO queue if that
	// is more. At the bound receiving stops; see MaxWaitingBytes.
	GroupConcurrency int
	GroupRate        float64

	// GroupBy returns the group of a message for GroupConcurrency and GroupRate. A message with an
	// empty group has no limit. It must be safe for concurrent use. Default: [Message].GroupID.
	GroupBy func(Message) string

	// MaxWaitingBytes bounds the bodies of the messages that wait in this worker without a slot:
	// held, parked, refused, limited by their group, or behind the head of a FIFO group. At the
	// bound receiving stops. On a FIFO queue a receive then asks for one message, and receiving
	// stops at twice the bound. Default 64 MiB; at least 1 MiB, the largest message.
	MaxWaitingBytes int

	// HandlerTimeout is how long a handler may run before its context is cancelled with
	// [context.DeadlineExceeded]. 0, the default, means no limit. The slot stays taken until the
	// handler returns; see Hooks.Overdue.
	HandlerTimeout time.Duration

	// CancelOnLostReceipt cancels a handler's context with [ErrReceiptLost] when SQS refuses the
	// message's receipt handle, or when the message has been held for SQS's 12 hours. Default
	// false: leave it off where a lease guards the work, because the other delivery is deferred
	// then.
	//
	// SQS refuses the receipt handle of a deleted message, and on a FIFO queue an expired one. A
	// standard queue accepts an expired handle, and the handle of an earlier delivery, as long as
	// the message exists. A handler whose message was delivered again therefore continues. Source:
	// recordings of LocalStack; docs/consumer.md names the tests.
	CancelOnLostReceipt bool

	// Name returns a message's name for logs, dead-letter copies and [Consumer.Flights], or false
	// if it has none. It is called at most once per message and must be safe for concurrent use.
	// Default: the message attribute sqsonce.name.
	Name func(Message) (string, bool)

	// Logger gets warnings, errors and debug records. Default [slog.Default].
	Logger *slog.Logger

	// Hooks are called on events; see [Hooks]. Default: none.
	Hooks Hooks
}

// Heartbeat returns the longest time between two heartbeats of a message: a third of Visibility
// plus a tenth of that.
func (c Config) Heartbeat() time.Duration {
	every := cmp.Or(c.Visibility, defaultVisibility) / heartbeatShare
	return every + every/jitterShare
}

// LeaseBound returns the longest time for which a lease on the work of a message, plus clock skew,
// may last. When a crashed worker's message becomes visible, such a lease has ended. The bound is
// Visibility minus Heartbeat minus 5 seconds, the deadline of the heartbeat's call.
func (c Config) LeaseBound() time.Duration {
	return cmp.Or(c.Visibility, defaultVisibility) - c.Heartbeat() - callDeadline
}

// StopTime returns how long [Consumer.Run] may take to return after a stop: DrainTimeout, 1 second
// for cancelled handlers to return, and 3 seconds to settle their messages.
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

// validate returns an error that lists every invalid field of c. Defaults must be filled in.
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
	if !goodRate(c.Rate) {
		bad("Rate %g: must be 0, or %g to %g", c.Rate, leastLimit, mostLimit)
	}
	if c.GroupConcurrency < 0 {
		bad("GroupConcurrency %d: must not be negative", c.GroupConcurrency)
	}
	if !goodRate(c.GroupRate) {
		bad("GroupRate %g: must be 0, or %g to %g", c.GroupRate, leastLimit, mostLimit)
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
