// Package sim runs whole workers (consumer, guard and handler) against
// sqstest and memstore in virtual time, breaks everything that can break, and
// watches whether the promise of DESIGN.md section 1 still holds.
//
// One seed decides everything: the kind of queue, the number of workers, the
// names and their duplicates, how long every call takes, and which faults are
// met where. Each decision is drawn from the seed and from what it is about
// (which worker, which call, which name, the how-manieth), never from the order
// in which goroutines come to ask. Together with latencies of nanosecond grain,
// which leave no two events at one instant, the same seed gives the same trace;
// a test holds that.
//
// Faults stand on both sides of every effect: refused, applied with its answer
// lost, hung, applied long after its caller has given up, throttled, single
// entries of a batch; a crash can fall before or after any effect. See [Plan].
//
// There are two modes. In a safety run faults never end, and only the
// invariants count. In a liveness run they end at [Plan.Chaos]; within
// [Plan.Settle] of that every message must have left the queue and every name
// must have its outcome.
//
// A third kind of plan, [NewTroubled], has few faults of calls. In it single
// messages, groups and tenants are in trouble, and must not keep the others from
// being begun: see [Trouble] and the rule in progress.go.
//
// [RunOnDynamoDB] keeps the records in a real server's table instead, behind the
// real store and the SDK's client.
//
// What is not shown here: Amazon's SQS and DynamoDB (the tests against servers do
// that), and goroutine schedules that only real parallelism has (the race
// detector and package chaos do that).
package sim
