package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

func simulate(t *testing.T, s Scene) Outcome {
	t.Helper()
	o := Simulate(t, emulators.DynamoDB(t), s)
	t.Logf("%d messages, %d run: %.3f calls a message %v, %.3f writes, %.0f messages/s",
		o.Messages, o.Ran, o.PerMessage(), o.Calls, float64(o.Writes)/float64(o.Messages), o.Rate())
	return o
}

func TestSimulate(t *testing.T) {
	t.Run("saturated", testSaturated)
	t.Run("finished names", testFinishedNames)
	t.Run("more workers and names", testMoreWorkersAndNames)
	t.Run("lone message", testLoneMessage)
}

func testSaturated(t *testing.T) {
	o := simulate(t, Scene{Backlog: [][]string{Bodies("a", 2000, 2000, 1024)}})
	if o.Ran != o.Messages || o.Writes != 2*o.Messages || o.Reads != 0 {
		t.Errorf("%d run, %d writes, %d reads", o.Ran, o.Writes, o.Reads)
	}
	if o.PerMessage() > 0.40 {
		t.Errorf("%.3f calls a message, want at most 0.40", o.PerMessage())
	}
	if o.Rate() < 2500 {
		t.Errorf("%.0f messages/s in virtual time, want at least 2,500", o.Rate())
	}
}

func testFinishedNames(t *testing.T) {
	for _, workers := range []int{1, 4} {
		o := simulate(t, Scene{Backlog: Workload{Kind: Finished, Messages: 1500 * workers, Size: 1024}.backlogs(), Workers: workers})
		if o.Ran != o.Messages/10 {
			t.Errorf("%d workers: %d run of %d names that were new", workers, o.Ran, o.Messages/10)
		}
		if o.PerMessage() > 0.30 {
			t.Errorf("%d workers: %.3f calls a message, want at most 0.30", workers, o.PerMessage())
		}
	}
}

func testMoreWorkersAndNames(t *testing.T) {
	base := simulate(t, Scene{Backlog: [][]string{Bodies("a", 500, 500, 1024)}}).PerMessage()
	for _, s := range []Scene{
		{Workers: 4, Backlog: [][]string{Bodies("a", 2000, 2000, 1024)}},
		{Backlog: [][]string{Bodies("a", 2000, 2000, 1024)}},
	} {
		if per := simulate(t, s).PerMessage(); per > 1.1*base {
			t.Errorf("%d workers, %d names: %.3f calls a message, and %.3f of one worker with 500 names", s.Workers, len(s.Backlog[0]), per, base)
		}
	}
}

// A lone message makes the same calls as with single writes, and takes no longer.
func testLoneMessage(t *testing.T) {
	single := simulate(t, Scene{Backlog: [][]string{Bodies("a", 20, 20, 1024)}, Lone: true, Batch: dynamo.BatchOff})
	batched := simulate(t, Scene{Backlog: [][]string{Bodies("a", 20, 20, 1024)}, Lone: true, Batch: dynamo.BatchOn})
	if batched.Calls["PutItem"] != 40 || batched.Calls["BatchExecuteStatement"] != 0 || batched.Calls["DeleteMessageBatch"] != 20 {
		t.Errorf("calls %v", batched.Calls)
	}
	for i := range single.Latency {
		if d := batched.Latency[i] - single.Latency[i]; d.Abs() > single.Latency[i]/20 || single.Latency[i] < 2*dynamoLatency {
			t.Errorf("message %d takes %s in virtual time, and %s with single writes", i, batched.Latency[i], single.Latency[i])
		}
	}
}

// A slow call delays only its own messages: with batches, a backlog takes little longer than with
// single writes, which share no calls.
func TestSlowWrites(t *testing.T) {
	for _, c := range []struct{ concurrency, every int }{{20, 30}, {50, 30}} {
		t.Run(fmt.Sprintf("%d slots, 1 in %d", c.concurrency, c.every), func(t *testing.T) {
			s := Scene{
				Backlog: [][]string{Bodies("a", 750, 750, 1024)}, Concurrency: c.concurrency,
				Handle: 200 * time.Millisecond, SlowEvery: c.every,
			}
			batched := simulate(t, s)
			s.Batch = dynamo.BatchOff
			single := simulate(t, s)
			if 2*batched.Took > 3*single.Took {
				t.Errorf("%s with batches, %s without", batched.Took, single.Took)
			}
		})
	}
}

// Fifty slots share calls nearly as well as a thousand. The scheduling of goroutines decides which
// messages share a call: a run makes 0.29 to 0.31 calls per message. So the test uses the median of
// several runs.
func TestFiftySlots(t *testing.T) {
	for _, handle := range []time.Duration{0, 5 * time.Millisecond} {
		runs := make([]float64, 3)
		for i := range runs {
			runs[i] = simulate(t, Scene{Backlog: [][]string{Bodies("a", 3000, 3000, 1024)}, Concurrency: 50, Handle: handle}).PerMessage()
		}
		slices.Sort(runs)
		if median := runs[len(runs)/2]; median > 0.31 {
			t.Errorf("handler %s: %.3f calls a message, want at most 0.31", handle, median)
		}
	}
}

// The number of calls in flight grows with concurrency.
func TestManySlots(t *testing.T) {
	o := simulate(t, Scene{Backlog: [][]string{Bodies("a", 6000, 6000, 1024)}, Concurrency: 1000})
	if o.Rate() < 12_000 {
		t.Errorf("%.0f messages/s in virtual time, want at least 12,000", o.Rate())
	}
	if o.PerMessage() > 0.31 {
		t.Errorf("%.3f calls a message, want at most 0.31", o.PerMessage())
	}
}
