package dynamo_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/storetest"
)

func TestTheStoreKeepsTheContract(t *testing.T) {
	onEveryEndpoint(t, func(t *testing.T, client *dynamodb.Client) {
		table := newTable(t, client)
		storetest.Run(t, storetest.Harness{Open: func(t *testing.T) dedupe.Store {
			t.Helper()
			s, err := dynamo.New(client, dynamo.Config{Table: table})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}})
	})
}
