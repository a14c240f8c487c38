// Package emulators gives tests a real SQS and a real DynamoDB endpoint.
//
// An endpoint that the environment names (AWS_ENDPOINT_URL_SQS,
// AWS_ENDPOINT_URL_DYNAMODB) is taken as it is. Otherwise the server pinned in
// package.json is started on a free port of 127.0.0.1, once for a test binary,
// and dies with it. A missing server fails the test; it is never skipped.
//
// Tests share the server, so each uses queues and tables of its own. The first
// call must not be made inside a testing/synctest bubble, which would wait for
// the server to end.
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

// DynamoDB returns the endpoint URL of a DynamoDB server that answers. It ends
// the test when there is none.
func DynamoDB(t testing.TB) string {
	t.Helper()
	return endpoint(t, Dynoxide, dynamoDB)
}

// SQS returns the endpoint URL of an SQS server that answers. It ends the test
// when there is none.
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
