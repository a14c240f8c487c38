// Package stack gives a goroutine at its beginning the stack that it is going to
// need. A stack of 2 KiB gets there by doubling, and each time all that is on it
// is copied and adjusted; at the bottom there is nothing yet. It is for
// goroutines that live for one message or one call, and saves a third of the CPU
// of a call of the AWS SDK, a fifth of that of a guarded message (see the
// benchmarks of this package and of dedupe).
package stack

import "runtime"

// ForCall makes room for a call of the AWS SDK, which takes more than 16 KiB
// under its middlewares (v1.47): the stack becomes one of 32 KiB.
func ForCall() { call(false) }

// ForMessage makes room for what becomes of a message under all that the worker
// puts around it, up to a handler that does little, which takes more than 8 KiB:
// the stack becomes one of 16 KiB.
func ForMessage() { message(false) }

// A function that is entered has room for all its variables, and sets to zero only
// those that it comes to.

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
