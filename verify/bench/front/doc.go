// Package front puts load on "producer serve" and on the handler that it replaces
// (net/http, encoding/json and one SendMessage a request): each a process of its own
// before one and the same SQS server. Times are those of the machine; read the ratios.
//
//	go test -run '^$' -bench . -benchtime 20000x -count 2 ./bench/front
//
// make bench-producer writes the table of BENCHMARKS.md.
package front
