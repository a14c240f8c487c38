// Package bench measures what a message costs: calls of AWS, CPU, allocations,
// memory, time.
//
// There are three ways to look at it. In virtual time ([Simulate]) whole workers run against AWS-like
// latencies; what comes out is exact and the same on every machine, so tests
// hold it to bounds. The harness ([Measure]) runs the worker as a process on
// local servers, in turn with a loop as people write it by hand, and counts
// both alike at a proxy; its ratios count, its times are those of the machine.
// The floor is the SDK alone, making the calls that batching leaves. All of them
// can also be given canned answers, so that nobody waits for a server.
//
// BENCHMARKS.md says what came out; make bench writes its tables anew.
package bench
