//go:build bench

package bench

import (
	"fmt"
	"testing"
	"time"
)

// Workloads of several kinds on local servers: the worker and the loop, in turn.
func testLocalTable(t *testing.T) {
	n, file := settings(t)
	ctx, h := harness(t)
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
	add("90 %, 4 workers", func(w *Workload) { w.Kind, w.Workers = Finished, 4 })
	add("distinct, 4 workers", func(w *Workload) { w.Workers = 4 })
	add("distinct, HTTP target", func(w *Workload) { w.Target = true })
	add("distinct, 64 KiB", func(w *Workload) { w.Size, w.Messages = 64<<10, n/5 })
	add("distinct, 64 KiB, no fingerprint", func(w *Workload) { w.Size, w.Messages, w.Fingerprint = 64<<10, n/5, false })
	add("one at a time", func(w *Workload) { w.Kind, w.Messages = Lone, n/50 })

	table := &Table{Head: []string{"workload", "subject", "calls a message", "CPU a message", "allocations", "messages/s", "p50, p99 in hand", "memory"}}
	for _, w := range workloads {
		for _, s := range []Subject{Worker, HandLoop} {
			m := measure(ctx, t, h, s, w)
			table.Add(w.Name, s.Name, fmt.Sprintf("%.2f", m.PerMessage(m.Total())), micros(m.CPU/time.Duration(w.Messages)), fmt.Sprintf("%.0f", m.PerMessage(m.Mallocs)),
				fmt.Sprintf("%.0f", float64(w.Messages)/m.Took.Seconds()), millis(m.Percentile(50))+", "+millis(m.Percentile(99)), fmt.Sprintf("%d MiB", m.PeakRSS>>20))
		}
	}
	replace(t, file, "local", table)
}
