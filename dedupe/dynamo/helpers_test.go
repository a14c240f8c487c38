package dynamo_test

import (
	"context"
	"crypto/rand"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// endpointEnv names another DynamoDB endpoint for the contract tests: a URL, or "aws" for the SDK's
// own Region and credentials. The tests create a table there and remove it.
const endpointEnv = "SQSONCE_TEST_DYNAMODB"

// onEveryEndpoint runs the test on the local server and on that of
// [endpointEnv], when there is one.
func onEveryEndpoint(t *testing.T, test func(t *testing.T, client *dynamodb.Client)) {
	t.Run("local", func(t *testing.T) { test(t, emulators.DynamoDBClient(t)) })
	further := os.Getenv(endpointEnv)
	if further == "" {
		return
	}
	t.Run("further", func(t *testing.T) {
		cfg := emulators.Config(further)
		if further == "aws" {
			var err error
			if cfg, err = config.LoadDefaultConfig(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		test(t, dynamodb.NewFromConfig(cfg))
	})
}

// newTable returns the name of a table made for this test.
func newTable(t testing.TB, client *dynamodb.Client) string {
	t.Helper()
	table := "sqsonce-test-" + rand.Text()
	if err := dynamo.CreateTable(t.Context(), client, table); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context()) // which has ended by now
		_, err := client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String(table)})
		if err != nil {
			t.Logf("table %s is left behind: %v", table, err)
		}
	})
	return table
}

// newStore returns a store that is closed with the test.
func newStore(t testing.TB, client dynamo.API, cfg dynamo.Config) *dynamo.Store {
	t.Helper()
	s, err := dynamo.New(client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
