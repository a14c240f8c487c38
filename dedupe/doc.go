// Package dedupe runs work once per name, for callers that may ask for it more than once.
//
// # The guarantee
//
// While a name's record is live, at most one attempt at a time holds the name. After an attempt is
// recorded as completed, no other starts. A holder that cannot renew its lease in time has its
// context cancelled before another attempt may start. That requires clocks that agree within the
// skew margin, and a process that is not paused. If these fail, or if the work ignores its
// cancellation, the later attempt has a higher fence. Every later caller gets the recorded result
// or rejection.
//
// While the record is live, the writes that a handler passes to [AddEffect] commit in one
// transaction with the completion. They happen exactly once, even after a crash.
//
// # The limits
//
// An effect outside that transaction can repeat if the process dies between the effect and the
// write that records it. For such effects the handler gets the name, to pass on as an idempotency
// key, and a fence that grows with each attempt (see [AttemptFrom]). The alternative is
// [Config.Hold]: an attempt of unknown outcome becomes UNKNOWN and does not run again until an
// operator decides (see [Operator]). The outcome is unknown if the lease lapsed, the caller
// stopped, or the error says so.
//
// The guarantee ends with the record. After [Config.Window] without a write, or an operator's
// Forget, a name counts as never seen.
//
// # How it works
//
// One record per name holds the lock and then the outcome. A [Store] offers a single
// compare-and-swap on its version. All decisions are made by Step in package protocol, a pure
// function. [Guard.Do] moves a record through its states: claim, run under a renewed lease, record
// the outcome. Each attempt has a random owner token, by which it recognises its own write after
// its answer was lost.
//
// Leases are absolute times by the workers' clocks. An owner counts from before its write and stops
// [Config.Skew] before the end. Another attempt waits as long after the end. [Config.Now] sets a
// better clock.
//
// Nothing runs while the store does not answer. A claim is retried while its caller waits, and then
// fails with [ErrUnavailable]. An outcome is retried until another attempt holds the name, until
// the caller has been stopped for longer than [Config.Settle], or for 12 hours.
//
// # Handlers
//
// A handler that panics or ends its goroutine has failed. A result that is too large or cannot be
// encoded does not fail the completion: the record keeps a marker, and only the handler's own
// caller gets the value. A handler may change its input, because the name was taken before. If a
// handler ignores its cancellation, its caller waits, and the name stays held while its lease can
// be renewed. Errors can control the outcome by methods; see package failure and docs/dedupe.md.
package dedupe
