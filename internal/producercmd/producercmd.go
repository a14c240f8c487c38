// Package producercmd is the command producer. It puts named messages on an SQS queue and
// reports their outcomes, over HTTP (serve) and on the command line.
package producercmd

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Main runs the program and ends the process.
func Main() {
	// Two: the first signal stops the command gracefully, the second at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	os.Exit(run(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}, signals))
}
