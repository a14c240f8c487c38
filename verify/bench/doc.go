// Package bench measures the cost of a message: AWS calls, CPU, allocations, memory, and time.
//
// It measures in three ways. In virtual time ([Simulate]) whole workers run with latencies like
// those of AWS. The results are exact and the same on every machine, so tests check them against
// bounds. The harness ([Measure]) runs the worker as a process on local servers, in turn with a
// hand-written loop, and counts the calls of both at a proxy. Its ratios are meaningful; its times
// depend on the machine. The floor makes only the calls that remain with batching, with the SDK
// alone. All of them can also get canned answers, to exclude the servers.
//
// BENCHMARKS.md has the results. make bench updates its tables.
package bench
