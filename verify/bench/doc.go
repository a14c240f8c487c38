// Package bench measures the cost of a message: AWS calls, CPU, allocations, memory, and time.
//
// It measures in three ways. In virtual time ([Simulate]) whole workers run with latencies like
// those of AWS. The results are exact and the same on every machine, so tests check them against
// bounds. The harness ([Measure]) runs programs as processes, in turn: the worker, a hand-written
// loop, other libraries in Go and on Node, and the calls that remain with batching, with the SDK
// alone. They run on local servers, or get canned answers, at once or at the pace of AWS. The
// harness counts the calls of all at a proxy. Its ratios are meaningful; its times depend on the
// machine.
//
// BENCHMARKS.md has the results. make bench-tables updates its tables.
package bench
