package workercmd

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

	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/target"
	"github.com/sqsonce/sqsonce/internal/telemetry"
)

// queueWorker works on one queue of the process. Its goroutine sets the fields; other goroutines
// read them after started is set.
type queueWorker struct {
	*worker
	settings  queueSettings
	log       *slog.Logger // the worker's; with the name of the queue if there are several
	telemetry *telemetry.Queue
	history   *console.History

	back   backend
	pool   *consumer.Consumer
	judge  *target.Judge // nil: the built-in handler
	health *healthGate   // nil: no health path
	store  *storeWatch

	stopping <-chan struct{} // closed when the shutdown starts

	started atomic.Pointer[consumer.Consumer] // the running pool; nil: none yet
	trouble atomic.Pointer[string]            // why no pool runs; nil: it is starting
}

// beginning creates the parts of a queue.
type beginning = func(context.Context, *queueWorker) error

// startAgain are the pauses before a queue that could not start is tried again while other queues
// work.
var startAgain = backoff.Policy{First: 5 * time.Second, Max: time.Minute}

// newQueue returns the worker of a queue. It makes no call to AWS.
func (w *worker) newQueue(settings queueSettings) (*queueWorker, error) {
	name := settings.queueName()
	q := &queueWorker{
		worker: w, settings: settings, log: w.log,
		telemetry: w.telemetry.Queue(name), history: console.NewHistory(settings.Lease),
	}
	if len(w.cfg.Queues) > 1 {
		q.log = slog.New(queueLog{w.log.Handler().WithAttrs([]slog.Attr{slog.String(queueField, name)}), name})
	}
	return q, q.telemetry.Watch(q.stats, targetDown, targetHealth, storeDown, "handler", queueDown)
}

// begin connects to the queue and creates its pool.
func (q *queueWorker) begin(ctx context.Context) (err error) {
	q.stopping = ctx.Done()
	if !q.settings.Local {
		if q.back, err = q.connect(ctx); err != nil {
			return err
		}
		return q.newPool()
	}
	if q.local, err = newLocal(ctx, q.settings, q.instrument, q.log); err != nil {
		return err
	}
	q.back = q.local.backend
	if q.settings.S3Payloads {
		cfg, err := awsenv.Load(ctx, q.log) // queue and table are local, buckets are not
		if err != nil {
			return err
		}
		q.instrument(&cfg)
		q.back.payloads = q.settings.newPayloads(cfg, q.log)
	}
	return q.newPool()
}

// close waits for the store's calls in flight.
func (q *queueWorker) close() {
	if q.back.close != nil {
		q.back.close()
		q.back.close = nil
	}
}

// stats returns the pool's statistics. A queue that could not be reached is down.
func (q *queueWorker) stats() consumer.Stats {
	if pool := q.started.Load(); pool != nil {
		return pool.Stats()
	}
	s := consumer.Stats{State: consumer.Starting}
	if q.trouble.Load() != nil {
		s.Down = []string{queueDown}
	}
	return s
}

// notStarted returns the reason why a queue without a pool is not ready.
func (q *queueWorker) notStarted() error {
	if trouble := q.trouble.Load(); trouble != nil {
		return errors.New(*trouble)
	}
	return errors.New("starting")
}

// failures collects the errors of queues that cannot start.
type failures struct {
	queues int // number of queues of the process

	mu     sync.Mutex
	errors map[*queueWorker]error // guarded by mu
}

// set sets the error of a queue; nil if it works. When every queue has failed, it returns all
// errors.
func (f *failures) set(q *queueWorker, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.errors, q)
		return nil
	}
	f.errors[q] = err
	if len(f.errors) < f.queues {
		return nil
	}
	if f.queues == 1 {
		return err
	}
	var all []error
	for q, err := range f.errors {
		all = append(all, fmt.Errorf("queue %s: %w", q.settings.queueName(), err))
	}
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(all...)
}

// runQueues works on every queue until the shutdown. It tries a queue that cannot start again while
// another one works or starts. When all have failed it returns their errors.
func (w *worker) runQueues(l life, begin beginning) error {
	failing := &failures{queues: len(w.queues), errors: make(map[*queueWorker]error)}
	var all errgroup.Group
	for _, q := range w.queues {
		all.Go(func() error {
			err := q.keepWorking(l, begin, failing)
			if err != nil {
				l.stop()
			}
			return err
		})
	}
	return all.Wait()
}

// keepWorking works on the queue until the shutdown, or until all queues have failed.
func (q *queueWorker) keepWorking(l life, begin beginning, failing *failures) error {
	for try := 0; l.working.Err() == nil; try++ {
		err := q.work(l, begin, failing)
		if l.working.Err() != nil || err == nil {
			return err
		}
		if all := failing.set(q, err); all != nil {
			return all
		}
		trouble, again := err.Error(), startAgain.Delay(try, nil)
		q.trouble.Store(&trouble)
		q.log.Error("the queue failed; the other queues keep working", "queue", q.settings.queueName(), "tried_again_in", again, "error", err)
		_ = backoff.Sleep(l.working, again)
	}
	return nil
}

// work creates the parts of the queue and works on it until the shutdown. A shutdown before the
// pool exists is not an error.
func (q *queueWorker) work(l life, begin beginning, failing *failures) error {
	if err := begin(l.working, q); err != nil {
		if l.working.Err() != nil {
			return nil
		}
		return err
	}
	q.trouble.Store(nil)
	q.started.Store(q.pool)
	q.begun.Store(true)
	_ = failing.set(q, nil)
	if err := q.open(l); err != nil {
		return q.giveUp(l, err)
	}
	q.printWhere()
	running, end := context.WithCancel(l.working)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer end()
	beside.Go(func() { (&queueWatch{q.pool.Stats, q.log}).run(running) })
	if q.health != nil {
		beside.Go(func() { q.health.run(running) })
	}
	if local := q.local; local != nil {
		l.group.Go(func() error { return admin.Serve(l.working, local.producerListener, local.producer, time.Second) })
		l.group.Go(func() error { return admin.Serve(l.outer, local.queueListener, local.server, serverGrace) })
	}
	if err := q.pool.Run(l.working); err != nil {
		return q.giveUp(l, fmt.Errorf("worker pool: %w", err))
	}
	return nil
}

// giveUp removes the pool that ended with err from the admin server, except in a shutdown, and
// returns err.
func (q *queueWorker) giveUp(l life, err error) error {
	if l.working.Err() != nil {
		return err
	}
	q.started.Store(nil)
	q.close()
	return errors.Join(err, q.open(l))
}

// adminQueue returns the admin server's configuration of the queue.
func (q *queueWorker) adminQueue() admin.Queue {
	name := q.settings.queueName()
	shown := admin.Queue{Name: name, Settings: func() any { return q.settings.shown() }, Ready: q.notStarted}
	pool := q.started.Load()
	if pool == nil {
		return shown
	}
	shown.Health = pool.Healthy
	shown.Ready = func() error {
		if !pool.Ready() {
			return errNotReady
		}
		return q.store.ready()
	}
	if q.judge != nil {
		shown.Believe = q.judge.Believe
	}
	if q.settings.Weight == 0 {
		shown.Concurrency = pool.SetConcurrency
	}
	shown.Pause = func() {
		pool.Pause()
		q.log.Info("paused: no message is received or started until POST /resume", "queue", name)
	}
	shown.Resume = func() {
		pool.Resume()
		q.log.Info("resumed", "queue", name)
	}
	return shown
}
