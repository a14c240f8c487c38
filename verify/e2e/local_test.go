package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// local is a worker with --local.
type local struct {
	*process
	api, queue string
}

func startLocal(t *testing.T, args ...string) *local {
	t.Helper()
	free := []string{"run", "--local", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--queue-addr", "127.0.0.1:0"}
	p := start(t, nil, "worker", append(free, args...)...)
	l := &local{process: p}
	l.api = strings.TrimSuffix(p.match(`producer API\s+(http://\S+)`), "/")
	l.queue = strings.TrimSuffix(p.match(`SQS endpoint\s+(http://\S+)`), "/")
	return l
}

func TestLocal(t *testing.T) {
	t.Run("fifty posts of one name", testFiftyPosts)
	t.Run("a thousand names", testThousandNames)
	t.Run("replay", testReplay)
	t.Run("bad requests", testBadRequests)
	t.Run("no name", testNoName)
	t.Run("port in use", testPortInUse)
	t.Run("no settings", testNoSettings)
}

func testFiftyPosts(t *testing.T) {
	l := startLocal(t)
	var posts sync.WaitGroup
	for range 50 {
		posts.Go(func() {
			code, header, body := post(t, l.api, `{"name":"order-17","amount":3}`)
			if code != http.StatusAccepted || header.Get("Location") != "/messages/order-17" || !strings.Contains(body, `"QUEUED"`) {
				t.Errorf("%d, Location %q: %s", code, header.Get("Location"), body)
			}
		})
	}
	posts.Wait()
	r := final(t, l.api, "order-17")
	if r.Status != "COMPLETED" || r.Attempts != 1 || !jsonEqual(t, r.Result, `{"name":"order-17"}`) {
		t.Errorf("got %+v with result %s", r, r.Result)
	}
}

func testThousandNames(t *testing.T) {
	l := startLocal(t)
	names := make(chan string)
	var posts sync.WaitGroup
	for range 20 {
		posts.Go(func() {
			for name := range names {
				if code, _, body := post(t, l.api, fmt.Sprintf(`{"name":%q}`, name)); code != http.StatusAccepted {
					t.Errorf("%s: %d %s", name, code, body)
				}
			}
		})
	}
	for i := range 1000 {
		names <- fmt.Sprintf("n-%d", i)
	}
	close(names)
	posts.Wait()
	for i := range 1000 {
		if r := final(t, l.api, fmt.Sprintf("n-%d", i)); r.Status != "COMPLETED" || r.Attempts != 1 {
			t.Errorf("n-%d: %+v", i, r)
		}
	}
}

func testReplay(t *testing.T) {
	l := startLocal(t)
	out, code := run(t, nil, "producer", "replay", "--url", l.api, "--name", "x", "--count", "100", "--concurrency", "20", "--json")
	var report struct {
		Accepted, Handled, Suppressed int
		Repeated                      []any
	}
	if err := json.Unmarshal([]byte(lastJSON(out)), &report); err != nil {
		t.Fatalf("report %q: %v", out, err)
	}
	if code != 0 || report.Accepted != 100 || report.Handled != 1 || len(report.Repeated) != 0 || report.Suppressed != 99 {
		t.Errorf("exit %d, report %+v", code, report)
	}
}

func testBadRequests(t *testing.T) {
	l := startLocal(t)
	for name, tc := range map[string]struct {
		method, contentType, body string
		code                      int
		field                     string
	}{
		"no name":             {"POST", "application/json", `{"amount":3}`, 400, "name"},
		"empty name":          {"POST", "application/json", `{"name":""}`, 400, "name"},
		"name is a boolean":   {"POST", "application/json", `{"name":true}`, 400, "name"},
		"name with a newline": {"POST", "application/json", "{\"name\":\"a\\nb\"}", 400, "name"},
		"not JSON":            {"POST", "application/json", `name=order-17`, 400, "body"},
		"over 1 MiB":          {"POST", "application/json", `{"name":"a","pad":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "1048576"},
		"wrong method":        {"PUT", "application/json", `{"name":"a"}`, 405, ""},
		"wrong media type":    {"POST", "text/plain", `{"name":"a"}`, 415, "Content-Type"},
	} {
		t.Run(name, func(t *testing.T) {
			code, header, body := ask(t, tc.method, l.api+"/", tc.contentType, []byte(tc.body))
			if code != tc.code || header.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, tc.field) {
				t.Errorf("got %d %q %s, want %d and %q", code, header.Get("Content-Type"), body, tc.code, tc.field)
			}
		})
	}
	if code, _, body := ask(t, http.MethodGet, l.api+"/queue", "", nil); code != 200 || !jsonEqual(t, []byte(body), `{"visible":0,"in_flight":0,"delayed":0}`) {
		t.Errorf("something was sent: %d %s", code, body)
	}
}

func testNoName(t *testing.T) {
	l := startLocal(t)
	client := sqs.NewFromConfig(emulators.Config(l.queue))
	for _, body := range []string{"no JSON at all", `{"amount":3}`, `{"name":true}`} {
		sendRaw(t, client, "sqsonce", body)
	}
	for body, want := range drainDeadLetters(t, client, "sqsonce-dlq", 3) {
		if want != "bad message" {
			t.Errorf("%s: reason %q", body, want)
		}
	}
	eventually(t, "an empty queue", func() bool {
		_, _, body := ask(t, http.MethodGet, l.api+"/queue", "", nil)
		return jsonEqual(t, []byte(body), `{"visible":0,"in_flight":0,"delayed":0}`)
	})
}

func testPortInUse(t *testing.T) {
	var config net.ListenConfig
	taken, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, flag := range []string{"--addr", "--admin-addr", "--queue-addr"} {
		args := []string{"run", "--local"}
		for _, f := range []string{"--addr", "--admin-addr", "--queue-addr"} {
			at := "127.0.0.1:0"
			if f == flag {
				at = taken.Addr().String()
			}
			args = append(args, f, at)
		}
		out, code := run(t, nil, "worker", args...)
		if code != 1 || !strings.Contains(out, flag+":") || !strings.Contains(out, "in use") {
			t.Errorf("%s: exit %d: %s", flag, code, out)
		}
	}
}

func testNoSettings(t *testing.T) {
	out, code := run(t, nil, "worker")
	if code != 2 || !strings.Contains(out, "--local") || !strings.Contains(out, "--queue-url") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// lastJSON returns the output from the first "{" on, or all of it if there is none.
func lastJSON(out string) string {
	if i := strings.Index(out, "{"); i >= 0 {
		return out[i:]
	}
	return out
}

func jsonEqual(t *testing.T, got []byte, want string) bool {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		return false
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(g) == fmt.Sprint(w)
}

func queueURL(t *testing.T, client *sqs.Client, name string) *string {
	t.Helper()
	out, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return out.QueueUrl
}

func sendRaw(t *testing.T, client *sqs.Client, queue, body string) {
	t.Helper()
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queueURL(t, client, queue), MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

// drainDeadLetters waits for n dead letters and returns their reasons by body.
func drainDeadLetters(t *testing.T, client *sqs.Client, queue string, n int) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	address := queueURL(t, client, queue)
	reasons := make(map[string]string)
	for len(reasons) < n {
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: address, MaxNumberOfMessages: 10, WaitTimeSeconds: 5, MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			t.Fatalf("%d of %d dead letters: %v", len(reasons), n, err)
		}
		for _, m := range out.Messages {
			reasons[aws.ToString(m.Body)] = aws.ToString(m.MessageAttributes["sqsonce.reason"].StringValue)
			if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: address, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return reasons
}
