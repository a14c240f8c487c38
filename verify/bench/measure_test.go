package bench

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

func harness(t *testing.T, others ...Subject) (context.Context, *Harness) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	h, err := NewHarness(ctx, emulators.SQS(t), emulators.DynamoDB(t), t.TempDir(), append(others, Worker, HandLoop, Floor)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return ctx, h
}

func TestMeasure(t *testing.T) {
	t.Run("calls of each subject", testCallsOfEachSubject)
	t.Run("subject that ends early", testSubjectThatEndsEarly)
}

func testCallsOfEachSubject(t *testing.T) {
	ctx, h := harness(t)
	for _, w := range []Workload{
		{Name: "distinct", Kind: Distinct, Messages: 60, Size: 1 << 10, Workers: 1, Concurrency: 100, Fingerprint: true},
		{Name: "canned", Kind: Distinct, Messages: 65, Size: 1 << 10, Workers: 1, Concurrency: 100, Fingerprint: true, Canned: true},
		{Name: "finished", Kind: Finished, Messages: 60, Size: 1 << 10, Workers: 1, Concurrency: 100, Target: true},
		{Name: "lone", Kind: Lone, Messages: 3, Size: 64 << 10, Workers: 1, Concurrency: 10},
	} {
		loop, err := h.Measure(ctx, HandLoop, w)
		if err != nil {
			t.Fatal(err)
		}
		// Only one message at a time, so the loop's calls are known.
		if n := loop.Calls["DeleteMessage"]; n != w.Messages || loop.Calls["PutItem"] != n || len(loop.Held) != n {
			t.Errorf("%s: loop: %v for %d messages, of which %d were seen", w.Name, loop.Calls, n, len(loop.Held))
		}
		worker, err := h.Measure(ctx, Worker, w)
		if err != nil {
			t.Fatal(err)
		}
		if w.Kind == Distinct && (worker.Total() >= loop.Total() || worker.Writes != 2*w.Messages+1) { // one write at the start
			t.Errorf("%s: worker: %v, %d writes", w.Name, worker.Calls, worker.Writes)
		}
		for _, m := range []Measurement{loop, worker} {
			if m.PeakRSS <= 0 || m.Took <= 0 || m.Percentile(99) < m.Percentile(50) {
				t.Errorf("%s: nothing was measured: %+v", m.Subject, m)
			}
		}
	}
	for _, canned := range []bool{false, true} {
		m, err := h.Measure(ctx, Floor, Workload{Name: "floor", Messages: 1000, Size: 1 << 10, Workers: 1, Canned: canned})
		if err != nil {
			t.Fatal(err)
		}
		if m.Total()-m.Retries != 100+80+100 || m.Calls["BatchExecuteStatement"] < 80 || m.Calls["DeleteMessageBatch"] < 100 || m.Writes < 2000 || m.CPU <= 0 {
			t.Errorf("floor, canned %t: %v, %d of them again", canned, m.Calls, m.Retries)
		}
	}
}

func testSubjectThatEndsEarly(t *testing.T) {
	ctx, h := harness(t)
	gone := Subject{Name: "gone", Package: "gone"}
	h.built[gone.Name] = h.built[Floor.Name]
	t.Setenv("AWS_CA_BUNDLE", filepath.Join(t.TempDir(), "missing")) // the worker cannot start
	_, err := h.Measure(ctx, gone, Workload{Name: "canned", Messages: 10, Size: 1 << 10, Workers: 1, Canned: true})
	if err == nil || !strings.Contains(err.Error(), "gone has ended: exit status 1") {
		t.Errorf("got %v", err)
	}
}
