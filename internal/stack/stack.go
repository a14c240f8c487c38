// Package stack grows the stack of a goroutine at its start to the size that it will need. A stack
// begins with 2 KiB and doubles. Each doubling copies and adjusts the used part, which is almost
// nothing at the start. The package is for goroutines that serve one message or one call. It saves
// a third of the CPU of a call of the AWS SDK, and a fifth of that of a guarded message (see the
// benchmarks of this package and of dedupe).
package stack

import "runtime"

// ForCall grows the stack to 32 KiB for a call of the AWS SDK, whose middlewares (v1.47) need more
// than 16 KiB.
func ForCall() { call(false) }

// ForMessage grows the stack to 16 KiB for the handling of a message. The worker's own frames
// around a small handler need more than 8 KiB.
func ForMessage() { message(false) }

// A function's frame has room for all its variables on entry, but only executed declarations zero
// theirs.

//go:noinline
func call(use bool) {
	if use {
		var b [16 << 10]byte
		runtime.KeepAlive(&b)
	}
}

//go:noinline
func message(use bool) {
	if use {
		var b [9 << 10]byte
		runtime.KeepAlive(&b)
	}
}
