// Package chaos runs the worker as real processes on real servers, breaks what
// can be broken from outside, and counts what the work has seen of it.
//
// Between the workers and the servers stands a [Proxy] that drops answers after
// their effect, delays, cuts and throttles. The workers are killed with SIGKILL,
// stopped with SIGSTOP for longer than a lease, and told to end with SIGTERM, at
// random. A [Ledger] is their HTTP target: it writes down every call with its
// fence. At the end [Judge] explains every repeated call, or cannot.
package chaos
