package workercmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/ecs"
	"github.com/sqsonce/sqsonce/internal/telemetry"
	"github.com/sqsonce/sqsonce/internal/visible"
)

// mostFlush is the longest time for the last telemetry.
const mostFlush = 2 * time.Second

var errNotReady = errors.New("draining or not started")

// run runs the program and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	log := awsenv.NewLogPipe(stderr)
	settings, err := parse(args, stdout, log)
	if err == nil {
		switch s := settings.(type) {
		case helpShown:
			return int(s)
		case check:
			err = runCheck(ctx, s, stdout)
		case examination:
			err = runDoctor(ctx, s, stdout)
		case trial:
			err = runTry(ctx, s, os.Stdin, stdout)
		case drain:
			err = runDrain(ctx, s)
		case config:
			awsenv.CollectLess()
			err = runWorker(ctx, s, stdout, log, signals)
		}
	}
	if err != nil {
		_, _ = fmt.Fprintf(log, "worker: %s\n", visible.Text(err.Error(), "\n\t"))
	}
	return exitCode(err)
}

// worker holds the parts of the process.
type worker struct {
	cfg       config
	out       io.Writer       // standard output, for the addresses
	lines     *awsenv.LogPipe // the writer behind log
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	local     *localParts // nil unless --local
	protector *ecs.Protector
	admin     net.Listener
	front     frontDoor    // handler of the admin address
	metrics   net.Listener // nil: no --metrics-addr
	probes    frontDoor    // handler of the metrics address
	queues    []*queueWorker
	begun     atomic.Bool // a pool exists
	stopped   time.Time   // start of the shutdown; read after serve
	opening   sync.Mutex  // serializes open
	where     sync.Once   // prints the metrics address

	dial func(ctx context.Context, network, addr string) (net.Conn, error) // to the target; nil: the network
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
		w.log.Warn("the admin server listens beyond this machine without --admin-token: every client that can reach it can read names, errors, results and settings",
			"admin_addr", c.AdminAddr)
	}
	if c.MetricsAddr != "" {
		if w.metrics, err = awsenv.Listen("--metrics-addr", c.MetricsAddr); err != nil {
			return err
		}
		defer func() { _ = w.metrics.Close() }()
	}
	for _, settings := range c.queues() {
		q, err := w.newQueue(settings)
		if err != nil {
			return err
		}
		w.queues = append(w.queues, q)
	}
	defer w.closeQueues()
	return w.serve(ctx, asked, func(ctx context.Context, q *queueWorker) error { return q.begin(ctx) })
}

// closeQueues releases the resources of the queues.
func (w *worker) closeQueues() {
	if w.local != nil {
		w.local.close()
	}
	for _, q := range w.queues {
		q.close()
	}
}

// sendRest flushes the telemetry.
func (w *worker) sendRest(ctx context.Context) {
	most := leastFlush // for a worker without a pool
	if w.begun.Load() {
		most = flushTime(w.stopped, time.Now(), w.cfg.DrainTimeout)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	if err := w.telemetry.Shutdown(ctx); err != nil {
		w.log.Warn("the last telemetry could not be sent", "error", err)
	}
}

// flushTime returns the time for the last telemetry: the rest of the shutdown that started at
// began, between leastFlush and mostFlush. A zero began means that there was no shutdown.
func flushTime(began, now time.Time, drain time.Duration) time.Duration {
	if began.IsZero() {
		return mostFlush
	}
	return min(max(began.Add(drain+stopReserve).Sub(now), leastFlush), mostFlush)
}

// life holds the contexts of the phases of a process.
type life struct {
	working context.Context // ends when the shutdown starts
	outer   context.Context // ends after the pools have returned
	stop    func()          // starts the shutdown
	group   *errgroup.Group // the servers and helpers beside the pools
}

// serve runs the pools, which begin creates, and the servers. The order of a shutdown:
//
//  1. The first signal, POST /drain, or a failure: begin ends, or the pools drain; the producer API
//     takes no more requests, and the scale-in protection ends.
//  2. A second signal: the drain is aborted.
//  3. The pools have returned: the admin server and the local queue end. They run until then,
//     because operators watch the drain and the pools settle messages.
func (w *worker) serve(ctx context.Context, asked stops, begin beginning) error {
	group, ctx := errgroup.WithContext(ctx)
	working, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(working, w.lines.Stop)()
	outer, closeServers := context.WithCancel(context.WithoutCancel(ctx))
	defer closeServers()

	l := life{working: working, outer: outer, stop: stop, group: group}
	if err := w.open(l); err != nil {
		return err
	}
	group.Go(func() error { return admin.Serve(outer, w.admin, &w.front, serverGrace) })
	if w.metrics != nil {
		group.Go(func() error { return admin.Serve(outer, w.metrics, &w.probes, serverGrace) })
	}
	group.Go(func() error { w.obey(outer, stop, asked); return nil })
	group.Go(func() error { w.protector.Run(outer); return nil })
	group.Go(func() error { w.lendSlots(working); return nil })
	group.Go(func() error {
		defer closeServers()
		defer stop()
		defer context.AfterFunc(asked.hurried, func() { w.each((*consumer.Consumer).Abort) })()
		if err := w.runQueues(l, begin); err != nil || working.Err() == nil {
			return err
		}
		return ctx.Err() // nil when a signal or POST /drain ended it
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

// open updates the handlers of the admin and the metrics address for the current queues.
func (w *worker) open(l life) error {
	w.opening.Lock()
	defer w.opening.Unlock()
	endpoints := w.adminConfig(l.stop)
	page, err := w.console(l.stop, l.outer.Done())
	if err != nil {
		return err
	}
	w.front.open(adminHandler(endpoints, page))
	w.probes.open(admin.NewProbes(endpoints))
	return nil
}

// obey starts the shutdown on the first signal, and logs both signals. It logs after it has acted,
// because a log whose reader has stopped blocks its writers.
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

// each calls do for every pool.
func (w *worker) each(do func(*consumer.Consumer)) {
	for _, q := range w.queues {
		if pool := q.started.Load(); pool != nil {
			do(pool)
		}
	}
}

// adminConfig returns the configuration of the admin server.
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

// adminHandler returns the handler of the admin address: the admin endpoints, and page for all
// other paths. page is nil while no queue works.
func adminHandler(cfg admin.Config, page http.Handler) http.Handler {
	endpoints := admin.New(cfg)
	if page == nil {
		return endpoints
	}
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/config", "/pause", "/resume", "/drain", "/believe", "/concurrency"} {
		mux.Handle(path, endpoints)
	}
	mux.Handle("/", page)
	return mux
}
