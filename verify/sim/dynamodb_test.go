package sim

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

func TestRunOnDynamoDB(t *testing.T) {
	t.Run("safety", func(t *testing.T) { onDynamoDB(t, false) })
	t.Run("liveness", func(t *testing.T) { onDynamoDB(t, true) })
	t.Run("clocks", testClocksOnDynamoDB)
	t.Run("paused process", testPausedProcessOnDynamoDB)
}

// newTable returns a table on the local server.
func newTable(t *testing.T) *Table {
	t.Helper()
	table, err := NewTable(t.Context(), emulators.DynamoDB(t), "sqsonce-sim-"+rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

// Clocks that are wrong by up to a minute and a half agree after the correction by DynamoDB's Date.
func testClocksOnDynamoDB(t *testing.T) {
	table := newTable(t)
	sum := focusOn(t, func(plan Plan) *Report { return RunOnDynamoDB(plan, table) }, 10, func(p *Plan) {
		busy(p)
		p.Clock, p.Crashes, p.Cuts = 100*time.Second, 2, 4
	}, nil)
	if sum.runs >= 10 && sum.stats.TookOver == 0 {
		t.Errorf("nothing was taken over: %+v", sum.stats)
	}
}

// The writes of a process that was stopped for longer than its lease come too late. Its transaction
// does not overwrite the record of the attempt that took over.
func testPausedProcessOnDynamoDB(t *testing.T) {
	table := newTable(t)
	sum := focusOn(t, func(plan Plan) *Report { return RunOnDynamoDB(plan, table) }, 8, func(p *Plan) { busy(p); p.Pauses = 6 }, nil)
	if sum.runs >= 8 && sum.stats.Refused == 0 {
		t.Errorf("no effect came late: %+v", sum.stats)
	}
}

func onDynamoDB(t *testing.T, live bool) {
	table := newTable(t)
	sum := many(t, live, 20, func(plan Plan) *Report {
		if plan.Seed%2 == 0 {
			plan = plan.Crowded()
		}
		return RunOnDynamoDB(plan, table)
	})
	if sum.runs >= 5000 {
		sum.want(t, []string{"PutItem", "GetItem", "TransactWriteItems", "BatchExecuteStatement"}, []string{
			"BatchGetItem: outage", "PutItem: late", "statement: refuse", "statement: applied, and unknown", "statement: without item",
		})
	}
}
