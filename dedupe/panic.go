package dedupe

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
)

// errGoexit is the error of a handler that ended its goroutine.
var errGoexit = errors.New("handler called runtime.Goexit")

// panicError is a handler's panic as an error.
type panicError struct {
	value any
	stack string // of the panic
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// Unwrap returns the value of the panic if it is an error.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// call calls fn. A panic of fn becomes its error.
func call(ctx context.Context, fn work) (out output, err error) {
	defer func() {
		if p := recover(); p != nil {
			var callers [32]uintptr             // enough, because a record keeps only the first kilobyte
			n := runtime.Callers(3, callers[:]) // without Callers, this func and the runtime's panic
			err = &panicError{value: p, stack: stackOf(callers[:n])}
		}
	}()
	return fn(ctx)
}

// stackOf formats the handler's part of a stack like a panic, up to call.
func stackOf(callers []uintptr) string {
	var b strings.Builder
	frames, guard := runtime.CallersFrames(callers), reflect.ValueOf(call).Pointer()
	for {
		f, more := frames.Next()
		if f.Entry == guard {
			break
		}
		fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		if !more {
			break
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// panicked reports whether err means that the handler did not return.
func panicked(err error) bool {
	_, ok := errors.AsType[*panicError](err)
	return ok || errors.Is(err, errGoexit)
}
