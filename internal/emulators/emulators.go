// Package emulators provides tests with local SQS and DynamoDB servers.
//
// If AWS_ENDPOINT_URL_SQS or AWS_ENDPOINT_URL_DYNAMODB is set, that endpoint is used. Otherwise the
// server pinned in package.json is started on a free port of 127.0.0.1, once per test binary, and
// ends with it. A missing server fails the test.
//
// Tests share the servers, so each test must use its own queues and tables. Make the first call
// outside of a testing/synctest bubble: the bubble would wait for the server to end.
package emulators

import (
	"os"
	"sync"
	"testing"
)

var (
	dynamoDB = sync.OnceValues(func() (string, error) { return startChild(Dynoxide) })
	sqs      = sync.OnceValues(func() (string, error) { return startChild(Fauxqs) })
)

// DynamoDB returns the endpoint URL of a running DynamoDB server. It fails the test if it cannot
// start one.
func DynamoDB(t testing.TB) string {
	t.Helper()
	return endpoint(t, Dynoxide, dynamoDB)
}

// SQS returns the endpoint URL of a running SQS server. It fails the test if it cannot start one.
func SQS(t testing.TB) string {
	t.Helper()
	return endpoint(t, Fauxqs, sqs)
}

func endpoint(t testing.TB, p Program, start func() (string, error)) string {
	t.Helper()
	if url := os.Getenv(p.Env); url != "" {
		return url
	}
	url, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return url
}
