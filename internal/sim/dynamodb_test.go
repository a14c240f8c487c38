package sim

import (
	"crypto/rand"
	"testing"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

func TestThePromiseHoldsOnDynamoDB(t *testing.T)   { onDynamoDB(t, false) }
func TestEverythingSettlesOnDynamoDB(t *testing.T) { onDynamoDB(t, true) }

func onDynamoDB(t *testing.T, live bool) {
	table, err := NewTable(t.Context(), emulators.DynamoDB(t), "sqsonce-sim-"+rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	sum := many(t, live, 50, func(plan Plan) *Report {
		if plan.Seed%2 == 0 {
			plan = plan.Crowded()
		}
		return RunOnDynamoDB(plan, table)
	})
	if sum.runs >= 1000 {
		sum.want(t, []string{"PutItem", "GetItem", "TransactWriteItems", "BatchExecuteStatement"}, []string{
			"BatchGetItem: outage", "PutItem: late", "statement: refuse", "statement: applied, and unknown", "statement: without item",
		})
	}
}
