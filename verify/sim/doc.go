// Package sim runs whole workers (consumer, guard and handler) on sqstest and memstore in virtual
// time, injects faults, and checks the promise of DESIGN.md section 1.
//
// A run is determined by its seed: the kind of queue, the number of workers, the names and their
// duplicates, the duration of every call, and the faults. Each decision is drawn from the seed and
// its subject (worker, call, name, number), never from the order of goroutines. Latencies are
// random in nanoseconds, so that no two events are at one instant. The same seed therefore gives
// the same trace, which a test checks.
//
// Faults are before and after every effect. A call is refused or throttled, is applied while its
// answer is lost, hangs, or is applied long after its caller has stopped waiting. Single entries of
// a batch fail. A process crashes before or after an effect. See [Plan].
//
// There are two modes. In a safety run the faults never end, and only the invariants are checked.
// In a liveness run they end at [Plan.Chaos]. Within [Plan.Settle] after that every message must
// have left the queue and every name must have its outcome.
//
// A third kind of plan, [NewTroubled], has few faults of calls. Its faults concern single messages,
// groups and tenants, which must not delay other messages: see [Trouble] and the rule in
// progress.go.
//
// [Plan.Delayed] adds late timers and goroutines, as on a busy machine. Its runs need a package
// time that fires timers late: see package lateclock.
//
// [Plan.Shared] adds batches, bounds for groups, or both to a plan.
//
// [RunOnDynamoDB] keeps the records in a table of a DynamoDB server, through the real store and the
// SDK's client.
//
// The simulation does not cover SQS and DynamoDB themselves (tests on local servers do), nor
// goroutine schedules that need real parallelism (the race detector and package chaos do).
package sim
