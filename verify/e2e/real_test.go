package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// call is one POST to the target.
type call struct {
	name, idempotencyKey, fence string
}

// target is a target that records its calls.
type target struct {
	*httptest.Server
	gate chan struct{} // if not nil, a call waits until it is closed

	mu    sync.Mutex
	calls map[string][]call // guarded by mu; by name
	busy  int               // guarded by mu
}

func newTarget(t *testing.T, gate chan struct{}) *target {
	t.Helper()
	app := &target{gate: gate, calls: make(map[string][]call)}
	app.Server = httptest.NewServer(http.HandlerFunc(app.serve))
	t.Cleanup(app.Close)
	return app
}

func (a *target) serve(w http.ResponseWriter, r *http.Request) {
	c := call{r.Header.Get("X-Sqsonce-Name"), r.Header.Get("Idempotency-Key"), r.Header.Get("X-Sqsonce-Fence")}
	a.mu.Lock()
	a.calls[c.name] = append(a.calls[c.name], c)
	a.busy++
	a.mu.Unlock()
	if a.gate != nil {
		select {
		case <-a.gate:
		case <-r.Context().Done():
		}
	}
	a.mu.Lock()
	a.busy--
	a.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]string{"did": c.name})
}

func (a *target) seen() (calls map[string][]call, busy int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls = make(map[string][]call, len(a.calls))
	for name, c := range a.calls {
		calls[name] = append([]call(nil), c...)
	}
	return calls, a.busy
}

// stack is a queue and a table for one test, on local servers.
type stack struct {
	env      []string
	client   *sqs.Client
	queueURL string
	table    string
}

func newStack(t *testing.T) *stack {
	t.Helper()
	sqsURL, dynamoURL := emulators.SQS(t), emulators.DynamoDB(t)
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	name = name[:min(len(name), 60)]
	return &stack{
		env: []string{
			"AWS_ENDPOINT_URL_SQS=" + sqsURL, "AWS_ENDPOINT_URL_DYNAMODB=" + dynamoURL, "AWS_REGION=" + emulators.Region,
			"AWS_ACCESS_KEY_ID=" + emulators.AccessKey, "AWS_SECRET_ACCESS_KEY=" + emulators.SecretKey,
		},
		client:   emulators.SQSClient(t),
		queueURL: sqsURL + "/000000000000/" + name,
		table:    name,
	}
}

// worker starts a worker process on the stack.
func (s *stack) worker(t *testing.T, args ...string) *process {
	t.Helper()
	p := start(t, s.env, "worker", append([]string{
		"run", "--create", "--queue-url", s.queueURL, "--table", s.table, "--admin-addr", "127.0.0.1:0",
	}, args...)...)
	admin := p.match(`admin at (http://127\.0\.0\.1:\d+)/`)
	eventually(t, "a ready worker", func() bool {
		code, _, _ := ask(t, http.MethodGet, admin+"/readyz", "", nil)
		return code == http.StatusOK
	})
	return p
}

// producer starts the producer's API and returns its address.
func (s *stack) producer(t *testing.T) string {
	t.Helper()
	p := start(t, s.env, "producer", "serve", "--create", "--queue-url", s.queueURL, "--table", s.table, "--addr", "127.0.0.1:0")
	return p.match(`(http://127\.0\.0\.1:\d+)`)
}

// TestReal runs the binaries on local servers of SQS and DynamoDB.
func TestReal(t *testing.T) {
	t.Run("two workers", testTwoWorkers)
	t.Run("SIGTERM while busy", testSIGTERM)
}

func testTwoWorkers(t *testing.T) {
	app, s := newTarget(t, nil), newStack(t)
	// A duplicate of a running attempt returns after the end of the lease. A short lease keeps the
	// test short.
	short := []string{"--target-url", app.URL, "--lease", "3s", "--skew", "1s"}
	s.worker(t, short...)
	s.worker(t, short...)
	api := s.producer(t)

	const names, copies = 100, 3
	var posts sync.WaitGroup
	for i := range names {
		for range copies {
			posts.Go(func() {
				if code, _, body := post(t, api, fmt.Sprintf(`{"name":"order-%d"}`, i)); code != http.StatusAccepted {
					t.Errorf("order-%d: %d %s", i, code, body)
				}
			})
		}
	}
	posts.Wait()
	for i := range names {
		name := fmt.Sprintf("order-%d", i)
		r := final(t, api, name)
		if r.Status != "COMPLETED" || r.Attempts != 1 || !jsonEqual(t, r.Result, fmt.Sprintf(`{"did":%q}`, name)) {
			t.Errorf("%s: %+v with result %s", name, r, r.Result)
		}
	}
	out, code := run(t, s.env, "producer", "replay", "--url", api, "--name", "x", "--count", "100", "--concurrency", "20")
	if code != 0 {
		t.Errorf("replay: exit %d\n%s", code, out)
	}
	calls, _ := app.seen()
	if len(calls) != names+1 {
		t.Errorf("%d names reached the target, want %d", len(calls), names+1)
	}
	for name, cs := range calls {
		fence, err := strconv.ParseInt(cs[0].fence, 10, 64)
		if len(cs) != 1 || cs[0].idempotencyKey != `"`+name+`"` || err != nil || fence <= 0 {
			t.Errorf("%s: calls %+v", name, cs)
		}
	}
}

func testSIGTERM(t *testing.T) {
	gate := make(chan struct{})
	app, s := newTarget(t, gate), newStack(t)
	w := s.worker(t, "--target-url", app.URL, "--concurrency", "5", "--drain-timeout", "20s")
	api := s.producer(t)
	const sent = 30
	for i := range sent {
		if code, _, body := post(t, api, fmt.Sprintf(`{"name":"job-%d"}`, i)); code != http.StatusAccepted {
			t.Fatalf("job-%d: %d %s", i, code, body)
		}
	}
	eventually(t, "five jobs at the target", func() bool { _, busy := app.seen(); return busy == 5 })
	w.terminate()
	w.match(`(stopping)`)
	close(gate)
	if out, code := w.end(); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	calls, _ := app.seen()
	for name, cs := range calls {
		if r, ok := status(t, api, name); !ok || r.Status != "COMPLETED" || len(cs) != 1 {
			t.Errorf("%s was at the target: %+v after %d calls", name, r, len(cs))
		}
	}
	attributes, err := s.client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: queueURL(t, s.client, path.Base(s.queueURL)),
		AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	visible := attributes.Attributes["ApproximateNumberOfMessages"]
	hidden := attributes.Attributes["ApproximateNumberOfMessagesNotVisible"]
	if visible != strconv.Itoa(sent-len(calls)) || hidden != "0" {
		t.Errorf("%s visible and %s hidden after the stop, want %d and 0", visible, hidden, sent-len(calls))
	}
}
