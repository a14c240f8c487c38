package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestPage(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/lambda.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(program), "\n") // without the package comment
	if !strings.Contains(string(page), "```go\n"+shown+"```\n") {
		t.Error("docs/lambda.md does not show lambda/example/main.go as it is")
	}
}

// rig is the function as a process, with a queue in this one and a real DynamoDB server.
type rig struct {
	t                *testing.T
	client           *sqs.Client
	queueURL, dlqURL string
	env              []string
	lambda           *runtimeAPI
	function         *process
}

func newRig(t *testing.T) *rig {
	t.Helper()
	queues := sqstest.Start(t)
	endpoint := queues.Listen(t)
	r := &rig{t: t, client: queues.Client(), lambda: newRuntimeAPI(t)}
	var err error
	if r.queueURL, r.dlqURL, err = awsenv.CreateQueue(t.Context(), r.client, "orders"); err != nil {
		t.Fatal(err)
	}
	if err := dynamo.CreateTable(t.Context(), emulators.DynamoDBClient(t), "lambda-example"); err != nil {
		t.Fatal(err)
	}
	r.env = []string{
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_CONFIG_FILE=/dev/null",
		"AWS_ENDPOINT_URL_SQS=" + endpoint, "AWS_ENDPOINT_URL_DYNAMODB=" + emulators.DynamoDB(t),
	}
	r.function = start(t, append(r.env, "AWS_LAMBDA_RUNTIME_API="+r.lambda.Address, "TABLE=lambda-example"), "example")
	return r
}

func (r *rig) send(bodies ...string) {
	r.t.Helper()
	for _, body := range bodies {
		if _, err := r.client.SendMessage(r.t.Context(), &sqs.SendMessageInput{QueueUrl: &r.queueURL, MessageBody: &body}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// event receives the visible messages of a queue, as Lambda does.
func (r *rig) event(url string) (event events.SQSEvent) {
	r.t.Helper()
	out, err := r.client.ReceiveMessage(r.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range out.Messages {
		record := events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes,
			MessageAttributes: map[string]events.SQSMessageAttribute{}, EventSource: "aws:sqs",
			EventSourceARN: "arn:aws:sqs:us-east-1:000000000000:orders", AWSRegion: "us-east-1",
		}
		for name, v := range m.MessageAttributes {
			record.MessageAttributes[name] = events.SQSMessageAttribute{DataType: *v.DataType, StringValue: v.StringValue, BinaryValue: v.BinaryValue}
		}
		event.Records = append(event.Records, record)
	}
	return event
}

// turn is one turn of the event source mapping. It deletes the messages that the function does not
// report.
func (r *rig) turn() (failed []string) {
	r.t.Helper()
	event := r.event(r.queueURL)
	failed = r.lambda.handle(event)
	for _, record := range event.Records {
		if strings.Contains(strings.Join(failed, " "), record.MessageId) {
			continue
		}
		if _, err := r.client.DeleteMessage(r.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &r.queueURL, ReceiptHandle: &record.ReceiptHandle}); err != nil {
			r.t.Fatal(err)
		}
	}
	return failed
}

func (r *rig) charges() int { return strings.Count(r.function.out.String(), "charging ") }

// The binary as Lambda runs it, and every other way to its records.
func TestFunction(t *testing.T) {
	r := newRig(t)
	t.Run("ten messages of three names", func(t *testing.T) {
		r.t = t
		for _, id := range []string{"17", "18", "19", "17", "18", "19", "17", "18", "19", "17"} {
			r.send(`{"order_id":"` + id + `","total":30}`)
		}
		if failed := r.turn(); len(failed) > 0 || r.charges() != 3 {
			t.Errorf("failures %v, %d charges", failed, r.charges())
		}
	})
	t.Run("rejection", func(t *testing.T) {
		r.t = t
		r.send(`{"order_id":"20","total":-5}`)
		failed, dead := r.turn(), r.event(r.dlqURL).Records
		if len(failed) > 0 || len(dead) != 1 || *dead[0].MessageAttributes["sqsonce.reason"].StringValue != "rejected" {
			t.Errorf("failures %v, dead letters %+v", failed, dead)
		}
	})
	t.Run("too short a timeout", func(t *testing.T) {
		r.t, r.lambda.t = t, t
		got := r.lambda.invoke([]byte(`{"Records":[{"messageId":"1","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:us-east-1:000000000000:orders"}]}`), 3*time.Second)
		if !strings.HasSuffix(got.path, "/error") || !strings.Contains(got.body, "the function's timeout must be more than") {
			t.Errorf("%s: %s", got.path, got.body)
		}
	})
	t.Run("one record for all", func(t *testing.T) { testOneRecordForAll(t, r) })
}

// The producer, the console and a worker read the records of the function.
func testOneRecordForAll(t *testing.T, r *rig) {
	r.t = t
	flags := []string{"--queue-url", r.queueURL, "--table", "lambda-example"}
	want := func(reader, text string) {
		t.Helper()
		text = strings.NewReplacer(" ", "", `\"`, `"`).Replace(text)
		if !strings.Contains(text, "COMPLETED") || !strings.Contains(text, `"Charged":30`) {
			t.Errorf("%s: %s", reader, text)
		}
	}
	want("producer status", start(t, r.env, "producer", append([]string{"status", "17"}, flags...)...).end())
	api := start(t, r.env, "producer", append([]string{"serve", "--addr", "127.0.0.1:0"}, flags...)...)
	want("GET", get(t, api.match(`(http://127\.0\.0\.1:\d+)`)+"/messages/17"))
	console := start(t, r.env, "producer", append([]string{"console", "--addr", "127.0.0.1:0"}, flags...)...)
	want("the console", get(t, console.match(`(http://127\.0\.0\.1:\d+)`)+"/api/queues/orders/names?name=17"))

	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		t.Errorf("the worker has run %s again", request.Header.Get("X-Sqsonce-Name"))
	}))
	defer target.Close()
	worker := start(t, r.env, "worker", append([]string{"--key", "order_id", "--target-url", target.URL, "--admin-addr", "127.0.0.1:0"}, flags...)...)
	admin := worker.match(`admin at (http://127\.0\.0\.1:\d+)/`)
	r.send(`{"order_id":"17","total":30}`)
	eventually(t, "the worker answers a duplicate of the function's", func() bool {
		return strings.Contains(get(t, admin+"/metrics"), `sqsonce_duplicates_total`) && len(r.depth()) == 0
	})
	want("the worker's console", get(t, admin+"/api/queues/orders/names?name=17"))
}

// depth returns the messages in the queue as text, which is empty when there are none.
func (r *rig) depth() (held string) {
	r.t.Helper()
	out, err := r.client.GetQueueAttributes(r.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &r.queueURL, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
		if n := out.Attributes[name]; n != "0" {
			held += name + " " + n
		}
	}
	return held
}

func get(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
