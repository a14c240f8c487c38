package dynamo_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/storetest"
)

// modes are the two ways to write. Everything that holds of a store holds in
// both.
var modes = map[string]dynamo.Batching{"batching": dynamo.BatchOn, "single": dynamo.BatchOff}

func TestContract(t *testing.T) {
	t.Run("store keeps the contract", testTheStoreKeepsTheContract)
}

func testTheStoreKeepsTheContract(t *testing.T) {
	onEveryEndpoint(t, func(t *testing.T, client *dynamodb.Client) {
		for mode, batching := range modes {
			t.Run(mode, func(t *testing.T) {
				table := newTable(t, client)
				storetest.Run(t, storetest.Harness{
					Open: func(t *testing.T) dedupe.Store {
						t.Helper()
						return newStore(t, client, dynamo.Config{Table: table, Batch: batching})
					},
					Silent: func(t *testing.T) dedupe.Store {
						t.Helper()
						return newStore(t, (&wire{delay: time.Hour}).client(), dynamo.Config{Table: table, Batch: batching})
					},
					Effects: counters{client, table}.effects(),
				})
			})
		}
	})
}
