// Package dedupe runs work once per name, for callers that are asked more than
// once.
//
// # The guarantee
//
// While a name's record is live, one attempt at a time holds the name, and
// after one is recorded as completed no other starts. A holder that cannot
// prove its lease has its context cancelled before another attempt may start,
// as long as clocks agree within the skew margin and its process is not
// paused; beyond that, and for work that ignores cancellation, the later
// attempt carries a higher fence. Every later caller gets the recorded result
// or rejection.
//
// While the record is live, writes that a handler hands to [AddEffect] commit
// atomically with "completed": for these, exactly once, crash or no crash.
//
// # What is not promised
//
// An effect outside that transaction can repeat if the process dies between
// the effect and the write that records it. For that the handler gets the name,
// to hand on as an idempotency key, and a fence that only grows (see
// [AttemptFrom]). Or choose [Config.Hold]: an attempt of unknown outcome (its
// lease lapsed, its caller stopped, or its error says so) is then parked as
// UNKNOWN and never run again without an operator's word (see [Operator]).
//
// The promise ends with the record: after [Config.Window] without a write, or
// an operator's Forget, a name is as if it had never been seen.
//
// # How it works
//
// One record per name holds the lock and then the outcome. A [Store] offers a
// single compare-and-swap on its version. A pure function decides everything (Step
// in package protocol); [Guard.Do] moves records through it: claim, run under a renewed
// lease, record the outcome. Each attempt carries a random owner token, by
// which it recognises a write of its own whose answer was lost.
//
// Whose clock: leases are absolute times by the workers' clocks. An owner
// counts from before its write and stops [Config.Skew] early; a challenger
// waits as long beyond the end. [Config.Now] takes a better clock.
//
// When the store does not answer, nothing is run: a claim is tried again while
// its caller waits, and then fails with [ErrUnavailable]. An outcome is tried to
// be recorded until somebody else holds the name, the caller has stopped for
// longer than [Config.Settle], or 12 hours have passed.
//
// # What handlers may do
//
// A handler may panic (a failure, with its stack), end its goroutine (a failure),
// return a result that is too large or cannot be encoded (it is completed; the
// record keeps a marker, and only its own caller gets the value), change its input
// (the name was taken before), and ignore its cancellation (its caller waits, and
// the name stays held for as long as its lease can be renewed). Its errors may say
// more about themselves by methods: see package failure and docs/dedupe.md.
package dedupe
