package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqsonce/sqsonce/internal/pinned"
)

// Consumer is the worker pool of one queue. Use New; a Consumer runs once.
type Consumer struct {
	queue     Queue
	handler   Handler
	cfg       Config
	hooks     hooks
	admission *admission
	heartbeat *heartbeat

	started   atomic.Bool
	aborted   chan struct{} // closed by Abort
	abortOnce sync.Once
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
	hooks := hooks{cfg.Hooks, cfg.Logger}
	return &Consumer{
		queue: q, handler: h, cfg: cfg, hooks: hooks,
		admission: newAdmission(cfg, hooks.state), heartbeat: &heartbeat{},
		aborted: make(chan struct{}),
	}, nil
}

// run is one run of a consumer: what its goroutines share.
type run struct {
	cfg     Config
	handler Handler
	hooks   hooks
	log     *slog.Logger
	random  func() float64
	yield   func(operation string)
	begun   time.Time

	client    *client
	redrive   *redrive
	receiver  receiver
	admission *admission
	lanes     lanes
	settler   settler
	heartbeat *heartbeat

	goroutines group // receives and lanes

	// They outlive the caller's context: a stop must not cut short what is under way.
	untilStop context.Context // ends when the stop begins
	polls     context.Context // of long polls
	work      context.Context // of handlers
	calls     context.Context // of everything that ends a message
}

func (r *run) isStopping() bool { return r.untilStop.Err() != nil }

// Run works until ctx ends, and returns when all it has started has ended. It returns nil
// after a clean stop, an error when the queue is missing or access to it is denied at the
// start (no other trouble ends it), or one that wraps [ErrAbandoned].
//
// The stop has four phases:
//
//  1. Receiving stops. The long polls that are out run to their end beside the other
//     phases, because a message whose answer is cut off would be stranded.
//  2. What has not started is made visible again at once, the followers of a FIFO group
//     before their head. A message on its last receive is handled now instead, since SQS
//     would dead-letter it unattempted, and a group in order up to the last such follower.
//  3. Handlers may go on for [Config.DrainTimeout], and what waits here on its last receive
//     waits as long. Then, or with [Consumer.Abort], their contexts are cancelled with
//     cause [ErrStopped], and they get a second more.
//  4. What has returned is settled within 3 seconds, after its handler has recorded the
//     outcome: deleted, released or dead-lettered, and answered. What still waits here is
//     dead-lettered with the reason. What has not returned keeps its visibility timeout, as
//     does a message whose outcome its handler could not record.
func (c *Consumer) Run(ctx context.Context) error {
	if c.started.Swap(true) {
		return errors.New("consumer: Run was called before")
	}
	defer c.admission.end()
	sources := pinned.From(ctx)
	client := &client{queue: c.queue, cfg: c.cfg, hooks: c.hooks, log: c.cfg.Logger}
	r := &run{
		cfg: c.cfg, handler: c.handler, hooks: c.hooks, log: c.cfg.Logger, client: client,
		random: sources.Random, yield: sources.Yield, begun: time.Now(),
		redrive: &redrive{client: client}, admission: c.admission, heartbeat: c.heartbeat,
	}
	if err := r.redrive.read(ctx, r.random); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return fmt.Errorf("consumer: start: %w", err)
	}
	r.warn()
	return r.serve(ctx, c.aborted)
}

// Abort cuts the drain of a stop short: handlers are cancelled at once. Before a stop it has
// no effect until the stop. It may be called more than once.
func (c *Consumer) Abort() { c.abortOnce.Do(func() { close(c.aborted) }) }

// Pause keeps messages from being received and begun until Resume. Handlers at work go on.
// What a long poll brings that was out waits here. It may be called before Run.
func (c *Consumer) Pause() { c.admission.pause(true) }

// Resume undoes Pause.
func (c *Consumer) Resume() { c.admission.pause(false) }

// Report tells the consumer about something that its handler depends on, by a name of the
// caller's choice: a store, a target, a readiness check. What is not reported is Up; the
// worst condition counts. It may be called at any time, also before Run, and again with the
// same condition.
//
// Messages that are here already wait under the heartbeat, so that no receive and no attempt
// is burned. A handler whose error has Unavailable() bool reports Down by itself, until
// another message is done or fails by itself. When all is Up again, one message is handled
// at first, and twice as many with each success.
func (c *Consumer) Report(dependency string, is Condition) { c.admission.report(dependency, is) }

// SetConcurrency changes the number of slots, at least 1. Handlers at work beyond it go on.
func (c *Consumer) SetConcurrency(n int) error {
	if n < 1 {
		return fmt.Errorf("consumer: concurrency %d: must be at least 1", n)
	}
	c.admission.setSlots(n)
	return nil
}

// Stats returns the numbers of this moment. It is cheap: it takes one lock and looks through
// no list of messages.
func (c *Consumer) Stats() Stats { return c.admission.stats(time.Now()) }

// Flights returns the messages that are in this worker, the oldest first, at most limit of
// them (all when limit is 0). It looks through all of them, a few thousand at most.
func (c *Consumer) Flights(limit int) []Flight { return c.heartbeat.flights(limit) }

// Ready reports whether the consumer works: it has started and is not stopping.
func (c *Consumer) Ready() bool {
	switch c.Stats().State {
	case Running, Paused, Held:
		return true
	default:
		return false
	}
}

// Healthy returns an error when a receive was due (slots free, not paused, stopping, at a
// bound or in an outage) and the receiver has done nothing for a minute. It asks nobody
// else, so that trouble of SQS does not make a platform kill the worker.
func (c *Consumer) Healthy(now time.Time) error {
	if idle := c.admission.stale(now); idle > livenessLimit {
		return fmt.Errorf("consumer: a receive has been due for %s", idle.Truncate(time.Second))
	}
	return nil
}

// serve receives and handles messages until ctx ends, and stops in four phases.
func (r *run) serve(ctx context.Context, aborted <-chan struct{}) error {
	lasting := context.WithoutCancel(ctx)
	var beginStop, cancelPolls, cancelCalls context.CancelFunc
	var cancelWork context.CancelCauseFunc
	r.untilStop, beginStop = context.WithCancel(lasting)
	r.polls, cancelPolls = context.WithCancel(lasting)
	r.work, cancelWork = context.WithCancelCause(lasting)
	r.calls, cancelCalls = context.WithCancel(lasting)
	defer cancelCalls()
	r.settler = newSettler(r)

	var keeping sync.WaitGroup
	keeping.Go(func() { r.keepVisible(r.calls) })
	keeping.Go(func() { r.redrive.keep(r.untilStop, r.random) })
	keeping.Go(r.receive)
	r.admission.begin()

	<-ctx.Done() // until told to stop

	beginStop()
	r.admission.stop()                                       // phases 1 and 2
	await(r.goroutines.left(0), r.cfg.DrainTimeout, aborted) // phase 3
	cancelWork(ErrStopped)
	cancelPolls()
	r.admission.drain()

	await(r.goroutines.left(0), stopGrace+settleTime, nil) // phase 4
	cancelCalls()
	r.settler.close()
	keeping.Wait()

	abandoned := r.heartbeat.running()
	<-r.goroutines.left(len(abandoned)) // the others end now that no call can be made
	if len(abandoned) > 0 {
		return fmt.Errorf("consumer: %w: %s", ErrAbandoned, strings.Join(labels(abandoned), ", "))
	}
	return nil
}

// await waits for done, at most d, or for cut.
func await(done <-chan struct{}, d time.Duration, cut <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-cut:
	}
}

// labels names messages for an operator.
func labels(messages []*delivery) []string {
	labels := make([]string, len(messages))
	for i, d := range messages {
		labels[i] = d.ID
		if name := d.name(); name != "" {
			labels[i] = fmt.Sprintf("%q (message %s)", name, d.ID)
		}
	}
	slices.Sort(labels)
	return labels
}

// warn tells of settings that will hurt.
func (r *run) warn() {
	p := r.redrive.load()
	if p.dlqURL == "" {
		r.log.Warn("no dead-letter queue is known: what fails for good stays in the queue", "queue", r.cfg.QueueURL)
	}
	if p.maxReceives == 1 && r.cfg.DrainTimeout <= r.cfg.PollWait {
		r.log.Warn("DrainTimeout should be PollWait and the longest handler where maxReceiveCount is 1: "+
			"a message that arrives during a stop has only the rest of it",
			"drain_timeout", r.cfg.DrainTimeout, "poll_wait", r.cfg.PollWait)
	}
}
