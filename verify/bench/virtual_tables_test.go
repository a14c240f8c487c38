//go:build bench

package bench

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// At AWS-like latencies, in virtual time.
func testVirtualTables(t *testing.T) {
	n, file := settings(t)
	endpoint := emulators.DynamoDB(t)
	grid := &Table{Head: []string{"slots", "handler", "calls a message", "messages/s"}}
	atOnce := make(map[int]Outcome) // handlers that take no time, by slots
	for _, concurrency := range []int{10, 50, 100, 400, 1000} {
		for _, handle := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond} {
			messages := max(n/2, 12*concurrency) // so many that the first and last messages decide little
			o := Simulate(t, endpoint, Scene{Backlog: [][]string{Bodies("a", messages, messages, 1<<10)}, Concurrency: concurrency, Handle: handle})
			if handle == 0 {
				atOnce[concurrency] = o
			}
			grid.Add(strconv.Itoa(concurrency), handle.String(), fmt.Sprintf("%.2f", o.PerMessage()), fmt.Sprintf("%.0f", o.Rate()))
		}
	}
	growth := &Table{Head: []string{"workers", "names", "duplicates of finished names", "calls a message", "messages/s"}}
	for _, s := range []struct {
		workers, messages int
		kind              Kind
	}{
		{1, 1000, Distinct}, {1, 10_000, Distinct}, {1, 50_000, Distinct}, {2, 10_000, Distinct}, {4, 20_000, Distinct},
		{1, 5000, Finished}, {2, 10_000, Finished}, {4, 20_000, Finished},
	} {
		share := map[Kind]string{Distinct: "none", Finished: "90 %"}[s.kind]
		o := Simulate(t, endpoint, Scene{Backlog: Workload{Kind: s.kind, Messages: s.messages, Size: 1 << 10}.backlogs(), Workers: s.workers})
		names := s.messages
		if s.kind == Finished {
			names = s.messages / 5
		}
		growth.Add(strconv.Itoa(s.workers), strconv.Itoa(names), share, fmt.Sprintf("%.3f", o.PerMessage()), fmt.Sprintf("%.0f", o.Rate()))
		t.Logf("%+v: %.3f", s, o.PerMessage())
	}
	replace(t, file, "virtual", grid)
	replace(t, file, "growth", growth)
	per := func(slots int) float64 { return atOnce[slots].PerMessage() }
	record(t, file, AimCalls, max(per(50), per(100), per(1000)) <= 0.31, "%.2f with 50 slots, %.2f with 100, %.2f with 1,000", per(50), per(100), per(1000))
	record(t, file, AimRate, atOnce[1000].Rate() >= 12_000, "%.0f", atOnce[1000].Rate())
}

// Where calls to DynamoDB take log-normal times, in virtual time: batches cost at most a twentieth
// of the messages per second. Their 99th percentile is at most 1.1 times that of single writes: one
// slow call delays a whole batch.
func testSpreadTable(t *testing.T) {
	n, file := settings(t)
	endpoint := emulators.DynamoDB(t)
	table := &Table{Head: []string{"slots", "writes", "calls a message", "messages/s", "p50, p99 of claim and completion"}}
	for _, concurrency := range []int{50, 100} {
		run := func(name string, batching dynamo.Batching) (all Outcome) {
			const seeds = 12
			calls := 0
			for seed := range uint64(seeds) { // a batch shares its time: one run has too few slow calls for a percentile
				o := Simulate(t, endpoint, Scene{
					Backlog: [][]string{Bodies("a", n, n, 1<<10)}, Concurrency: concurrency, Seed: 1 + seed, Batch: batching,
				})
				t.Logf("%d slots, %s, seed %d: %.0f messages/s, p99 %s", concurrency, name, 1+seed, o.Rate(), o.Percentile(99))
				all.Messages, all.Took, all.Held = all.Messages+o.Messages, all.Took+o.Took, append(all.Held, o.Held...)
				calls += o.Total()
			}
			slices.Sort(all.Held)
			table.Add(strconv.Itoa(concurrency), name, fmt.Sprintf("%.2f", float64(calls)/float64(all.Messages)), fmt.Sprintf("%.0f", all.Rate()),
				millis(all.Percentile(50))+", "+millis(all.Percentile(99)))
			return all
		}
		single, batched := run("single", dynamo.BatchOff), run("batched", dynamo.BatchOn)
		if batched.Rate() < 0.95*single.Rate() {
			t.Errorf("%d slots: %.0f messages/s with batches, %.0f without", concurrency, batched.Rate(), single.Rate())
		}
		if concurrency == 50 {
			times := float64(batched.Percentile(99)) / float64(single.Percentile(99))
			record(t, file, AimSpread, times <= 1.1, "%.2f times: %s and %s", times, millis(batched.Percentile(99)), millis(single.Percentile(99)))
		}
	}
	replace(t, file, "spread", table)
}
