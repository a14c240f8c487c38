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
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/awsenv"
)

// errUnhealthy is what "worker check" fails with.
var errUnhealthy = errors.New("worker is not healthy")

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
			err = runWorker(ctx, s, stdout, stderr, signals)
		}
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "worker: %v\n", err)
	}
	return exitCode(err)
}

// runCheck asks a running worker for its health.
func runCheck(ctx context.Context, c check) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.AdminAddr+"/healthz", nil)
	if err != nil {
		return &awsenv.SettingsError{Problems: []string{fmt.Sprintf("--admin-addr %q: %v", c.AdminAddr, err)}}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnhealthy, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("%w: %s: %s", errUnhealthy, resp.Status, body)
	}
	return nil
}

// backend is what the worker works on: a queue and a store, real or local.
type backend struct {
	queue    *sqs.Client
	queueURL string
	dlqURL   string
	store    dedupe.Store
}

// runWorker wires store, guard, handler, consumer and servers, and runs them
// until a signal or a failure.
func runWorker(ctx context.Context, c config, stdout, stderr io.Writer, signals <-chan os.Signal) error {
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	log := awsenv.Logger(stderr, c.LogFormat, level)
	adminListener, err := awsenv.Listen("--admin-addr", c.AdminAddr)
	if err != nil {
		return err
	}
	defer func() { _ = adminListener.Close() }()

	var back backend
	var local *localParts
	if c.Local {
		if local, err = newLocal(ctx, c, log); err != nil {
			return err
		}
		defer local.close()
		back = local.backend
	} else if back, err = connect(ctx, c); err != nil {
		return err
	}
	pool, err := newPool(c, back, log)
	if err != nil {
		return err
	}
	printWhere(stdout, c, back, adminListener, local)
	return serve(ctx, c, pool, adminListener, local, log, signals)
}

// serve runs the pool and the servers around it. The producer API stops with
// the first signal; the admin server and the local queue outlive the pool, so
// that it can be watched and can settle while it drains.
func serve(
	ctx context.Context, c config, pool *consumer.Consumer, adminListener net.Listener,
	local *localParts, log *slog.Logger, signals <-chan os.Signal,
) error {
	group, ctx := errgroup.WithContext(ctx)
	working, stop := context.WithCancel(ctx)
	defer stop()
	outer, closeServers := context.WithCancel(context.WithoutCancel(ctx))
	defer closeServers()

	group.Go(func() error {
		defer closeServers()
		defer stop()
		if err := pool.Run(working); err != nil {
			return fmt.Errorf("worker pool: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		handler := admin.New(admin.Config{
			Health: pool.Healthy,
			Ready: func() error {
				if !pool.Ready() {
					return errors.New("draining or not started")
				}
				return nil
			},
			Version: version(),
		})
		return admin.Serve(outer, adminListener, handler, time.Second)
	})
	group.Go(func() error {
		select {
		case s := <-signals:
			log.Info("stopping: handlers may finish", "signal", s.String(), "drain_timeout", c.DrainTimeout.String())
			stop()
		case <-outer.Done():
			return nil
		}
		select {
		case s := <-signals:
			log.Warn("stopping at once", "signal", s.String())
			pool.Abort()
		case <-outer.Done():
		}
		return nil
	})
	if local != nil {
		group.Go(func() error { return admin.Serve(working, local.producerListener, local.producer, time.Second) })
		group.Go(func() error { return admin.Serve(outer, local.queueListener, local.server, time.Second) })
	}
	err := group.Wait()
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// connect reaches the real queue and table, creating them where that was asked for.
func connect(ctx context.Context, c config) (backend, error) {
	cfg, err := awsenv.Load(ctx)
	if err != nil {
		return backend{}, err
	}
	queue, table := sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
	back := backend{queue: queue, queueURL: c.QueueURL, dlqURL: c.DLQURL}
	if c.Create {
		if !awsenv.EndpointOverridden(cfg, "SQS") || !awsenv.EndpointOverridden(cfg, "DYNAMODB") {
			return backend{}, &awsenv.SettingsError{Problems: []string{
				"--create: refused on AWS itself; set AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL_DYNAMODB, or deploy the stack",
			}}
		}
		if back.queueURL, back.dlqURL, err = awsenv.CreateQueue(ctx, queue, c.QueueURL); err != nil {
			return backend{}, err
		}
		if c.DLQURL != "" {
			back.dlqURL = c.DLQURL
		}
		if err := dynamo.CreateTable(ctx, table, c.Table); err != nil {
			return backend{}, err
		}
	}
	if err := dynamo.CheckTable(ctx, table, c.Table); err != nil {
		return backend{}, err
	}
	back.store, err = dynamo.New(table, dynamo.Config{Table: c.Table})
	return back, err
}
