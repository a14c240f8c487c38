package workercmd

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/telemetry"
)

// asApp makes the test binary run a target that never answers. Its value is the number of requests
// after which it accepts no more connections. SIGTERM ends it at once.
const asApp = "SQSONCE_TEST_AS_APP"

// inFlight is the number of requests at the target when worker and target get the signal.
const inFlight = 20

// serveApp is the program of [asApp].
func serveApp() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var posts atomic.Int32
	fmt.Printf("app on http://%s\n", listener.Addr())
	served := http.Serve(listener, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n := posts.Add(1); n == inFlight {
			_ = listener.Close()
			fmt.Println("app has all")
		}
		select {}
	}))
	if served == nil {
		return 1
	}
	select {} // its requests stay under way
}

// startApp starts the target in its own process.
func startApp(t *testing.T) *process {
	t.Helper()
	p := &process{ended: make(chan struct{})}
	p.cmd = exec.CommandContext(t.Context(), os.Args[0])
	p.cmd.Env = append(os.Environ(), asApp+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // an error, because a signal ended it
	}()
	t.Cleanup(p.kill)
	return p
}

// TestStopOrder: a platform stops the worker and its target at the same time, and the target ends
// first, with 20 requests in flight. One of their messages is on its last receive. The connections
// of two more requests are refused.
func TestStopOrder(t *testing.T) {
	for _, onUnknown := range []string{"rerun", "hold"} {
		t.Run("target first/"+onUnknown, func(t *testing.T) {
			testStopOrder(t, onUnknown, func(app, worker *process) {
				_ = app.cmd.Process.Signal(syscall.SIGTERM)
				<-app.ended
				_ = worker.cmd.Process.Signal(syscall.SIGTERM)
			})
		})
		t.Run("worker first/"+onUnknown, func(t *testing.T) {
			testStopOrder(t, onUnknown, func(app, worker *process) {
				_ = worker.cmd.Process.Signal(syscall.SIGTERM)
				_ = app.cmd.Process.Signal(syscall.SIGTERM)
			})
		})
	}
	t.Run("next worker", testNextWorker)
}

func testStopOrder(t *testing.T, onUnknown string, stop func(app, worker *process)) {
	const refused, last = 2, "name-0"
	o, app := newOutside(t), startApp(t)
	o.redriveAfter(t, 3)
	send(t, o.sqs, o.queueURL, body(last))
	o.receiveOnce(t)
	o.receiveOnce(t)
	worker := startProcess(t, nil, o.args("--on-unknown", onUnknown, "--concurrency", fmt.Sprint(inFlight+refused),
		"--target-url", app.printed(t, `app on (\S+)`), "--target-timeout", "10m")...)
	worker.printed(t, `(worker on)`)

	for i := 1; i < inFlight; i++ {
		send(t, o.sqs, o.queueURL, body(fmt.Sprint("name-", i)))
	}
	app.printed(t, "(app has all)")
	for i := range refused {
		send(t, o.sqs, o.queueURL, body(fmt.Sprint("refused-", i)))
	}
	worker.printed(t, "(target not reached)")

	stop(app, worker)
	<-worker.ended
	if code := worker.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("worker ended with %d", code)
	}
	status, attempts, dead, reason := "IN_PROGRESS", "0", 1, "stopped"
	if onUnknown == "hold" {
		status, attempts, dead, reason = "UNKNOWN", "1", inFlight, "unknown outcome"
	}
	for i := range inFlight {
		name := fmt.Sprint("name-", i)
		if s, n := o.record(t, name); s != status || n != attempts {
			t.Errorf("%s is %s after %s attempts, want %s after %s", name, s, n, status, attempts)
		}
	}
	for i := range refused {
		name := fmt.Sprint("refused-", i)
		if s, n := o.record(t, name); s == "UNKNOWN" || n != "" && n != "0" {
			t.Errorf("%s, which never went out, is %s after %s attempts", name, s, n)
		}
	}
	if told := strings.Count(worker.output.String(), "the target ended before this worker had stopped"); told != 1 {
		t.Errorf("the cause is logged %d times", told)
	}
	waitCounts(t, o.sqs, o.dlqURL, fmt.Sprint(dead), "0")
	visible, hidden := counts(t, o.sqs, o.queueURL)
	v, _ := strconv.Atoi(visible)
	h, _ := strconv.Atoi(hidden)
	if v+h != inFlight+refused-dead {
		t.Errorf("%d messages are visible and %d hidden, want %d in all", v, h, inFlight+refused-dead)
	}
	for _, m := range o.receive(t, o.dlqURL) {
		if got := attribute(m, "sqsonce.reason"); got != reason {
			t.Errorf("dead letter for %q, want %q", got, reason)
		}
	}
}

// testNextWorker: after such a shutdown, another worker completes every name at its first counted
// attempt. The shutdown has raised each receive count by one.
func testNextWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		var receives, attempts atomic.Pointer[string]
		var asked posts
		b := newInBubble(t, 10, func(_ http.ResponseWriter, r *http.Request) {
			if asked.note(); !well.Load() {
				<-r.Context().Done()
			}
			attempts.Store(aws.String(r.Header.Get("X-Sqsonce-Attempt")))
			receives.Store(aws.String(r.Header.Get("X-Aws-Sqsd-Receive-Count")))
		}, "--concurrency", fmt.Sprint(inFlight))
		b.begin()
		for i := range inFlight {
			b.send(body(fmt.Sprint("name-", i)))
		}
		if !b.await(time.Minute, func() bool { return asked.count() == inFlight }) {
			t.Fatal("not all in flight")
		}
		b.target.refuse(true)
		time.Sleep(time.Second)
		b.stop()
		if err := <-b.done; err != nil {
			t.Errorf("Run: %v", err)
		}

		well.Store(true)
		b.target.refuse(false)
		b.again(t)
		defer b.end()
		if !b.await(time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 }) {
			t.Fatal("not done a minute after the stop")
		}
		for i := range inFlight {
			if r := b.record(fmt.Sprint("name-", i)); r.Status != protocol.Completed || r.Attempts != 1 {
				t.Errorf("%s is %s after %d attempts", r.Name, r.Status, r.Attempts)
			}
		}
		if asked.count() != 2*inFlight || *attempts.Load() != "1" || *receives.Load() != "2" {
			t.Errorf("%d requests, the last of attempt %s at receive %s", asked.count(), *attempts.Load(), *receives.Load())
		}
	})
}

// again starts another worker with the queue, the store and the target of a stopped one.
func (b *inBubble) again(t *testing.T) {
	t.Helper()
	var err error
	if b.worker.telemetry, err = telemetry.New(t.Context(), telemetry.Config{Logger: b.worker.log}); err != nil {
		t.Fatal(err)
	}
	b.queueWorker.telemetry = b.worker.telemetry.Queue(localQueue)
	b.arm()
	if err := b.newPool(); err != nil {
		t.Fatal(err)
	}
	b.begin()
}

// redriveAfter sets the maxReceiveCount of the queue.
func (o *outside) redriveAfter(t *testing.T, receives int) {
	t.Helper()
	policy := fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:jobs-dlq","maxReceiveCount":%d}`, receives)
	if _, err := o.sqs.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: &o.queueURL, Attributes: map[string]string{"RedrivePolicy": policy},
	}); err != nil {
		t.Fatal(err)
	}
}

// receiveOnce receives the visible message of the queue and makes it visible again at once.
func (o *outside) receiveOnce(t *testing.T) {
	t.Helper()
	out, err := o.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &o.queueURL})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("%v: %v", out, err)
	}
	if _, err = o.sqs.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &o.queueURL, ReceiptHandle: out.Messages[0].ReceiptHandle, VisibilityTimeout: 0,
	}); err != nil {
		t.Fatal(err)
	}
}

// receive receives all visible messages of a queue.
func (o *outside) receive(t *testing.T, queueURL string) (all []types.Message) {
	t.Helper()
	for {
		out, err := o.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &queueURL, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return all
		}
		all = append(all, out.Messages...)
	}
}
