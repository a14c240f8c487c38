package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// runtimeAPI is the interface through which Lambda hands invocations to a function.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	t       *testing.T
	Address string // AWS_LAMBDA_RUNTIME_API
	invoked int
	next    chan invocation
	answers chan answer
}

type invocation struct {
	id       string
	deadline time.Time
	payload  []byte
}

type answer struct {
	path string // below /2018-06-01/runtime/
	body string
}

func newRuntimeAPI(t *testing.T) *runtimeAPI {
	t.Helper()
	a := &runtimeAPI{t: t, next: make(chan invocation), answers: make(chan answer, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case i := <-a.next:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", i.id)
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:charge")
			_, _ = w.Write(i.payload) // a failure shows as a missing answer
		case <-r.Context().Done():
		}
	})
	answered := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
		a.answers <- answer{strings.TrimPrefix(r.URL.Path, "/2018-06-01/runtime/"), string(body)}
	}
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", answered)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", answered)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", answered)
	server := httptest.NewServer(mux)
	t.Cleanup(server.CloseClientConnections) // before Close, which waits for them
	t.Cleanup(server.Close)
	a.Address = strings.TrimPrefix(server.URL, "http://")
	return a
}

// invoke hands one event over and returns the function's answer.
func (a *runtimeAPI) invoke(payload []byte, timeout time.Duration) answer {
	a.t.Helper()
	a.invoked++
	i := invocation{id: fmt.Sprint("request-", a.invoked), deadline: time.Now().Add(timeout), payload: payload}
	select {
	case a.next <- i:
	case <-time.After(patience):
		a.t.Fatal("the function asks for no invocation")
	}
	select {
	case got := <-a.answers:
		if !strings.HasPrefix(got.path, "invocation/"+i.id+"/") {
			a.t.Errorf("answered at %s", got.path)
		}
		return got
	case <-time.After(patience):
		a.t.Fatal("the function does not answer")
		return answer{}
	}
}

// handle hands an event over and returns the ids of the messages that SQS has to keep.
func (a *runtimeAPI) handle(event events.SQSEvent) (failed []string) {
	a.t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		a.t.Fatal(err)
	}
	got := a.invoke(payload, 30*time.Second)
	var response events.SQSEventResponse
	if err := json.Unmarshal([]byte(got.body), &response); err != nil || !strings.HasSuffix(got.path, "/response") {
		a.t.Fatalf("%s: %s, %v", got.path, got.body, err)
	}
	for _, f := range response.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	return failed
}
