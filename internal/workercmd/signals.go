package workercmd

import (
	"context"
	"errors"
	"os"
	"sync"
)

// stops holds a context for each signal. A context ends with its signal as the cause, or with the
// parent.
type stops struct {
	gentle  context.Context // ends with the first signal: handlers may finish
	hurried context.Context // ends with the second signal: the drain is aborted
}

// received is the cause of a context that a signal has ended.
type received struct{ os.Signal }

// Error implements error.
func (r received) Error() string { return "received " + r.String() }

// followSignals reads signals in a goroutine until the caller calls release.
func followSignals(ctx context.Context, signals <-chan os.Signal) (s stops, release func()) {
	gentle, first := context.WithCancelCause(ctx)
	hurried, second := context.WithCancelCause(ctx)
	done := make(chan struct{})
	var follower sync.WaitGroup
	follower.Go(func() {
		for _, stop := range []context.CancelCauseFunc{first, second} {
			select {
			case signal := <-signals:
				stop(received{signal})
			case <-done:
				return
			}
		}
	})
	return stops{gentle, hurried}, func() {
		close(done)
		follower.Wait()
		first(nil)
		second(nil)
	}
}

// signalOf returns the name of the signal that ended ctx; empty if none has.
func signalOf(ctx context.Context) string {
	if r, ok := errors.AsType[received](context.Cause(ctx)); ok {
		return r.String()
	}
	return ""
}
