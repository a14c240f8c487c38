//go:build bench

package bench

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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
	for i, r := range runs {
		slices.SortFunc(r, func(a, b Measurement) int { return cmp.Compare(a.CPU, b.CPU) })
		table.Add(subjects[i].Name, fmt.Sprintf("%.2f", r[0].PerMessage(r[0].Total())), micros(cpu(r[0])), micros(cpu(r[times/2])),
			fmt.Sprintf("%.0f", r[0].PerMessage(r[0].Mallocs)), fmt.Sprintf("%.2f", float64(cpu(r[0]))/float64(cpu(runs[0][0]))))
	}
	replace(t, file, "releases", table)
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
