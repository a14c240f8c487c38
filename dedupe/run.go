package dedupe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// errGoexit is the failure of a handler that ended its goroutine.
var errGoexit = errors.New("handler called runtime.Goexit")

// run calls fn under a renewed lease and records what it returns. The renewal
// has ended, and a.rec is the record as it left it, before that is built.
func (e *engine) run(ctx context.Context, a *attempt, fn work) (protocol.Record, error) {
	working := e.timers.withCancelCause(context.WithValue(ctx, attemptKey{}, a))
	defer working.cancel()
	a.cancel, a.ran = working.cancelCause, true
	a.effects.recordID = a.rec.ID
	a.effects.committer, _ = e.store.(Committer)

	if a.takeover {
		e.hooks.TookOver(a.Attempt)
	}
	e.hooks.Claimed(a.Attempt)
	// Once more: the hook may have taken long, or this goroutine's turn.
	if err := e.begin(ctx, a); err != nil {
		return e.settle(ctx, a, output{}, handled{err: err, stop: ctx.Err(), notBegun: true})
	}
	e.renewals.add(ctx, a)
	begun := time.Now()
	ended := false
	defer func() {
		if !ended { // fn has ended this goroutine: nothing but deferred calls will run
			a.took = time.Since(begun)
			e.renewals.remove(a)
			_, _ = e.settle(ctx, a, output{}, handled{err: errGoexit, lost: lostLease(working), stop: ctx.Err()})
		}
	}()
	out, err := call(working, fn)
	ended, a.took = true, time.Since(begun)
	h := handled{err: err, lost: lostLease(working), stop: ctx.Err()}
	e.renewals.remove(a)
	if err != nil && h.lost && !errors.Is(err, ErrLeaseLost) {
		h.err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
	}
	return e.settle(ctx, a, out, h)
}

// lostLease reports whether a handler's context was cancelled because of its lease.
func lostLease(working context.Context) bool { return errors.Is(context.Cause(working), ErrLeaseLost) }

// call turns a panic of fn into an error.
func call(ctx context.Context, fn work) (out output, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: trimmed(debug.Stack())}
		}
	}()
	return fn(ctx)
}

// panicError is a handler's panic turned into an error.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// Unwrap returns the value of the panic if it is an error.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// trimmed is a stack from where it panicked down to the handler: the frames
// above are those of the recovery, the ones below those of the guard.
func trimmed(stack []byte) []byte {
	lines := bytes.SplitAfter(bytes.TrimSpace(stack), []byte("\n"))
	from, to := 0, len(lines)
	for i := 0; i+1 < len(lines); i++ {
		switch line := lines[i]; {
		case bytes.HasPrefix(line, []byte("panic(")):
			from = i + 2 // its place follows; the last of several is the first panic
		case from > 0 && bytes.Contains(line, []byte(").Do.func")):
			to = i
		}
		if to < len(lines) {
			break
		}
	}
	if from >= to {
		return stack
	}
	return bytes.TrimSpace(bytes.Join(lines[from:to], nil))
}
