package workercmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

func TestLocal(t *testing.T) {
	t.Run("local worker handles each name once", testLocalWorkerHandlesEachNameOnce)
	t.Run("posted name is handled once however often it is posted", testPostedNameIsHandledOnceHoweverOftenItIsPosted)
	t.Run("calls of the producer are not the workers", testCallsOfTheProducerAreNotTheWorkers)
	t.Run("local worker tells where everything listens", testLocalWorkerTellsWhereEverythingListens)
	t.Run("local worker takes operators from this machine", testLocalWorkerTakesOperatorsFromThisMachine)
	t.Run("message without a name ends in the dead letter queue", testMessageWithoutANameEndsInTheDeadLetterQueue)
	t.Run("port in use is named with its flag", testPortInUseIsNamedWithItsFlag)
	t.Run("usual queue port is left to its process", testUsualQueuePortIsLeftToItsProcess)
	t.Run("idle local worker stops at once", testIdleLocalWorkerStopsAtOnce)
}

func testLocalWorkerHandlesEachNameOnce(t *testing.T) {
	p := startLocal(t)
	queueURL := p.queueURL(t)
	client := anySDK(queueURL)
	for range 20 {
		send(t, client, queueURL, body("order-17"))
	}
	n := testutil.N(t, 200)
	for i := range n {
		send(t, client, queueURL, body(fmt.Sprintf("order-x%d", i)))
	}
	waitCounts(t, client, queueURL, "0", "0")
	text := p.stderr.String()
	if got := strings.Count(text, `"msg":"handled"`); got != n+1 {
		t.Errorf("handled %d times, want %d", got, n+1)
	}
	if got := strings.Count(text, `"name":"order-17"`); got != 1 {
		t.Errorf("order-17 handled %d times, want once", got)
	}
}

// A message goes in over HTTP, passes the queue, is handled once, and its outcome can be read.
func testPostedNameIsHandledOnceHoweverOftenItIsPosted(t *testing.T) {
	p := startLocal(t)
	producerURL := p.producerURL(t)
	post := func(name string) {
		resp := request(t, http.MethodPost, producerURL+"/", body(name), map[string]string{"Content-Type": "application/json"})
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Errorf("%s: answered %d", name, resp.StatusCode)
		}
	}
	record := func(name string) (status string, attempts int, result string) {
		resp := request(t, http.MethodGet, producerURL+"/messages/"+name, "", nil)
		defer func() { _ = resp.Body.Close() }()
		var r struct {
			Status   string
			Attempts int
			Result   json.RawMessage
		}
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			t.Fatal(err)
		}
		return r.Status, r.Attempts, string(r.Result)
	}
	var posts sync.WaitGroup
	for range 50 {
		posts.Go(func() { post("order-17") })
	}
	n := testutil.N(t, 300)
	for part := range 20 {
		posts.Go(func() {
			for i := part; i < n; i += 20 {
				post(fmt.Sprint("n", i))
			}
		})
	}
	posts.Wait()
	waitCounts(t, anySDK(p.queueURL(t)), p.queueURL(t), "0", "0")
	if status, attempts, result := record("order-17"); status != "COMPLETED" || attempts != 1 || result != `{"name":"order-17"}` {
		t.Errorf("order-17 is %s after %d attempts with %s", status, attempts, result)
	}
	for i := range n {
		if status, attempts, _ := record(fmt.Sprint("n", i)); status != "COMPLETED" || attempts != 1 {
			t.Fatalf("n%d is %s after %d attempts", i, status, attempts)
		}
	}
	if got := strings.Count(p.stderr.String(), `"msg":"handled"`); got != n+1 {
		t.Errorf("handled %d times, want %d", got, n+1)
	}
}

// The metrics count the worker's calls per message, without the producer's.
func testCallsOfTheProducerAreNotTheWorkers(t *testing.T) {
	var calls atomic.Int64
	count := func(cfg *aws.Config) {
		cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
			return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("count", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
				middleware.FinalizeOutput, middleware.Metadata, error,
			) {
				calls.Add(1)
				return next.HandleFinalize(ctx, in)
			}), middleware.After)
		})
	}
	l, err := newLocal(t.Context(), settings(t, "--local", "--addr", "127.0.0.1:0", "--queue-addr", "127.0.0.1:0"), count, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	before := calls.Load()
	for i := range 3 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body(fmt.Sprint("order-", i))))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		l.producer.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
	}
	if n := calls.Load() - before; n != 0 {
		t.Errorf("posting 3 messages counts as %d calls of the worker", n)
	}
	if visible, _ := counts(t, l.queue, l.queueURL); visible != "3" || calls.Load() == before {
		t.Errorf("%s messages are in the queue, and the worker's own look counts as %d calls", visible, calls.Load()-before)
	}
}

func testLocalWorkerTellsWhereEverythingListens(t *testing.T) {
	p := startLocal(t)
	for _, url := range []string{p.adminURL(t) + "/healthz", p.adminURL(t) + "/readyz"} {
		wait(t, url+" answers 200", func() bool {
			resp := get(t, url)
			return resp == http.StatusOK
		})
	}
	text := p.stdout.String()
	if want := "curl -H 'Content-Type: application/json' -d '{\"name\":\"order-17\"}' " + p.producerURL(t) + "/\n"; !strings.Contains(text, want) {
		t.Errorf("no line to try in\n%s", text)
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func testLocalWorkerTakesOperatorsFromThisMachine(t *testing.T) {
	p := startLocal(t)
	if resp := request(t, http.MethodDelete, p.producerURL(t)+"/messages/order-17", "", nil); resp.StatusCode != http.StatusAccepted {
		t.Errorf("forget: %s", resp.Status)
	}
	elsewhere := map[string]string{"X-Forwarded-For": "192.0.2.7"}
	if resp := request(t, http.MethodDelete, p.producerURL(t)+"/messages/order-17", "", elsewhere); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("forget through a proxy: %s", resp.Status)
	}
}

func testMessageWithoutANameEndsInTheDeadLetterQueue(t *testing.T) {
	p := startLocal(t)
	queueURL := p.queueURL(t)
	dlqURL := queueURL + "-dlq"
	client := anySDK(queueURL)
	for text, field := range map[string]string{
		"not JSON":      "body: ",
		`{"name":true}`: "name: is a boolean",
		`{"id":"a"}`:    "name: is missing",
	} {
		send(t, client, queueURL, text)
		var got *sqs.ReceiveMessageOutput
		wait(t, "dead letter", func() bool {
			var err error
			got, err = client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
				QueueUrl: &dlqURL, WaitTimeSeconds: 1, MessageAttributeNames: []string{"All"},
			})
			if err != nil {
				t.Fatal(err)
			}
			return len(got.Messages) > 0
		})
		m := got.Messages[0]
		if *m.Body != text || *m.MessageAttributes["sqsonce.reason"].StringValue != "bad message" ||
			!strings.HasPrefix(*m.MessageAttributes["sqsonce.error"].StringValue, field) {
			t.Errorf("dead letter for %s is %s with %v", text, *m.Body, m.MessageAttributes)
		}
		if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &dlqURL, ReceiptHandle: m.ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
	}
	waitCounts(t, client, queueURL, "0", "0")
}

func testPortInUseIsNamedWithItsFlag(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	addr := taken.Addr().String()
	for _, flag := range []string{"--addr", "--admin-addr", "--queue-addr"} {
		p := startLocal(t, flag, addr)
		if code := p.exit(t); code != 1 {
			t.Errorf("%s taken: exit code %d, want 1", flag, code)
		}
		if want := flag + ": " + addr + " is in use; choose another with " + flag; !strings.Contains(p.stderr.String(), want) {
			t.Errorf("%s taken: error is %s", flag, p.stderr.String())
		}
	}
}

func testUsualQueuePortIsLeftToItsProcess(t *testing.T) {
	if taken, err := net.Listen("tcp", localQueueAddr); err == nil {
		defer func() { _ = taken.Close() }()
	} // otherwise another process uses the port, which has the same effect
	p := start(t, "--local", "--addr", "127.0.0.1:0")
	queueURL := p.queueURL(t)
	if strings.Contains(queueURL, localQueueAddr) {
		t.Errorf("queue is at %s", queueURL)
	}
	p.logged(t, "the usual SQS port is taken; using a free one", 1)
	client := anySDK(queueURL)
	send(t, client, queueURL, body("a"))
	waitCounts(t, client, queueURL, "0", "0")
}

func testIdleLocalWorkerStopsAtOnce(t *testing.T) {
	p := startLocal(t)
	wait(t, "ready", func() bool { return get(t, p.adminURL(t)+"/readyz") == http.StatusOK })
	p.signals <- syscall.SIGTERM
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.logged(t, `"msg":"stopped"`, 1)
}

func TestLocalDelay(t *testing.T) {
	p := startLocal(t)
	url := p.producerURL(t)
	ask := func(method, path, body, delay string) (int, string) {
		header := map[string]string{"Content-Type": "application/json"}
		if delay != "" {
			header["X-Sqsonce-Delay"] = delay
		}
		resp := request(t, method, url+path, body, header)
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	for _, step := range []struct {
		method, path, body, delay string
		status                    int
		says                      string
	}{
		{http.MethodPost, "/", body("a"), "3h", 202, `"status":"SCHEDULED"`},
		{http.MethodPost, "/", body("a"), "4h", 202, `"status":"SCHEDULED"`},
		{http.MethodPost, "/", `{"name":"a","total":2}`, "3h", 409, "different body"},
		{http.MethodGet, "/messages/a", "", "", 200, `"status":"SCHEDULED"`},
		{http.MethodDelete, "/schedules/a", "", "", 200, `"status":"CANCELLED"`},
		{http.MethodDelete, "/schedules/a", "", "", 409, "has no schedule"},
		{http.MethodGet, "/messages/a", "", "", 404, "has no record"},
	} {
		if status, text := ask(step.method, step.path, step.body, step.delay); status != step.status || !strings.Contains(text, step.says) {
			t.Errorf("%s %s: %d %s", step.method, step.path, status, text)
		}
	}
}
