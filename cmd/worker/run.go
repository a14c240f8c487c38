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
	"github.com/sqsonce/sqsonce/internal/telemetry"
)

// mostFlush is what the last telemetry may take at the end where there is time.
const mostFlush = 2 * time.Second

var errNotReady = errors.New("draining or not started")

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	settings, err := parse(args, stdout, stderr)
	if err == nil {
		switch s := settings.(type) {
		case helpShown:
			return int(s)
		case check:
			err = runCheck(ctx, s)
		case config:
			collectLess()
			err = runWorker(ctx, s, stdout, stderr, signals)
		}
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "worker: %v\n", err)
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
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	back      backend
	local     *localParts // nil unless --local
	pool      *consumer.Consumer
	protector *ecs.Protector
	health    *healthGate // nil: no health path
	history   *console.History
	admin     net.Listener
	stopped   time.Time // when the stop began; read after serve

	dial func(ctx context.Context, network, addr string) (net.Conn, error) // to the target; nil: by the network
}

// runWorker wires store, guard, handler, consumer and servers, and runs them
// until a signal or a failure.
func runWorker(ctx context.Context, c config, stdout, stderr io.Writer, signals <-chan os.Signal) (err error) {
	w := &worker{cfg: c, log: awsenv.Logger(stderr, c.LogFormat, c.level())}
	w.telemetry, err = telemetry.New(ctx, telemetry.Config{Version: version(), Queue: c.queueName(), Logger: w.log})
	if err != nil {
		return err
	}
	defer w.sendRest(ctx)
	w.log = slog.New(w.telemetry.LogHandler(w.log.Handler()))
	w.history = console.NewHistory(c.Lease)
	w.protector = ecs.New(ecs.Config{AgentURI: os.Getenv(ecs.EnvAgentURI), Logger: w.log})

	if w.admin, err = awsenv.Listen("--admin-addr", c.AdminAddr); err != nil {
		return err
	}
	defer func() { _ = w.admin.Close() }()
	if c.Local {
		if w.local, err = newLocal(ctx, c, w.instrument, w.log); err != nil {
			return err
		}
		defer w.local.close()
		w.back = w.local.backend
	} else {
		if w.back, err = connect(ctx, c, w.instrument, w.log); err != nil {
			return err
		}
		defer w.back.close()
	}
	if err := w.newPool(); err != nil {
		return err
	}
	printWhere(stdout, w)
	return w.serve(ctx, signals)
}

// sendRest sends what telemetry has not sent yet.
func (w *worker) sendRest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime(w.stopped, time.Now(), w.cfg.DrainTimeout))
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

// serve runs the pool and what stands around it. The order of the stop:
//
//  1. The first signal, or POST /drain, or a failure: the pool drains, the
//     producer API takes no more requests, scale-in protection is dropped.
//  2. A second signal: the drain is cut short.
//  3. The pool has returned: the admin server and the local queue end. They
//     outlive it, so that it can be watched and can settle while it drains.
func (w *worker) serve(ctx context.Context, signals <-chan os.Signal) error {
	group, ctx := errgroup.WithContext(ctx)
	working, stop := context.WithCancel(ctx)
	defer stop()
	outer, closeServers := context.WithCancel(context.WithoutCancel(ctx))
	defer closeServers()

	page, err := w.console(stop, outer.Done())
	if err != nil {
		return err
	}
	group.Go(func() error {
		defer closeServers()
		defer stop()
		if err := w.pool.Run(working); err != nil {
			return fmt.Errorf("worker pool: %w", err)
		}
		return nil
	})
	group.Go(func() error { return admin.Serve(outer, w.admin, w.adminHandler(stop, page), serverGrace) })
	group.Go(func() error { w.obey(outer, stop, signals); return nil })
	group.Go(func() error { w.protector.Run(outer); return nil })
	if w.health != nil {
		group.Go(func() error { w.health.run(working); return nil })
	}
	if w.local != nil {
		group.Go(func() error { return admin.Serve(working, w.local.producerListener, w.local.producer, time.Second) })
		group.Go(func() error { return admin.Serve(outer, w.local.queueListener, w.local.server, serverGrace) })
	}
	group.Go(func() error {
		<-working.Done()
		w.stopped = time.Now()
		w.protector.Drain()
		return nil
	})
	err = group.Wait()
	if err == nil {
		w.log.Info("stopped")
	}
	return err
}

// obey turns the first signal into a stop and the second into a hurry.
func (w *worker) obey(ctx context.Context, stop func(), signals <-chan os.Signal) {
	select {
	case s := <-signals:
		w.log.Info("stopping: handlers may finish", "signal", s.String(), "drain_timeout", w.cfg.DrainTimeout)
		stop()
	case <-ctx.Done():
		return
	}
	select {
	case s := <-signals:
		w.log.Warn("stopping at once", "signal", s.String())
		w.pool.Abort()
	case <-ctx.Done():
	}
}

// adminHandler answers on the admin address: page does, except where admin has
// an endpoint.
func (w *worker) adminHandler(stop func(), page http.Handler) http.Handler {
	endpoints := admin.New(admin.Config{
		Health: w.pool.Healthy,
		Ready: func() error {
			if !w.pool.Ready() {
				return errNotReady
			}
			return nil
		},
		Metrics:  w.telemetry.Handler(),
		Settings: func() any { return w.cfg.shown() },
		Pause: func() {
			w.log.Info("paused: nothing more is received until POST /resume")
			w.pool.Pause()
		},
		Resume: func() {
			w.log.Info("resumed")
			w.pool.Resume()
		},
		Drain: func() {
			w.log.Info("draining: handlers may finish", "drain_timeout", w.cfg.DrainTimeout)
			stop()
		},
		Token:   w.cfg.AdminToken,
		Logger:  w.log,
		Version: version(),
	})
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/config", "/pause", "/resume", "/drain"} {
		mux.Handle(path, endpoints)
	}
	mux.Handle("/", page)
	return mux
}
