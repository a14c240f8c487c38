// Package stack grows the stack of a goroutine at its start to the size that it will need. A stack
// begins with 2 KiB and doubles. Each doubling copies and adjusts the used part, which is almost
// nothing at the start. The package is for goroutines that serve one message or one call. It saves
// a third of the CPU of a call of the AWS SDK, and a fifth of that of a guarded message (see the
// benchmarks of this package and of dedupe).
package stack

import "runtime"

// Grow grows the stack to 32 KiB. A call of the AWS SDK (v1.47) needs more than 16 KiB under its
// middlewares, and so does a message under all frames of the worker, its guard and its handler.
func Grow() { grow(false) }

//go:noinline
func grow(use bool) { // its frame is allocated when it is entered, and not cleared
	if use {
		var b [16 << 10]byte
		runtime.KeepAlive(&b)
	}
}
