package sim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

// Environment variables for manual runs; see Makefile.d/sim.mk.
const (
	envSeed = "SQSONCE_SEED"  // one seed, with its trace
	envRuns = "SQSONCE_SEEDS" // number of seeds of each mode, from envFrom on
	envFrom = "SQSONCE_FROM"
)

// TestMain limits goroutines to one processor. A run has little parallel work, and with one
// processor events at one instant happen in the order of their causes.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}

// TestRun runs seeds with every fault. In safety runs the faults never end. In liveness runs they
// end, and then all messages settle.
func TestRun(t *testing.T) {
	t.Run("safety", func(t *testing.T) { onMemstore(t, false) })
	t.Run("liveness", func(t *testing.T) { onMemstore(t, true) })
	t.Run("same trace", testSameTrace)
	t.Run("batches and groups, safety", func(t *testing.T) { shared(t, false) })
	t.Run("batches and groups, liveness", func(t *testing.T) { shared(t, true) })
}

// shared runs seeds with batches and bounds of groups.
func shared(t *testing.T, live bool) {
	manyOf(t, func(seed uint64) Plan { return NewPlan(seed, live).Shared() }, 200, Run)
}

func onMemstore(t *testing.T, live bool) {
	sum := many(t, live, 700, Run)
	if sum.runs >= 100 {
		sum.want(t, []string{"swap", "commit", "get"}, []string{"swap: late"})
	}
}

// many runs seeds of one mode, fails the test for those with violations, and returns the summary.
func many(t *testing.T, live bool, seeds int, run func(Plan) *Report) *summary {
	t.Helper()
	return manyOf(t, func(seed uint64) Plan { return NewPlan(seed, live) }, seeds, run)
}

func manyOf(t *testing.T, plan func(seed uint64) Plan, seeds int, run func(Plan) *Report) *summary {
	t.Helper()
	from, seeds := number(t, envFrom, 1), number(t, envRuns, testutil.N(t, seeds))
	if os.Getenv(envSeed) != "" {
		from, seeds = number(t, envSeed, 0), 1
	}
	sum := newSummary()
	start := time.Now()
	failed := 0
	for seed := from; seed < from+seeds && failed < 5; seed++ {
		r := simulate(t, plan(uint64(seed)), run)
		sum.add(r)
		if len(r.Violations) > 0 || os.Getenv(envSeed) != "" {
			save(t, r)
		}
		if len(r.Violations) > 0 {
			failed++
		}
		if (seed-from+1)%5000 == 0 {
			t.Logf("%d seeds in %s, %d broke a promise", seed-from+1, time.Since(start).Round(time.Second), failed)
		}
	}
	t.Logf("%s in %s", sum, time.Since(start).Round(time.Millisecond))
	return sum
}

// simulate makes one run in its own bubble.
func simulate(t *testing.T, plan Plan, run func(Plan) *Report) (r *Report) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("seed %d (live %v): %v", plan.Seed, plan.Live, p)
		}
	}()
	synctest.Test(t, func(*testing.T) { r = run(plan) })
	return r
}

// save fails the test with the seed and saves its trace.
func save(t *testing.T, r *Report) {
	t.Helper()
	file := filepath.Join(t.ArtifactDir(), fmt.Sprintf("seed-%d.trace", r.Plan.Seed))
	if err := os.WriteFile(file, fmt.Appendf(nil, "%+v\n%s", r.Plan, r.Trace), 0o600); err != nil {
		t.Error(err)
	}
	t.Logf("seed %d: %+v\nfaults %v\n%+v\ntrace in %s", r.Plan.Seed, r.Plan, r.Faults, r.Stats, file)
	for _, v := range r.Violations {
		t.Errorf("seed %d (live %v): %s", r.Plan.Seed, r.Plan.Live, v)
	}
}

func number(t *testing.T, env string, otherwise int) int {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%q: want a number", env, text)
	}
	return n
}

// Two runs of a seed give the same trace.
func testSameTrace(t *testing.T) {
	// The garbage collector changes the order in which goroutines run.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	from := number(t, envFrom, 1)
	for seed := from; seed < from+number(t, envRuns, testutil.N(t, 25)); seed++ {
		for _, live := range []bool{false, true} {
			plan := NewPlan(uint64(seed), live)
			runtime.GC() // between the runs
			first := simulate(t, plan, Run)
			runtime.GC()
			second := simulate(t, plan, Run)
			if one, other := ordered(first.Trace), ordered(second.Trace); !bytes.Equal(one, other) {
				t.Errorf("seed %d (live %v): %s", seed, live, difference(one, other))
			}
		}
	}
}

// ordered returns a trace with the lines of each instant in the order of their texts. Two receives
// can be answered at one instant, when a batch makes several messages visible. sqstest decides
// which receive gets which message, but the runtime may preempt the first receive before its line.
func ordered(trace []byte) []byte {
	lines := bytes.SplitAfter(trace, []byte("\n"))
	instant := func(line []byte) string {
		at, _, _ := bytes.Cut(line, []byte(" "))
		return string(at)
	}
	for from := 0; from < len(lines); {
		to := from + 1
		for to < len(lines) && instant(lines[to]) == instant(lines[from]) {
			to++
		}
		slices.SortFunc(lines[from:to], bytes.Compare)
		from = to
	}
	return bytes.Join(lines, nil)
}

func TestOrdered(t *testing.T) {
	for trace, want := range map[string]string{
		"1 b\n1 a\n2 a\n": "1 a\n1 b\n2 a\n",
		"10 b\n9 a\n":     "10 b\n9 a\n",
		"":                "",
	} {
		if got := ordered([]byte(trace)); string(got) != want {
			t.Errorf("%q becomes %q, want %q", trace, got, want)
		}
	}
}

// difference returns the first difference of two traces.
func difference(a, b []byte) string {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	cut := func(t []byte) []byte { return t[max(0, at-200):min(len(t), at+200)] }
	return fmt.Sprintf("the traces part at byte %d:\n--- first\n%s\n--- second\n%s", at, cut(a), cut(b))
}

// summary is the sum of many runs.
type summary struct {
	runs   int
	took   time.Duration
	faults map[string]int
	stats  Stats
}

func newSummary() *summary { return &summary{faults: make(map[string]int)} }

func (s *summary) add(r *Report) {
	s.runs++
	s.took += r.Took
	for kind, n := range r.Faults {
		s.faults[kind] += n
	}
	s.stats.add(r.Stats)
}

// want fails the test if a kind of fault never occurred, because the runs then show nothing about
// it. The kinds are the faults of queues and processes, those of the given calls, and further ones.
func (s *summary) want(t *testing.T, calls, further []string) {
	t.Helper()
	for _, op := range slices.Concat([]string{"receive", "delete", "change", "copy"}, calls) {
		for _, f := range []fate{refused, throttled, lost, hung, hungApplied, outage} {
			if kind := op + ": " + string(f); s.faults[kind] == 0 && s.runs >= 1000 {
				t.Errorf("no fault %q in %d runs", kind, s.runs)
			}
		}
	}
	for _, kind := range slices.Concat(further, []string{
		"receive: duplicate", "receive: early", "delete: forgotten", "entry: refuse", "clock: step",
		"process: crash", "process: pause", "process: stop", "outage: store", "outage: queue", "outage: target", "outage: one host",
	}) {
		if s.faults[kind] == 0 {
			t.Errorf("no fault %q in %d runs", kind, s.runs)
		}
	}
}

// String returns the figures of the runs.
func (s *summary) String() string {
	text := fmt.Sprintf("%d histories, %.0f simulated minutes, %+v\nfaults:", s.runs, s.took.Minutes(), s.stats)
	kinds := make([]string, 0, len(s.faults))
	for kind := range s.faults {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		text += fmt.Sprintf("\n  %-24s %d", kind, s.faults[kind])
	}
	return text + "\n"
}
