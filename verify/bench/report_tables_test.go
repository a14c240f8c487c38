//go:build bench

package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Variables of these runs; see Makefile.d/bench.mk.
const (
	envFile  = "SQSONCE_BENCHMARKS"     // file whose tables are written anew, such as BENCHMARKS.md
	envSize  = "SQSONCE_BENCH_MESSAGES" // messages of a workload
	envOther = "SQSONCE_OTHER_RELEASE"  // directory with the source of an earlier release
)

func settings(t *testing.T) (n int, file string) {
	t.Helper()
	file = os.Getenv(envFile)
	n, err := strconv.Atoi(os.Getenv(envSize))
	if file == "" || err != nil || n < 1000 || n%1000 != 0 {
		t.Fatalf("%s=%q, %s=%q: want a file and a multiple of 1000", envFile, file, envSize, os.Getenv(envSize))
	}
	return n, file
}

func measure(ctx context.Context, t *testing.T, h *Harness, s Subject, w Workload) Measurement {
	t.Helper()
	m, err := h.Measure(ctx, s, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, %s: %.2f calls, CPU %s", s.Name, w.Name, m.PerMessage(m.Total()), m.CPU/time.Duration(w.Messages))
	if m.Trouble != nil {
		t.Logf("answers were lost: %v", m.Trouble)
	}
	return m
}

func TestTables(t *testing.T) {
	t.Run("harness", testHarnessTables)
	t.Run("canned answers", testCannedTables)
	t.Run("virtual time", testVirtualTables)
	t.Run("spread", testSpreadTable)
}

// Every workload with every subject, in turn.
func testHarnessTables(t *testing.T) {
	n, file := settings(t)
	ctx, h := harness(t, GoCloud)
	base := Workload{Messages: n, Size: 1 << 10, Workers: 1, Concurrency: 100, Fingerprint: true}
	var workloads []Workload
	add := func(name string, change func(*Workload)) {
		w := base
		w.Name = name
		change(&w)
		workloads = append(workloads, w)
	}
	add("distinct", func(*Workload) {})
	add("50 % duplicates", func(w *Workload) { w.Kind = Half })
	add("90 % duplicates of finished names", func(w *Workload) { w.Kind = Finished })
	add("90 %, 2 workers", func(w *Workload) { w.Kind, w.Workers = Finished, 2 })
	add("90 %, 4 workers", func(w *Workload) { w.Kind, w.Workers = Finished, 4 })
	add("distinct, 2 workers", func(w *Workload) { w.Workers = 2 })
	add("distinct, 4 workers", func(w *Workload) { w.Workers = 4 })
	add("distinct, HTTP target", func(w *Workload) { w.Target = true })
	add("distinct, 64 KiB", func(w *Workload) { w.Size, w.Messages = 64<<10, n/5 })
	add("distinct, 64 KiB, no fingerprint", func(w *Workload) { w.Size, w.Messages, w.Fingerprint = 64<<10, n/5, false })
	add("distinct, no fingerprint", func(w *Workload) { w.Fingerprint = false })
	add("one at a time", func(w *Workload) { w.Kind, w.Messages = Lone, n/50 })

	table := &Table{Head: []string{"workload", "subject", "calls a message", "CPU a message", "allocations", "messages/s", "p50, p99 in hand", "peak RSS"}}
	detail := &Table{Head: []string{"workload", "subject", "calls a message by operation"}}
	ratios := &Table{Head: []string{"workload", "calls: loop / sqsonce", "CPU: loop / sqsonce", "allocations: loop / sqsonce"}}
	var dollars [2]Measurement // of the first workload
	for i, w := range workloads {
		subjects := []Subject{HandLoop, Worker}
		if i == 0 {
			subjects = append(subjects, GoCloud, Floor)
		}
		var pair [2]Measurement
		for j, s := range subjects {
			m := measure(ctx, t, h, s, w)
			if j < len(pair) {
				pair[j] = m
			}
			table.Add(w.Name, s.Name, fmt.Sprintf("%.2f", m.PerMessage(m.Total())), micros(m.CPU/time.Duration(w.Messages)), fmt.Sprintf("%.0f", m.PerMessage(m.Mallocs)),
				fmt.Sprintf("%.0f", float64(w.Messages)/m.Took.Seconds()), millis(m.Percentile(50))+", "+millis(m.Percentile(99)), fmt.Sprintf("%d MiB", m.PeakRSS>>20))
			detail.Add(w.Name, s.Name, calls(m.Tally, w.Messages))
		}
		ratios.Add(w.Name, ratio(pair[0].Total(), pair[1].Total()), ratio(int(pair[0].CPU), int(pair[1].CPU)), ratio(pair[0].Mallocs, pair[1].Mallocs))
		if i == 0 {
			dollars = pair
		}
	}
	money := &Table{Head: []string{"subject", "SQS requests", "write units", "read units", "dollars a million messages"}}
	for _, m := range dollars[:] {
		money.Add(m.Subject, fmt.Sprintf("%.2f", m.PerMessage(m.SQS())), fmt.Sprintf("%.2f", m.PerMessage(m.Writes)), fmt.Sprintf("%.2f", m.PerMessage(m.Reads)), fmt.Sprintf("$%.2f", m.Dollars()))
	}
	// The pair's calls are 3.1 a message: the same as the loop's, two of them writes.
	money.Add("sqs-consumer + Powertools, Node (calls as given, not measured here)", "1.10", "2.00", "0.00", fmt.Sprintf("$%.2f", Dollars(1.1, 2, 0)))
	money.Add("the same in batch mode (2.2 calls)", "0.20", "2.00", "0.00", fmt.Sprintf("$%.2f", Dollars(0.2, 2, 0)))
	for name, text := range map[string]*Table{"harness": table, "calls": detail, "ratios": ratios, "dollars": money} {
		if err := Replace(file, name, text.String()); err != nil {
			t.Error(err)
		}
	}
}

// Canned answers: the floor, and what the others take above it. The machine
// may be another one from one second to the next, so that each is measured
// several times, in turn, and the median counts.
func testCannedTables(t *testing.T) {
	const times = 5
	n, file := settings(t)
	ctx, h := harness(t, GoCloud)
	w := Workload{Name: "canned", Messages: 5 * n, Size: 1 << 10, Workers: 1, Concurrency: 100, Fingerprint: true, Canned: true}
	subjects := []Subject{Floor, GoCloud, Worker, HandLoop}
	runs := make([][]Measurement, len(subjects))
	for range times {
		for i, s := range subjects {
			runs[i] = append(runs[i], measure(ctx, t, h, s, w))
		}
	}
	table := &Table{Head: []string{"subject", "calls a message", "CPU a message", "allocations", "to the SDK alone", "the loop's divided by it"}}
	cpu := func(m Measurement) time.Duration { return m.CPU / time.Duration(m.Workload.Messages) }
	var medians []Measurement
	for _, r := range runs {
		slices.SortFunc(r, func(a, b Measurement) int { return cmp.Compare(a.CPU, b.CPU) })
		medians = append(medians, r[len(r)/2])
	}
	floor, loop := medians[0], medians[len(medians)-1]
	for i, m := range medians {
		table.Add(m.Subject, fmt.Sprintf("%.2f", m.PerMessage(m.Total())), fmt.Sprintf("%s (%s to %s)", micros(cpu(m)), micros(cpu(runs[i][0])), micros(cpu(runs[i][times-1]))),
			fmt.Sprintf("%.0f", m.PerMessage(m.Mallocs)), fmt.Sprintf("%.2f", float64(cpu(m))/float64(cpu(floor))), fmt.Sprintf("%.1f", float64(cpu(loop))/float64(cpu(m))))
	}
	if err := Replace(file, "canned", table.String()); err != nil {
		t.Error(err)
	}
}

// An earlier release and this one against canned answers, in turn, in both without a log
// line for each message. The machine is shared, so that the least CPU time of several runs counts.
func TestReleases(t *testing.T) {
	const times = 7
	n, file := settings(t)
	before, now := Worker, quiet(t)
	before.Name, before.Module = "earlier release", os.Getenv(envOther)
	if before.Module == "" {
		t.Fatalf("%s is not set: want the directory of an earlier release", envOther)
	}
	ctx, h := harness(t, before, now)
	w := Workload{Name: "canned", Messages: 5 * n, Size: 1 << 10, Workers: 1, Concurrency: 100, Fingerprint: true, Canned: true}
	subjects := []Subject{before, now}
	runs := make([][]Measurement, len(subjects))
	for range times {
		for i, s := range subjects {
			runs[i] = append(runs[i], measure(ctx, t, h, s, w))
		}
	}
	table := &Table{Head: []string{"release", "calls a message", "least CPU a message", "median", "allocations", "to the earlier one"}}
	cpu := func(m Measurement) time.Duration { return m.CPU / time.Duration(m.Workload.Messages) }
	for i, r := range runs {
		slices.SortFunc(r, func(a, b Measurement) int { return cmp.Compare(a.CPU, b.CPU) })
		table.Add(subjects[i].Name, fmt.Sprintf("%.2f", r[0].PerMessage(r[0].Total())), micros(cpu(r[0])), micros(cpu(r[times/2])),
			fmt.Sprintf("%.0f", r[0].PerMessage(r[0].Mallocs)), fmt.Sprintf("%.2f", float64(cpu(r[0]))/float64(cpu(runs[0][0]))))
	}
	if err := Replace(file, "releases", table.String()); err != nil {
		t.Error(err)
	}
}

// quiet is the worker with a built-in handler that does not log the message, as that of the
// earlier release does not.
func quiet(t *testing.T) Subject {
	t.Helper()
	const file, logs, silent = "../../internal/workercmd/handler.go", "do = logged(q.log)", "do = named"
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), logs); n != 1 {
		t.Fatalf("%s has %d times %q, want 1", file, n, logs)
	}
	changed, overlay := filepath.Join(t.TempDir(), "handler.go"), filepath.Join(t.TempDir(), "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(changed, []byte(strings.Replace(string(source), logs, silent, 1)), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		t.Fatal(err)
	}
	s := Worker
	s.Name, s.Overlay = "this release", overlay
	return s
}

func ratio(a, b int) string { return fmt.Sprintf("%.1f", float64(a)/float64(b)) }

// At AWS-like latencies, in virtual time.
func testVirtualTables(t *testing.T) {
	n, file := settings(t)
	endpoint := emulators.DynamoDB(t)
	grid := &Table{Head: []string{"concurrency", "handler", "calls a message", "messages/s"}}
	for _, concurrency := range []int{10, 50, 100, 400, 1000} {
		for _, handle := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond} {
			o := Simulate(t, endpoint, Scene{Backlog: [][]string{Bodies("a", n/2, n/2, 1<<10)}, Concurrency: concurrency, Handle: handle})
			grid.Add(strconv.Itoa(concurrency), handle.String(), fmt.Sprintf("%.2f", o.PerMessage()), fmt.Sprintf("%.0f", o.Rate()))
		}
	}
	growth := &Table{Head: []string{"workers", "names", "duplicates of finished names", "calls a message", "messages/s"}}
	for _, s := range []struct {
		workers, messages int
		kind              Kind
	}{
		{1, 1000, Distinct}, {1, 10_000, Distinct}, {1, 100_000, Distinct}, {2, 20_000, Distinct}, {4, 40_000, Distinct},
		{1, 10_000, Finished}, {2, 20_000, Finished}, {4, 40_000, Finished},
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
	for name, text := range map[string]*Table{"virtual": grid, "growth": growth} {
		if err := Replace(file, name, text.String()); err != nil {
			t.Error(err)
		}
	}
}

// Where calls to DynamoDB take log-normal times, in virtual time: batches cost at most a twentieth
// of the messages per second. Their 99th percentile is at most 1.1 times that of single writes: one
// slow call delays a whole batch.
func testSpreadTable(t *testing.T) {
	n, file := settings(t)
	endpoint := emulators.DynamoDB(t)
	table := &Table{Head: []string{"concurrency", "writes", "calls a message", "messages/s", "p50, p99 of claim and completion"}}
	for _, concurrency := range []int{50, 100} {
		run := func(name string, batching dynamo.Batching) (all Outcome) {
			const seeds = 3
			calls := 0
			for seed := range uint64(seeds) { // a batch shares its time: one run has too few slow calls for a percentile
				o := Simulate(t, endpoint, Scene{
					Backlog: [][]string{Bodies("a", 5*n, 5*n, 1<<10)}, Concurrency: concurrency, Seed: 1 + seed, Batch: batching,
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
		if batched.Rate() < 0.95*single.Rate() || float64(batched.Percentile(99)) > 1.1*float64(single.Percentile(99)) {
			t.Errorf("%d slots: %.0f messages/s and p99 %s with batches, %.0f and %s without", concurrency,
				batched.Rate(), batched.Percentile(99), single.Rate(), single.Percentile(99))
		}
	}
	if err := Replace(file, "spread", table.String()); err != nil {
		t.Error(err)
	}
}

func calls(t Tally, messages int) string {
	var parts []string
	for _, op := range t.Operations() {
		if per := float64(t.Calls[op]) / float64(messages); per >= 0.005 {
			parts = append(parts, fmt.Sprintf("%s %.2f", op, per))
		}
	}
	return strings.Join(parts, ", ")
}

func micros(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
