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

// Consumer is the worker pool of one queue. Create it with [New]. It runs once. Its methods are
// safe for concurrent use.
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

// New returns a consumer of q. Its error names every invalid field of cfg. New makes no calls to
// SQS.
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

// run is the state that the goroutines of one Run share.
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

	// The contexts do not end with the caller's context, because a stop lets open calls finish.
	untilStop context.Context // ends when the stop begins
	polls     context.Context // of long polls
	work      context.Context // of handlers
	calls     context.Context // of all calls that settle a message
}

func (r *run) isStopping() bool { return r.untilStop.Err() != nil }

// Run receives and handles messages until ctx ends. It returns after all its goroutines have ended.
// It returns nil after a clean stop, and an error if the queue does not exist or denies access at
// the start. Other failures of SQS do not end it. It returns an error that wraps [ErrAbandoned] if
// handlers were still running at the end of the stop.
//
// The stop has four phases:
//
//  1. Receiving stops. Open long polls run to their end during the other phases, because the
//     messages in a lost answer would stay invisible for a visibility timeout.
//  2. Messages that have not started become visible again at once, the followers of a FIFO group
//     before their head. A message on its last receive starts now instead, because SQS would
//     dead-letter it without an attempt. If a follower in a FIFO group is on its last receive, the
//     group is handled in order up to the last such follower.
//  3. Running handlers may continue for [Config.DrainTimeout]. Messages that wait here on their
//     last receive also wait for so long. Then, or on [Consumer.Abort], the contexts of the
//     handlers are cancelled with cause [ErrStopped], and the handlers have 1 second to return.
//  4. The messages of returned handlers are settled within 3 seconds: deleted, released or
//     dead-lettered. Messages that still wait here are dead-lettered with a reason. The message of
//     a handler that has not returned keeps its visibility timeout. So does a message whose outcome
//     could not be recorded.
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

// Abort ends the drain of a stop: the contexts of running handlers are cancelled at once. Before
// the stop it only takes effect when the stop begins. It may be called more than once.
func (c *Consumer) Abort() { c.abortOnce.Do(func() { close(c.aborted) }) }

// Pause stops receiving and starting messages until Resume. Running handlers continue. Messages
// from an open long poll wait in this worker. Pause may be called before Run.
func (c *Consumer) Pause() { c.admission.pause(true) }

// Resume ends a Pause.
func (c *Consumer) Resume() { c.admission.pause(false) }

// Report sets the condition of a dependency of the handler, such as a store or a target, under a
// name that the caller chooses. A dependency without a report is Up. The worst condition of all
// dependencies applies. Report may be called at any time, also before Run. A repeated report has no
// effect.
//
// During an outage the messages in this worker wait under the heartbeat, so that they use up no
// receive and no attempt. A handler error with Unavailable() true reports Down by itself, until
// another message succeeds or fails for a reason of its own. When all dependencies are Up again,
// one message is started at first, and each success doubles the concurrency.
func (c *Consumer) Report(dependency string, is Condition) { c.admission.report(dependency, is) }

// SetConcurrency changes the number of slots. It returns an error if n is less than 1. Running
// handlers beyond n continue.
func (c *Consumer) SetConcurrency(n int) error {
	if n < 1 {
		return fmt.Errorf("consumer: concurrency %d: must be at least 1", n)
	}
	c.admission.setSlots(n)
	return nil
}

// Stats returns the current numbers. It is cheap: it takes one lock and scans no list of messages.
func (c *Consumer) Stats() Stats { return c.admission.stats(time.Now()) }

// Flights returns at most limit messages in this worker, the oldest first, or all if limit is 0. It
// scans all messages in the worker, at most a few thousand.
func (c *Consumer) Flights(limit int) []Flight { return c.heartbeat.flights(limit) }

// Ready reports whether the consumer has started and is not stopping.
func (c *Consumer) Ready() bool {
	switch c.Stats().State {
	case Running, Paused, Held:
		return true
	default:
		return false
	}
}

// Healthy returns an error if a receive has been due, and the receiver has shown no sign of life,
// for 60 seconds. No receive is due without free slots, or during a pause, a stop, an outage, or at
// a bound. Healthy makes no calls, so that a failure of SQS does not make the platform restart the
// worker.
func (c *Consumer) Healthy(now time.Time) error {
	if idle := c.admission.stale(now); idle > livenessLimit {
		return fmt.Errorf("consumer: a receive has been due for %s", idle.Truncate(time.Second))
	}
	return nil
}

// serve receives and handles messages until ctx ends, and stops in the four phases of
// [Consumer.Run].
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

	<-ctx.Done() // the stop begins

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
	<-r.goroutines.left(len(abandoned)) // the other goroutines end, because their calls are cancelled
	if len(abandoned) > 0 {
		return fmt.Errorf("consumer: %w: %s", ErrAbandoned, strings.Join(labels(abandoned), ", "))
	}
	return nil
}

// await waits for done or cut, at most d.
func await(done <-chan struct{}, d time.Duration, cut <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-cut:
	}
}

// labels returns the messages' names and IDs for an error text, sorted.
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

// warn logs settings that are likely to cause trouble.
func (r *run) warn() {
	p := r.redrive.load()
	if p.dlqURL == "" {
		r.log.Warn("no dead-letter queue is known: messages that fail for good stay in the queue", "queue", r.cfg.QueueURL)
	}
	if p.maxReceives == 1 && r.cfg.DrainTimeout <= r.cfg.PollWait {
		r.log.Warn("DrainTimeout should be at least PollWait plus the longest handler if maxReceiveCount is 1: "+
			"a message received during a stop has only the rest of it",
			"drain_timeout", r.cfg.DrainTimeout, "poll_wait", r.cfg.PollWait)
	}
}
