package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/ecs"
	"github.com/sqsonce/sqsonce/internal/target"
	"github.com/sqsonce/sqsonce/internal/telemetry"
)

// mostFlush is what the last telemetry may take at the end where there is time.
const mostFlush = 2 * time.Second

var errNotReady = errors.New("draining or not started")

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	log := awsenv.NewLogPipe(stderr)
	settings, err := parse(args, stdout, log)
	if err == nil {
		switch s := settings.(type) {
		case helpShown:
			return int(s)
		case check:
			err = runCheck(ctx, s)
		case examination:
			err = runDoctor(ctx, s, stdout)
		case trial:
			err = runTry(ctx, s, os.Stdin, stdout)
		case drain:
			err = runDrain(ctx, s)
		case config:
			collectLess()
			err = runWorker(ctx, s, stdout, log, signals)
		}
	}
	if err != nil {
		_, _ = fmt.Fprintf(log, "worker: %v\n", err)
	}
	return exitCode(err)
}

// collectLess lets the heap grow to five times what lives before it is
// collected, not to twice: little lives long here, and the collector takes a
// fifth less of a message's CPU for some 60 MiB. Who sets GOGC decides; with
// GOMEMLIMIT the heap is collected more often when it comes near that.
// https://go.dev/doc/gc-guide
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// worker is everything that runs, as runWorker has wired it.
type worker struct {
	cfg       config
	out       io.Writer       // says where everything listens
	lines     *awsenv.LogPipe // takes what log writes
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	local     *localParts // nil unless --local
	protector *ecs.Protector
	admin     net.Listener
	front     frontDoor    // answers on the admin address
	metrics   net.Listener // nil: no --metrics-addr
	probes    frontDoor    // answers on the metrics address
	queues    []*queueWorker
	begun     bool      // the pools exist; read after serve
	stopped   time.Time // when the stop began; read after serve

	dial func(ctx context.Context, network, addr string) (net.Conn, error) // to the target; nil: by the network
}

// queueWorker is what works on one queue of the process.
type queueWorker struct {
	*worker
	settings  queueSettings
	telemetry *telemetry.Queue
	history   *console.History
	back      backend
	pool      *consumer.Consumer
	judge     *target.Judge // nil: the built-in handler
	health    *healthGate   // nil: no health path
	store     *storeWatch
	stopping  <-chan struct{} // closed when the worker is told to stop
}

// runWorker wires store, guard, handler, consumer and servers, and runs them
// until a signal or a failure.
func runWorker(ctx context.Context, c config, stdout io.Writer, lines *awsenv.LogPipe, signals <-chan os.Signal) (err error) {
	asked, release := followSignals(ctx, signals)
	defer release()
	w := &worker{cfg: c, out: stdout, lines: lines, log: awsenv.Logger(lines, c.LogFormat, c.level())}
	telling := telemetry.Config{Version: version(), Logger: w.log}
	if c.Metrics == "emf" {
		telling.EMF = lines
	}
	w.telemetry, err = telemetry.New(ctx, telling)
	if err != nil {
		return err
	}
	defer w.sendRest(ctx)
	w.log = slog.New(w.telemetry.LogHandler(w.log.Handler()))
	w.protector = ecs.New(ecs.Config{AgentURI: os.Getenv(ecs.EnvAgentURI), Logger: w.log})

	if w.admin, err = awsenv.Listen("--admin-addr", c.AdminAddr); err != nil {
		return err
	}
	defer func() { _ = w.admin.Close() }()
	if c.AdminToken == "" && !awsenv.Loopback(c.AdminAddr) {
		w.log.Warn("the admin server is open beyond this machine without --admin-token: names, errors, results and settings are shown to everybody who reaches it",
			"admin_addr", c.AdminAddr)
	}
	if c.MetricsAddr != "" {
		if w.metrics, err = awsenv.Listen("--metrics-addr", c.MetricsAddr); err != nil {
			return err
		}
		defer func() { _ = w.metrics.Close() }()
	}
	defer w.closeQueues()
	return w.serve(ctx, asked, func(ctx context.Context) error {
		for _, settings := range c.queues() {
			if err := w.addQueue(ctx, settings); err != nil {
				return err
			}
		}
		return nil
	})
}

// addQueue reaches a queue and wires the pool that works on it, until ctx ends.
func (w *worker) addQueue(ctx context.Context, settings queueSettings) (err error) {
	q := &queueWorker{
		worker: w, settings: settings,
		telemetry: w.telemetry.Queue(settings.queueName()), history: console.NewHistory(settings.Lease),
		stopping: ctx.Done(),
	}
	if settings.Local {
		if w.local, err = newLocal(ctx, settings, q.instrument, w.log); err != nil {
			return err
		}
		q.back = w.local.backend
		if settings.S3Payloads {
			cfg, err := awsenv.Load(ctx, w.log) // queue and table are here, buckets are not
			if err != nil {
				return err
			}
			q.instrument(&cfg)
			q.back.payloads = settings.newPayloads(cfg, w.log)
		}
	} else if q.back, err = q.connect(ctx); err != nil {
		return err
	}
	w.queues = append(w.queues, q)
	return q.newPool()
}

// closeQueues releases what the queues hold.
func (w *worker) closeQueues() {
	if w.local != nil {
		w.local.close()
	}
	for _, q := range w.queues {
		if q.back.close != nil {
			q.back.close()
		}
	}
}

// sendRest sends what telemetry has not sent yet.
func (w *worker) sendRest(ctx context.Context) {
	most := leastFlush // of a worker that has done nothing
	if w.begun {
		most = flushTime(w.stopped, time.Now(), w.cfg.DrainTimeout)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	if err := w.telemetry.Shutdown(ctx); err != nil {
		w.log.Warn("the last telemetry is not sent", "error", err)
	}
}

// flushTime is what the last telemetry may take: what a stop that began then, if
// one did, has left of its time.
func flushTime(began, now time.Time, drain time.Duration) time.Duration {
	if began.IsZero() {
		return mostFlush
	}
	return min(max(began.Add(drain+stopReserve).Sub(now), leastFlush), mostFlush)
}

// serve runs begin, which makes the pools, then the pools, and what stands around
// them. The order of the stop:
//
//  1. The first signal, or POST /drain, or a failure: begin ends, or the pools
//     drain; the producer API takes no more requests, scale-in protection is
//     dropped.
//  2. A second signal: the drain is cut short.
//  3. The pools have returned: the admin server and the local queue end. They
//     outlive them, so that they can be watched and can settle while they drain.
func (w *worker) serve(ctx context.Context, asked stops, begin func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	working, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(working, w.lines.Stop)()
	outer, closeServers := context.WithCancel(context.WithoutCancel(ctx))
	defer closeServers()

	starting := w.startingConfig(stop)
	w.front.open(admin.New(starting))
	w.probes.open(admin.NewProbes(starting))
	group.Go(func() error { return admin.Serve(outer, w.admin, &w.front, serverGrace) })
	if w.metrics != nil {
		group.Go(func() error { return admin.Serve(outer, w.metrics, &w.probes, serverGrace) })
	}
	group.Go(func() error { w.obey(outer, stop, asked); return nil })
	group.Go(func() error {
		defer closeServers()
		defer stop()
		err := begin(working)
		if working.Err() != nil {
			return ctx.Err() // nil when a signal or POST /drain ended it
		}
		if err != nil {
			return err
		}
		return w.work(working, outer, group, stop, asked)
	})
	group.Go(func() error {
		<-working.Done()
		w.stopped = time.Now()
		w.protector.Drain()
		return nil
	})
	err := group.Wait()
	if err == nil {
		w.log.Info("stopped")
	}
	return err
}

// work runs the pools, and in group what stands around them. Working ends with the
// stop, outer once the pools have returned.
func (w *worker) work(working, outer context.Context, group *errgroup.Group, stop func(), asked stops) error {
	page, err := w.console(stop, outer.Done())
	if err != nil {
		return err
	}
	w.begun = true
	endpoints := w.adminConfig(stop)
	w.front.open(adminHandler(endpoints, page))
	w.probes.open(admin.NewProbes(endpoints))
	printWhere(w.out, w)
	group.Go(func() error { w.protector.Run(outer); return nil })
	for _, q := range w.queues {
		group.Go(func() error { (&queueWatch{q.pool.Stats, w.log}).run(working); return nil })
		if q.health != nil {
			group.Go(func() error { q.health.run(working); return nil })
		}
	}
	if w.local != nil {
		group.Go(func() error { return admin.Serve(working, w.local.producerListener, w.local.producer, time.Second) })
		group.Go(func() error { return admin.Serve(outer, w.local.queueListener, w.local.server, serverGrace) })
	}
	defer context.AfterFunc(asked.hurried, func() { w.each((*consumer.Consumer).Abort) })()
	return w.runPools(working, stop)
}

// runPools works on every queue until ctx ends; when one pool returns, stop ends
// the others.
func (w *worker) runPools(ctx context.Context, stop func()) error {
	var pools errgroup.Group
	for _, q := range w.queues {
		pools.Go(func() error {
			defer stop()
			if err := q.pool.Run(ctx); err != nil {
				return fmt.Errorf("worker pool: %w", err)
			}
			return nil
		})
	}
	return pools.Wait()
}

// obey turns the first signal into a stop and tells of the second. What a signal
// asks for begins before it is logged: a log that nobody reads blocks its writers.
func (w *worker) obey(ctx context.Context, stop func(), asked stops) {
	select {
	case <-asked.gentle.Done():
		stop()
		w.log.Info("stopping: handlers may finish", "signal", signalOf(asked.gentle), "drain_timeout", w.cfg.DrainTimeout)
	case <-ctx.Done():
		return
	}
	select {
	case <-asked.hurried.Done():
		w.log.Warn("stopping at once", "signal", signalOf(asked.hurried))
	case <-ctx.Done():
	}
}

// each calls do for the pool of every queue.
func (w *worker) each(do func(*consumer.Consumer)) {
	for _, q := range w.queues {
		do(q.pool)
	}
}

// adminConfig is the admin server of a worker whose pools exist.
func (w *worker) adminConfig(stop func()) admin.Config {
	queues := make([]admin.Queue, len(w.queues))
	for i, q := range w.queues {
		queues[i] = q.adminQueue()
	}
	return admin.Config{
		Queues:  queues,
		Metrics: w.telemetry.Handler(),
		Drain: func() {
			stop()
			w.log.Info("draining: handlers may finish", "drain_timeout", w.cfg.DrainTimeout)
		},
		Token:   w.cfg.AdminToken,
		Hosts:   w.cfg.AdminHosts,
		Logger:  w.log,
		Version: version(),
	}
}

// adminHandler answers on the admin address: page does, except where admin has
// an endpoint.
func adminHandler(cfg admin.Config, page http.Handler) http.Handler {
	endpoints := admin.New(cfg)
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/config", "/pause", "/resume", "/drain", "/believe", "/concurrency"} {
		mux.Handle(path, endpoints)
	}
	mux.Handle("/", page)
	return mux
}

// adminQueue is a queue's part of the admin server.
func (q *queueWorker) adminQueue() admin.Queue {
	name := q.settings.queueName()
	var believe func()
	if q.judge != nil {
		believe = q.judge.Believe
	}
	return admin.Queue{
		Believe: believe, Concurrency: q.pool.SetConcurrency,
		Name:     name,
		Health:   q.pool.Healthy,
		Settings: func() any { return q.settings.shown() },
		Ready: func() error {
			if !q.pool.Ready() {
				return errNotReady
			}
			return q.store.ready()
		},
		Pause: func() {
			q.pool.Pause()
			q.log.Info("paused: nothing more is received or begun until POST /resume", "queue", name)
		},
		Resume: func() {
			q.pool.Resume()
			q.log.Info("resumed", "queue", name)
		},
	}
}
