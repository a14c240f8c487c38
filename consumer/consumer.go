package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
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

	facts   facts          // what the queue says about redrives; set before anything is received
	workers errgroup.Group // polls and lanes
	started atomic.Bool
	ready   atomic.Bool

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
	if err := cfg.validate(); err != nil {
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
	c.floor.init(cfg.Concurrency)
	c.acks.init(c)
	c.beats.init()
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
//     since SQS would dead-letter it unattempted; a parked one goes to the
//     dead-letter queue with the reason.
//  3. Handlers may go on for [Config.DrainTimeout]. Then, or with [Consumer.Abort],
//     their contexts are cancelled with cause [ErrStopped], and they get a second more.
//  4. What has returned is settled within 3 seconds: deleted, released or
//     dead-lettered, and answered. What has not returned keeps its visibility
//     timeout, as does a message whose outcome its handler could not record.
func (c *Consumer) Run(ctx context.Context) error {
	if c.started.Swap(true) {
		return errors.New("consumer: Run was called before")
	}
	var err error
	if c.facts, err = c.inspect(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return fmt.Errorf("consumer: start: %w", err)
	}

	lasting := context.WithoutCancel(ctx)
	polls, cancelPolls := context.WithCancel(lasting)
	work, cancelWork := context.WithCancelCause(lasting)
	calls, cancelCalls := context.WithCancel(lasting)
	defer cancelCalls()
	c.polls, c.work, c.calls = polls, work, calls

	var keeping sync.WaitGroup
	keeping.Go(func() { c.keepVisible(calls) })
	c.ready.Store(true)
	c.floor.open()
	c.kick()

	<-ctx.Done() // work, until told to stop

	c.ready.Store(false)
	c.floor.stop()    // phase 1
	close(c.stopping) // phase 2, by each message for itself
	ended := make(chan struct{})
	go func() { // joined below, unless handlers are abandoned
		defer close(ended)
		_ = c.workers.Wait() // polls and lanes return no errors
	}()

	c.await(ended, c.cfg.DrainTimeout, c.aborted) // phase 3
	cancelWork(ErrStopped)
	cancelPolls()

	c.await(ended, stopGrace+settleTime, nil) // phase 4
	cancelCalls()
	c.acks.close()
	keeping.Wait()

	if left := c.beats.running(); len(left) > 0 {
		return fmt.Errorf("consumer: %w: messages %s", ErrAbandoned, strings.Join(left, ", "))
	}
	<-ended
	return nil
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

// Pause stops receiving until Resume. What is under way goes on.
func (c *Consumer) Pause() { c.floor.pause(true) }

// Resume undoes Pause.
func (c *Consumer) Resume() {
	c.floor.pause(false)
	c.kick()
}

// Ready reports whether the consumer works: it has started and is not stopping.
func (c *Consumer) Ready() bool { return c.ready.Load() }

// Healthy returns an error when a receive was due (slots free, not paused,
// stopping or at a bound) and the receive loop has done nothing for a minute.
// It asks nobody else, so that trouble of SQS does not make a platform kill
// the worker.
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

// failed tells of a call to SQS that failed.
func (c *Consumer) failed(operation string, err error) {
	c.cfg.Logger.Warn("SQS call failed", "operation", operation, "error", err)
	if c.cfg.Hooks.Failed != nil {
		c.cfg.Hooks.Failed(operation, err)
	}
}
