// Package workercmd is the command worker. It long-polls an SQS queue and handles each named
// message once, by an HTTP target or by the built-in handler. With --local it runs its own queue,
// store and producer API.
package workercmd

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Main runs the program and ends the process.
func Main() {
	// Two: the first signal starts a graceful shutdown, the second aborts it.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr, signals))
}
