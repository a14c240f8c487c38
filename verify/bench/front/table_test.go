//go:build bench

package front

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/verify/bench"
)

// The table of the producer in BENCHMARKS.md: serve and the bare handler in turn, medians. The
// number of posts of a round is that of -benchtime, such as 5000x.
func TestTable(t *testing.T) {
	const rounds = 3
	file := os.Getenv("SQSONCE_BENCHMARKS")
	if file == "" {
		t.Fatal("SQSONCE_BENCHMARKS is not set: want the file with the tables, such as BENCHMARKS.md")
	}
	producer, dynamo := build(t), emulators.DynamoDB(t)
	table := &bench.Table{Head: []string{"clients", "serve: requests/s", "CPU a request", "p99", "bare: requests/s", "CPU a request", "p99", "requests/s: serve to bare"}}
	for _, clients := range []int{1, 16, 100, 1000} {
		var results [2][]testing.BenchmarkResult
		for range rounds {
			for i, subject := range []string{"serve", "bare"} {
				r := testing.Benchmark(func(b *testing.B) { run(b, producer, dynamo, subject, clients) })
				if r.N == 0 || r.Extra["req/s"] == 0 {
					t.Fatalf("%s with %d clients: no result", subject, clients)
				}
				results[i] = append(results[i], r)
			}
		}
		median := func(i int, unit string) float64 {
			var all []float64
			for _, r := range results[i] {
				all = append(all, r.Extra[unit])
			}
			slices.Sort(all)
			return all[rounds/2]
		}
		row := []string{strconv.Itoa(clients)}
		for i := range results {
			row = append(row, fmt.Sprintf("%.0f", median(i, "req/s")), fmt.Sprintf("%.0f µs", median(i, "cpu-µs/op")), fmt.Sprintf("%.1f ms", median(i, "p99-ms")))
		}
		times := median(0, "req/s") / median(1, "req/s")
		table.Add(append(row, fmt.Sprintf("%.1f", times))...)
		if clients == 100 {
			if err := bench.AimProducer.Record(file, times >= 3, fmt.Sprintf("%.1f times: %s and %s", times, row[1], row[4])); err != nil {
				t.Error(err)
			}
		}
	}
	if err := bench.Replace(file, "producer", table.String()); err != nil {
		t.Error(err)
	}
}
