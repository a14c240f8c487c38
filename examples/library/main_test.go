package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/testutil/transcript"
	"github.com/sqsonce/sqsonce/sqstest"
)

// asProgram makes the test binary be the program.
const asProgram = "SQSONCE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// The README and the package comment show this program.
func TestProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(program), "\n") // without the package comment
	t.Run("in the README", func(t *testing.T) {
		readme, err := os.ReadFile("../../README.md")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(readme), "```go\n"+shown+"```\n") {
			t.Error("README.md does not show examples/library/main.go as it is")
		}
	})
	t.Run("in the package comment", func(t *testing.T) {
		doc, err := os.ReadFile("../../doc.go")
		if err != nil {
			t.Fatal(err)
		}
		var comment strings.Builder
		for line := range strings.Lines(shown) {
			if line == "\n" {
				comment.WriteString("//\n")
			} else {
				comment.WriteString("//\t" + line)
			}
		}
		if !strings.Contains(string(doc), comment.String()) {
			t.Error("doc.go does not show examples/library/main.go as it is")
		}
	})
}

func TestMainProgram(t *testing.T) {
	rig := newRig(t)
	t.Run("an order is charged once", func(t *testing.T) {
		rig.t = t
		rig.send(`{"order_id":"17","total":30}`, `{"total":30,"order_id":"17"}`, `{"order_id":"18","total":12}`)
		rig.await("the queue is empty", func() bool { return rig.depth(rig.queueURL) == 0 })
		rig.wantLines("charging 30 for order 17", 1)
		rig.wantLines("charging 12 for order 18", 1)
	})
	t.Run("a rejected order that is redriven runs once more", func(t *testing.T) {
		rig.t = t
		rig.send(`{"order_id":"19","total":-5}`)
		dead := func() bool { return rig.depth(rig.queueURL) == 0 && rig.depth(rig.dlqURL) == 1 }
		rig.await("the order is dead-lettered", dead)
		rig.wantLines("charging -5 for order 19", 1)
		// The worker has sent the copy itself, so SQS does not know where it came from.
		_, err := rig.client.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{
			SourceArn: aws.String(rig.arn(rig.dlqURL)), DestinationArn: aws.String(rig.arn(rig.queueURL)),
		})
		if err != nil {
			t.Fatal(err)
		}
		rig.await("the order is dead-lettered again", func() bool { return dead() && rig.lines("charging -5 for order 19") > 1 })
		rig.wantLines("charging -5 for order 19", 2)
	})
	t.Run("a signal stops it", func(t *testing.T) {
		rig.t = t
		if err := rig.program.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-rig.ended
		if code := rig.program.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// rig is the program, at work on a queue in this process and a real DynamoDB server.
type rig struct {
	t                *testing.T
	client           *sqs.Client
	queueURL, dlqURL string
	program          *exec.Cmd
	ended            chan struct{}
	out              transcript.Buffer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	queues := sqstest.New(sqstest.Config{})
	server := httptest.NewServer(shortPolls(queues))
	t.Cleanup(server.Close)
	queues.SetBaseURL(server.URL)
	r := &rig{t: t, client: sqs.NewFromConfig(queues.AWSConfig()), ended: make(chan struct{})}
	var err error
	if r.queueURL, r.dlqURL, err = awsenv.CreateQueue(t.Context(), r.client, "orders"); err != nil {
		t.Fatal(err)
	}
	r.program = exec.CommandContext(t.Context(), os.Args[0])
	r.program.Env = append(os.Environ(), asProgram+"=1", "QUEUE_URL="+r.queueURL, "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x",
		"AWS_ENDPOINT_URL_SQS="+server.URL, "AWS_ENDPOINT_URL_DYNAMODB="+emulators.DynamoDB(t))
	r.program.Stdout, r.program.Stderr = &r.out, &r.out
	if err := r.program.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // joined through ended
		defer close(r.ended)
		_ = r.program.Wait() // the exit code says it
	}()
	t.Cleanup(func() {
		_ = r.program.Process.Kill() // mostly it has ended
		<-r.ended
		if t.Failed() {
			t.Log(r.out.String())
		}
	})
	return r
}

// shortPolls shortens every long poll to a second: a stop waits for the one that
// is out.
func shortPolls(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = bytes.Replace(body, []byte(`"WaitTimeSeconds":20`), []byte(`"WaitTimeSeconds":1`), 1)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		next.ServeHTTP(w, r)
	})
}

func (r *rig) send(bodies ...string) {
	r.t.Helper()
	for _, body := range bodies {
		if _, err := r.client.SendMessage(r.t.Context(), &sqs.SendMessageInput{QueueUrl: &r.queueURL, MessageBody: &body}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) attribute(url string, name types.QueueAttributeName) string {
	r.t.Helper()
	out, err := r.client.GetQueueAttributes(r.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{name},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out.Attributes[string(name)]
}

func (r *rig) arn(url string) string { return r.attribute(url, types.QueueAttributeNameQueueArn) }

// depth is the number of messages in a queue, those in flight included.
func (r *rig) depth(url string) int {
	total := 0
	for _, name := range []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	} {
		n := 0
		if _, err := fmt.Sscan(r.attribute(url, name), &n); err != nil {
			r.t.Fatal(err)
		}
		total += n
	}
	return total
}

func (r *rig) await(what string, is func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for every := time.NewTicker(20 * time.Millisecond); !is(); {
		select {
		case <-every.C:
		case <-r.ended:
			r.t.Fatalf("%s: the program has ended", what)
		case <-ctx.Done():
			r.t.Fatalf("%s: not within a minute", what)
		}
	}
}

func (r *rig) lines(line string) int { return strings.Count(r.out.String(), line+"\n") }

func (r *rig) wantLines(line string, want int) {
	r.t.Helper()
	if got := r.lines(line); got != want {
		r.t.Errorf("%q: %d times, want %d", line, got, want)
	}
}
