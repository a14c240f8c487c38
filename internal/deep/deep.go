// Package deep gives a goroutine at its beginning the stack that it is going to
// need. A stack of 2 KiB gets there by doubling, and each time all that is on it
// is copied and adjusted; at the bottom there is nothing yet. It is for
// goroutines that live for one message or one call, and saves a third of the CPU
// of a call of the AWS SDK, a fifth of that of a guarded message (see the
// benchmarks of this package and of dedupe).
package deep

import "runtime"

// ForCall makes room for a call of the AWS SDK, which takes more than 16 KiB
// under its middlewares (v1.47): the stack becomes one of 32 KiB.
//
//go:noinline
func ForCall() {
	var b [16 << 10]byte
	runtime.KeepAlive(&b)
}

// ForMessage makes room for what becomes of a message, up to a handler that does
// little: the stack becomes one of 8 KiB.
//
//go:noinline
func ForMessage() {
	var b [5 << 10]byte
	runtime.KeepAlive(&b)
}
