//go:build bench

package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
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

func replace(t *testing.T, file, name string, table *Table) {
	t.Helper()
	if err := Replace(file, name, table.String()); err != nil {
		t.Error(err)
	}
}

func record(t *testing.T, file string, a Aim, met bool, format string, args ...any) {
	t.Helper()
	if err := a.Record(file, met, fmt.Sprintf(format, args...)); err != nil {
		t.Error(err)
	}
}

// The tables of BENCHMARKS.md, but for those that take long: memory, and two releases.
func TestTables(t *testing.T) {
	t.Run("subjects", testSubjectsTables)
	t.Run("local servers", testLocalTable)
	t.Run("virtual time", testVirtualTables)
	t.Run("spread", testSpreadTable)
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
