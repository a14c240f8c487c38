// Command local starts and stops local servers of SQS and DynamoDB with the queues and the table of
// a worker.
//
//	local up    start SQS and DynamoDB, create queue, dead-letter queue and
//	            table; print the settings as shell exports on standard output
//	local down  stop them
//
// SQS_PORT and DYNAMODB_PORT choose the ports; unset or 0 takes free ones.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	verbs := map[string]func(context.Context) error{"up": up, "down": down}
	if len(args) != 1 || verbs[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "usage: local up|down")
		return 2
	}
	if err := verbs[args[0]](ctx); err != nil {
		fmt.Fprintf(os.Stderr, "local %s: %v\n", args[0], err)
		return 1
	}
	return 0
}
