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
// # What is not promised
//
// An effect can repeat if the process dies between the effect and the write
// that records it. For that the handler gets the name, to hand on as an
// idempotency key, and a fence that only grows (see [AttemptFrom]). Or choose
// [Config.Hold]: an attempt of unknown outcome is then parked as UNKNOWN and
// never run again without an operator's word.
//
// # How it works
//
// One [Record] per name holds the lock and then the outcome. A [Store] offers
// a single compare-and-swap on its version. [Step], a pure function, decides
// everything; [Guard.Do] moves records through it: claim, run under a renewed
// lease, record the outcome. Each attempt carries a random owner token, by
// which it recognises a write of its own whose answer was lost.
//
// Whose clock: leases are absolute times by the workers' clocks. An owner
// counts from before its write and stops [Config.Skew] early; a challenger
// waits as long beyond the end.
package dedupe
