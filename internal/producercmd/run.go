package producercmd

import (
	"context"
	"fmt"
	"io"
	"os"
)

// stdio is where the program reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// command is one of the program's commands.
type command interface {
	// check returns all problems of the settings as a [*awsenv.SettingsError].
	check() error
	// run executes the command. The first signal ends ctx.
	run(ctx context.Context, io stdio) error
}

// run runs the program and returns the exit code.
func run(ctx context.Context, args []string, io stdio, signals <-chan os.Signal) int {
	io.out, io.err = &cleanWriter{w: io.out}, &cleanWriter{w: io.err}
	command, err := parse(args, io.out, io.err)
	if err == nil && command != nil {
		err = runUntil(ctx, command, io, signals)
	}
	if err != nil && err.Error() != "" {
		_, _ = fmt.Fprintf(io.err, "producer: %v\n", err)
	}
	return exitCode(err)
}

// runUntil runs the command. The first signal ends its context. The second one makes runUntil
// return while the command still runs; the process ends then.
func runUntil(ctx context.Context, c command, io stdio, signals <-chan os.Signal) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan error, 1)
	go func() { done <- c.run(ctx, io) }()
	for received := 0; ; {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			cause := &exitError{code: 1, text: "stopped by " + s.String()}
			if received++; received > 1 {
				return cause
			}
			stop(cause)
		}
	}
}
