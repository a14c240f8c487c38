package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Consumer is the worker pool of one queue. Use New; a Consumer runs once.
type Consumer struct {
	queue   Queue
	handler Handler
	cfg     Config
	limiter *rate.Limiter

	floor floor // who has a slot, who waits for one, which polls are out
	acks  acks  // batched deletes and visibility changes
	beats beats // messages whose visibility is kept up
	lanes lanes // FIFO groups at work

	facts   facts     // what the queue says about redrives; set before anything is received
	begun   time.Time // when Run was called; set before anything is received
	workers crew      // polls and lanes
	started atomic.Bool

	stopping  chan struct{} // closed when the stop begins
	aborted   chan struct{} // closed by Abort
	abortOnce sync.Once

	// Contexts of a run, set by Run before anything uses them. They outlive
	// the caller's: a stop must not cut short what is under way.
	polls context.Context // of long polls
	work  context.Context // of handlers
	calls context.Context // of everything that ends a message
}

// New returns a consumer of q, or an error that lists everything wrong with cfg.
func New(q Queue, h Handler, cfg Config) (*Consumer, error) {
	cfg = cfg.withDefaults()
	err := cfg.validate()
	if h == nil {
		err = errors.Join(errors.New("Handler: must be set"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	limit := rate.Inf
	if cfg.Rate > 0 {
		limit = rate.Limit(cfg.Rate)
	}
	c := &Consumer{
		queue: q, handler: h, cfg: cfg,
		limiter:  rate.NewLimiter(limit, max(1, int(cfg.Rate))),
		stopping: make(chan struct{}),
		aborted:  make(chan struct{}),
	}
	c.floor.init(cfg.Concurrency, c.kick)
	c.acks.init(c)
	return c, nil
}

// Run works until ctx ends, and returns when all it has started has ended. It
// returns nil after a clean stop, an error when the queue is missing or access
// to it is denied at the start (no other trouble ends it), or one that wraps
// [ErrAbandoned].
//
// The stop has four phases:
//
//  1. Receiving stops. The long polls that are out run to their end beside the
//     other phases, because a message whose answer is cut off would be stranded.
//  2. What has not started is made visible again at once, lane followers
//     before their head. A message on its last receive is handled now instead,
//     since SQS would dead-letter it unattempted, and a lane in order up to the
//     last such follower.
//  3. Handlers may go on for [Config.DrainTimeout], and what is parked or held
//     on its last receive waits as long. Then, or with [Consumer.Abort], their
//     contexts are cancelled with cause [ErrStopped], and they get a second more.
//  4. What has returned is settled within 3 seconds, after its handler has
//     recorded the outcome: deleted, released or dead-lettered, and answered.
//     What is still parked is dead-lettered with the reason. What has not
//     returned keeps its visibility timeout, as does a message whose outcome its
//     handler could not record.
func (c *Consumer) Run(ctx context.Context) error {
	if c.started.Swap(true) {
		return errors.New("consumer: Run was called before")
	}
	defer c.change(c.floor.end)
	c.begun = time.Now()
	var err error
	if c.facts, err = c.inspect(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return fmt.Errorf("consumer: start: %w", err)
	}
	c.warn()

	lasting := context.WithoutCancel(ctx)
	polls, cancelPolls := context.WithCancel(lasting)
	work, cancelWork := context.WithCancelCause(lasting)
	calls, cancelCalls := context.WithCancel(lasting)
	defer cancelCalls()
	c.polls, c.work, c.calls = polls, work, calls

	var keeping sync.WaitGroup
	keeping.Go(func() { c.keepVisible(calls) })
	c.floor.open()
	c.kick()

	<-ctx.Done() // work, until told to stop

	c.change(c.floor.stop) // phase 1
	close(c.stopping)      // phase 2, by each message for itself

	c.await(c.workers.left(0), c.cfg.DrainTimeout, c.aborted) // phase 3
	cancelWork(ErrStopped)
	cancelPolls()

	c.await(c.workers.left(0), stopGrace+settleTime, nil) // phase 4
	cancelCalls()
	c.acks.close()
	keeping.Wait()

	abandoned := c.beats.running()
	<-c.workers.left(len(abandoned)) // everybody else ends now that no call can be made
	if len(abandoned) > 0 {
		return fmt.Errorf("consumer: %w: %s", ErrAbandoned, strings.Join(c.label(abandoned), ", "))
	}
	return nil
}

// label names messages for an operator.
func (c *Consumer) label(tasks []*task) []string {
	labels := make([]string, len(tasks))
	for i, t := range tasks {
		labels[i] = t.ID
		if name := c.name(t); name != "" {
			labels[i] = fmt.Sprintf("%q (message %s)", name, t.ID)
		}
	}
	slices.Sort(labels)
	return labels
}

// warn tells of settings that will hurt.
func (c *Consumer) warn() {
	if c.facts.dlqURL == "" {
		c.cfg.Logger.Warn("no dead-letter queue is known: what fails for good stays in the queue", "queue", c.cfg.QueueURL)
	}
	if c.facts.maxReceives == 1 && c.cfg.DrainTimeout <= c.cfg.PollWait {
		c.cfg.Logger.Warn("DrainTimeout should be PollWait and the longest handler where maxReceiveCount is 1: "+
			"a message that arrives during a stop has only the rest of it", "drain_timeout", c.cfg.DrainTimeout, "poll_wait", c.cfg.PollWait)
	}
}

// await waits for done, at most d, or for cut.
func (c *Consumer) await(done <-chan struct{}, d time.Duration, cut <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-cut:
	}
}

// Abort cuts the drain of a stop short: handlers are cancelled at once. Before
// a stop it has no effect until the stop. It may be called more than once.
func (c *Consumer) Abort() { c.abortOnce.Do(func() { close(c.aborted) }) }

// Pause stops receiving until Resume. What is under way goes on, a long poll
// that is out included. It may be called before Run.
func (c *Consumer) Pause() { c.change(func() { c.floor.pause(true) }) }

// Resume undoes Pause.
func (c *Consumer) Resume() { c.change(func() { c.floor.pause(false) }) }

// Ready reports whether the consumer works: it has started and is not stopping.
func (c *Consumer) Ready() bool {
	switch c.Stats().State {
	case Running, Paused, Held:
		return true
	default:
		return false
	}
}

// change makes a change and starts what it makes due.
func (c *Consumer) change(do func()) {
	do()
	c.kick()
}

// Healthy returns an error when a receive was due (slots free, not paused,
// stopping, at a bound or in an outage) and the receive loop has done nothing
// for a minute. It asks nobody else, so that trouble of SQS does not make a
// platform kill the worker.
func (c *Consumer) Healthy(now time.Time) error {
	if idle := c.floor.stale(now); idle > livenessLimit {
		return fmt.Errorf("consumer: a receive has been due for %s", idle.Truncate(time.Second))
	}
	return nil
}

// isStopping reports whether the stop has begun.
func (c *Consumer) isStopping() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

// failed tells of a call to SQS that failed, or of an entry of one.
func (c *Consumer) failed(operation string, err error) {
	if !isReceiptLost(err) { // that is told of by who knows whether it matters
		c.cfg.Logger.Warn("SQS call failed", "operation", operation, "error", err)
	}
	if c.cfg.Hooks.Failed != nil {
		c.cfg.Hooks.Failed(operation, err)
	}
}
