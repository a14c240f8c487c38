package dynamo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// errCut is the client's error for a connection that breaks.
var errCut = errors.New("connection reset by peer")

// errHang, returned by a hook, makes the call hang until its context ends.
var errHang = errors.New("no answer")

// call is one request on the wire.
type call struct {
	op   string // for example PutItem
	body []byte
}

// statements returns the number of statements, keys or actions in the call.
func (c call) statements() int {
	var body struct {
		Statements    []json.RawMessage
		TransactItems []json.RawMessage
		RequestItems  map[string]struct{ Keys []json.RawMessage }
	}
	_ = json.Unmarshal(c.body, &body) // missing fields count as none
	n := len(body.Statements) + len(body.TransactItems)
	for _, table := range body.RequestItems {
		n += len(table.Keys)
	}
	return n
}

// texts returns the statements in the call.
func (c call) texts() []string {
	var body struct{ Statements []struct{ Statement string } }
	_ = json.Unmarshal(c.body, &body) // missing fields count as none
	texts := make([]string, len(body.Statements))
	for i, s := range body.Statements {
		texts[i] = s.Statement
	}
	return texts
}

// doer is an HTTP client.
type doer interface {
	Do(req *http.Request) (*http.Response, error)
}

// resend returns r with another body.
func resend(r *http.Request, body []byte) *http.Request {
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return r
}

// wire is the HTTP client of an SDK client. It counts the calls, and lets a test cut or replace
// them. It forwards them to a real server, or answers each with success.
type wire struct {
	server doer          // nil: answers by itself
	delay  time.Duration // of each call, in the test's clock

	mu    sync.Mutex
	calls []call // guarded by mu
	// hook is called for every call with the call's number, from 0, for its operation. It continues
	// with forward. Set it before the first call.
	hook func(c call, n int, forward func() *http.Response) (*http.Response, error)
}

// Do implements the SDK's HTTPClient.
func (w *wire) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c := call{op: op, body: body}
	w.mu.Lock()
	n := count(w.calls, op)
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	if w.delay > 0 {
		select {
		case <-time.After(w.delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	var failed error
	forward := func() *http.Response {
		if w.server == nil {
			return fine(c)
		}
		var resp *http.Response
		resp, failed = w.server.Do(resend(r, body))
		return resp
	}
	if w.hook == nil {
		resp := forward()
		return resp, failed
	}
	resp, err := w.hook(c, n, forward)
	if errors.Is(err, errHang) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return resp, errors.Join(err, failed)
}

// ops returns the called operations in order.
func (w *wire) ops() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ops := make([]string, len(w.calls))
	for i, c := range w.calls {
		ops[i] = c.op
	}
	return ops
}

// carried returns the number of statements in each call of op.
func (w *wire) carried(op string) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var n []int
	for _, c := range w.calls {
		if c.op == op {
			n = append(n, c.statements())
		}
	}
	return n
}

func (w *wire) expectOps(t *testing.T, want ...string) {
	t.Helper()
	if got := w.ops(); !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

func count(calls []call, op string) int {
	n := 0
	for _, c := range calls {
		if c.op == op {
			n++
		}
	}
	return n
}

// fine returns the answer of a server that accepts everything and stores nothing.
func fine(c call) *http.Response {
	switch c.op {
	case "BatchExecuteStatement":
		ok := slices.Repeat([]string{`{"TableName":"t"}`}, c.statements())
		return respond(200, `{"Responses":[`+strings.Join(ok, ",")+`]}`)
	case "BatchGetItem":
		return respond(200, `{"Responses":{},"UnprocessedKeys":{}}`)
	default:
		return respond(200, `{}`)
	}
}

func respond(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body:       io.NopCloser(strings.NewReader(body)),
	}
}

// refuse returns the answer of a server that does not accept the call.
func refuse(code string) *http.Response {
	status := 400
	if code == "InternalServerError" {
		status = 500
	}
	return respond(status, fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"as ordered"}`, code))
}

// statementErrors returns the answer to a batch in which statement i failed with codes[i], if that
// is present.
func statementErrors(c call, codes map[int]string) *http.Response {
	answers := make([]string, c.statements())
	for i := range answers {
		answers[i] = `{"TableName":"t"}`
		if code := codes[i]; code != "" {
			answers[i] = fmt.Sprintf(`{"Error":{"Code":%q,"Message":"as ordered"}}`, code)
		}
	}
	return respond(200, `{"Responses":[`+strings.Join(answers, ",")+`]}`)
}

// cut returns the client's result if the answer was lost after the server had done its work.
func cut(resp *http.Response) (*http.Response, error) {
	if resp != nil {
		_ = resp.Body.Close() // never read
	}
	return nil, errCut
}

// client returns an SDK client that works through w.
func (w *wire) client() *dynamodb.Client {
	cfg := emulators.Config("http://127.0.0.1:1")
	cfg.HTTPClient = w
	return dynamodb.NewFromConfig(cfg)
}

// wired returns a wire to the local server, and a client that works through it.
func wired(t testing.TB) (*wire, *dynamodb.Client) {
	t.Helper()
	cfg := emulators.Config(emulators.DynamoDB(t))
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 50
	w := &wire{server: &http.Client{Transport: transport}}
	t.Cleanup(transport.CloseIdleConnections)
	cfg.HTTPClient = w
	return w, dynamodb.NewFromConfig(cfg)
}
