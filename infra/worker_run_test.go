package infra

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/testutil/transcript"
	"github.com/sqsonce/sqsonce/sqstest"
)

// runMessages is the number of messages for a worker that runs with a template's environment.
const runMessages = 20

func TestRun(t *testing.T) {
	t.Parallel()
	t.Run("worker runs with the templates environment", testTheWorkerRunsWithTheTemplatesEnvironment)
}

// With the environment of a template the worker calls the target, logs the messages (demo), or does
// not start, as the template is configured.
func testTheWorkerRunsWithTheTemplatesEnvironment(t *testing.T) {
	t.Run("target", func(t *testing.T) {
		t.Parallel()
		var asked atomic.Int64
		app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
		t.Cleanup(app.Close)
		said := work(t, "fifo", map[string]string{"SQSONCE_TARGET_URL": app.URL})
		if asked.Load() != runMessages {
			t.Errorf("the target was asked %d times for %d messages:\n%s", asked.Load(), runMessages, said)
		}
	})
	t.Run("demo", func(t *testing.T) {
		t.Parallel()
		said := work(t, "plain", nil)
		if n := strings.Count(said, `"level":"INFO","msg":"message"`); n != runMessages {
			t.Errorf("%d of %d messages were logged:\n%s", n, runMessages, said)
		}
	})
	t.Run("neither", func(t *testing.T) {
		variables := synthesised(t, "plain").variables(t, "worker")
		delete(variables, "SQSONCE_HANDLER")
		if said := complaint(t, variables, "worker", "run"); !strings.Contains(said, "--target-url") {
			t.Errorf("the worker says: %s", said)
		}
	})
}

// work runs the worker with the variables of a variant until the queue is empty, and returns its
// log. Queue and table are local.
func work(t *testing.T, variant string, others map[string]string) string {
	t.Helper()
	b := synthesised(t, variant)
	queue := sqstest.New(sqstest.Config{})
	server := httptest.NewServer(queue)
	t.Cleanup(server.Close)
	queue.SetBaseURL(server.URL)
	cfg := emulators.Config(server.URL)
	client := sqs.NewFromConfig(cfg)
	queueURL, dlqURL, err := awsenv.CreateQueue(t.Context(), client, b.config.queueName())
	if err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("infra-%s-%d", variant, time.Now().UnixNano())
	if err := dynamo.CreateTable(t.Context(), emulators.DynamoDBClient(t), table); err != nil {
		t.Fatal(err)
	}
	for i := range runMessages {
		in := &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: new(fmt.Sprintf(`{"name":"n%d","order":{"id":"n%d"}}`, i, i))}
		if b.config.Queue.FIFO {
			in.MessageGroupId, in.MessageDeduplicationId = new(fmt.Sprint(i)), new(fmt.Sprint(i))
		}
		if _, err := client.SendMessage(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	variables := with(b.variables(t, "worker"), map[string]string{
		"SQSONCE_QUEUE_URL": queueURL, "SQSONCE_DLQ_URL": dlqURL, "SQSONCE_TABLE": table,
		"AWS_ENDPOINT_URL_SQS": server.URL, "AWS_ENDPOINT_URL_DYNAMODB": emulators.DynamoDB(t),
		"AWS_REGION": emulators.Region, "AWS_ACCESS_KEY_ID": emulators.AccessKey, "AWS_SECRET_ACCESS_KEY": emulators.SecretKey,
		"SQSONCE_ADMIN_ADDR": "127.0.0.1:0",
	}, others)
	return untilEmpty(t, variables, client, queueURL)
}

// untilEmpty runs the worker until the queue is empty, stops it, and returns its log.
func untilEmpty(t *testing.T, variables map[string]string, client *sqs.Client, queueURL string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t, "worker"), "run")
	for _, name := range sortedKeys(variables) {
		cmd.Env = append(cmd.Env, name+"="+variables[name])
	}
	var said transcript.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for left := true; left; {
		<-tick.C
		out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
		if err != nil {
			t.Fatalf("the queue is not empty in time: %v\n%s", err, said.String())
		}
		left = out.Attributes["ApproximateNumberOfMessages"] != "0" || out.Attributes["ApproximateNumberOfMessagesNotVisible"] != "0"
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("worker: %v\n%s", err, said.String())
	}
	return said.String()
}
