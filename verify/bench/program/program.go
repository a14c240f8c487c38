// Package program is the common part of the benchmark's subjects: they read their settings from the
// environment, end on SIGTERM, and print their allocations.
package program

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/internal/awsenv"
)

// Main runs a subject, with the worker's HTTP client and the number in the
// environment variable setting, and ends the process.
func Main(setting string, run func(ctx context.Context, cfg aws.Config, n int) error) {
	if err := start(setting, run); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func start(setting string, run func(ctx context.Context, cfg aws.Config, n int) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n, err := strconv.Atoi(os.Getenv(setting))
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	cfg, err := awsenv.Load(ctx, slog.Default())
	if err != nil {
		return err
	}
	err = run(ctx, cfg, n)
	if err == nil {
		<-ctx.Done() // the harness reads the memory of a process that still runs
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_, _ = fmt.Fprintln(os.Stdout, "mallocs", m.Mallocs)
	return err
}
