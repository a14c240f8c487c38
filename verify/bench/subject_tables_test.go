//go:build bench

package bench

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/prices"
)

// Every subject against canned answers. First the answers take as long as those of AWS: calls,
// rate, times, memory. Then they come at once, which leaves the CPU of the subject alone. The
// machine may be another one from one second to the next, so each is measured several times, in
// turn, and the median counts.
func testSubjectsTables(t *testing.T) {
	const times = 5
	n, file := settings(t)
	worker := quiet(t) // as the others, it does not log each message
	worker.Name = Worker.Name
	subjects := []Subject{worker, HandLoop, GoCloud, Floor, Powertools, PowertoolsBatch, Toolkit}
	ctx, h := harness(t, subjects...)
	base := Workload{Size: 1 << 10, Workers: 1, Concurrency: 100, Fingerprint: true, Canned: true}
	paced := make([]Measurement, len(subjects))
	for i, s := range subjects {
		w := base
		w.Name, w.Messages, w.Paced = "answers like AWS's", 2*n, true
		paced[i] = measure(ctx, t, h, s, w)
	}
	runs := make([][]Measurement, len(subjects))
	for range times {
		for i, s := range subjects {
			w := base
			w.Name, w.Messages = "answers at once", 4*n
			if s.Script != "" {
				w.Messages = n // a message takes ten times the CPU
			}
			runs[i] = append(runs[i], measure(ctx, t, h, s, w))
		}
	}
	var medians []Measurement
	cost := &Table{Head: []string{"subject", "CPU a message: median (least to most)", "allocations", "to the SDK alone", "divided by sqsonce's"}}
	// The ratio within a round is steadier than that of medians: the machine changes between rounds.
	ratio := func(i, j int) float64 {
		var all []float64
		for round := range times {
			all = append(all, float64(cpu(runs[i][round]))/float64(cpu(runs[j][round])))
		}
		slices.Sort(all)
		return all[times/2]
	}
	var toFloor, toOurs []float64
	for i := range subjects {
		toFloor, toOurs = append(toFloor, ratio(i, 3)), append(toOurs, ratio(i, 0))
	}
	for _, r := range runs {
		slices.SortFunc(r, func(a, b Measurement) int { return cmp.Compare(a.CPU, b.CPU) })
		medians = append(medians, r[times/2])
	}
	first := &Table{Head: []string{"subject", "AWS calls a message", "CPU a message", "messages/s", "p50, p99 in hand", "memory", "dollars a million", "guarantees for a name"}}
	detail := &Table{Head: []string{"subject", "calls a message by operation"}}
	for i, m := range medians {
		allocations := "not known"
		if m.Mallocs > 0 {
			allocations = fmt.Sprintf("%.0f", m.PerMessage(m.Mallocs))
		}
		cost.Add(m.Subject, fmt.Sprintf("%s (%s to %s)", micros(cpu(m)), micros(cpu(runs[i][0])), micros(cpu(runs[i][times-1]))), allocations,
			fmt.Sprintf("%.2f", toFloor[i]), fmt.Sprintf("%.1f", toOurs[i]))
		p := paced[i]
		all, bill := fmt.Sprintf("%.2f", p.PerMessage(p.Total())), fmt.Sprintf("$%.2f", dollars(p))
		if p.Redis > 0 {
			all, bill = fmt.Sprintf("%s, and %.1f to Redis", all, p.PerMessage(p.Redis)), bill+" and a Redis server"
		}
		first.Add(m.Subject, all, micros(cpu(m)), fmt.Sprintf("%.0f", float64(p.Workload.Messages)/p.Took.Seconds()),
			millis(p.Percentile(50))+", "+millis(p.Percentile(99)), fmt.Sprintf("%d MiB", p.PeakRSS>>20), bill, subjects[i].Guarantees)
		detail.Add(m.Subject, calls(p.Tally, p.Workload.Messages))
	}
	replace(t, file, "subjects", first)
	replace(t, file, "cpu", cost)
	replace(t, file, "calls", detail)
	ours := micros(cpu(medians[0]))
	record(t, file, AimFloor, toFloor[0] <= 1.6, "%.2f times: %s and %s", toFloor[0], ours, micros(cpu(medians[3])))
	record(t, file, AimLoop, toOurs[1] >= 4, "%.1f times less: %s and %s", toOurs[1], ours, micros(cpu(medians[1])))
	record(t, file, AimNode, min(toOurs[4], toOurs[5]) >= 10, "%.1f times less, and %.1f times less than its batches", toOurs[4], toOurs[5])
}

func cpu(m Measurement) time.Duration { return m.CPU / time.Duration(m.Workload.Messages) }

// dollars is the price of a million messages like the measured ones.
func dollars(m Measurement) float64 {
	return prices.Use{Requests: m.PerMessage(m.SQS()), Writes: m.PerMessage(m.Writes), Reads: m.PerMessage(m.Reads)}.Calls()
}
