package workercmd

import (
	"context"
	"errors"
	"os"
	"sync"
)

// stops are what the signals of the process ask for. Each context ends with a
// signal as its cause; neither ends without one, except when the parent does.
type stops struct {
	gentle  context.Context // ends with the first signal: handlers may finish
	hurried context.Context // ends with the second: the drain is cut short
}

// received is the cause of a context that a signal has ended.
type received struct{ os.Signal }

// Error implements error.
func (r received) Error() string { return "received " + r.String() }

// followSignals reads signals from now on, so that one is heard whatever the
// process is busy with. The caller calls release when no signal matters any more.
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

// signalOf names the signal that ended ctx; empty when none has.
func signalOf(ctx context.Context) string {
	if r, ok := errors.AsType[received](context.Cause(ctx)); ok {
		return r.String()
	}
	return ""
}
