package sqsoncelambda

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/sqstest"
)

// bench is a queue with a dead-letter queue, and the settings of a function on it, in memory and in
// virtual time.
type bench struct {
	t                *testing.T
	client           *sqs.Client
	queueURL, dlqURL string
	arn              string
	store            *memstore.Store
	cfg              Config
	timeout          time.Duration // of the function
	work             Work[string]

	function *Function[string]

	mu       sync.Mutex
	ran      []string                                // guarded by mu; names, in the order of their starts
	released []sqs.ChangeMessageVisibilityBatchInput // guarded by mu
	refuse   func(operation string, input any) error // guarded by mu; nil: calls go through
}

// bubble runs a test of a function in virtual time.
func bubble(t *testing.T, maxReceives int, fifo bool, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New(sqstest.Config{})
		suffix := ""
		if fifo {
			suffix = ".fifo"
		}
		b := &bench{t: t, client: server.Client(), store: memstore.New(), timeout: time.Minute}
		b.dlqURL = server.Queue(t, "work-dlq"+suffix, nil)
		b.arn = "arn:aws:sqs:us-east-1:000000000000:work" + suffix
		b.queueURL = server.Queue(t, "work"+suffix, map[string]string{
			"VisibilityTimeout": "360", // six times the function's timeout
			"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:work-dlq%s","maxReceiveCount":%d}`, suffix, maxReceives),
		})
		b.cfg = Config{Store: b.store, Queue: b, Guard: dedupe.Config{Logger: slog.New(slog.DiscardHandler)}}
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "done", nil }
		test(t, b)
	})
}

// call asks refuse.
func (b *bench) call(operation string, input any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if in, ok := input.(*sqs.ChangeMessageVisibilityBatchInput); ok {
		b.released = append(b.released, *in)
	}
	if b.refuse != nil {
		return b.refuse(operation, input)
	}
	return nil
}

func (b *bench) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	if err := b.call("ChangeMessageVisibilityBatch", in); err != nil {
		return nil, err
	}
	return b.client.ChangeMessageVisibilityBatch(ctx, in, o...)
}

func (b *bench) SendMessage(ctx context.Context, in *sqs.SendMessageInput, o ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	if err := b.call("SendMessage", in); err != nil {
		return nil, err
	}
	return b.client.SendMessage(ctx, in, o...)
}

func (b *bench) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, o ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	if err := b.call("GetQueueAttributes", in); err != nil {
		return nil, err
	}
	return b.client.GetQueueAttributes(ctx, in, o...)
}

func (b *bench) GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput, o ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) {
	return b.client.GetQueueUrl(ctx, in, o...)
}

// send puts messages of one group on the queue, by their names.
func (b *bench) send(group string, names ...string) {
	b.t.Helper()
	for i, name := range names {
		in := &sqs.SendMessageInput{QueueUrl: &b.queueURL, MessageBody: aws.String(`{"name":"` + name + `"}`)}
		if group != "" {
			in.MessageGroupId, in.MessageDeduplicationId = &group, aws.String(group+strconv.Itoa(i))
		}
		if _, err := b.client.SendMessage(b.t.Context(), in); err != nil {
			b.t.Fatal(err)
		}
	}
}

// receive returns the visible messages of a queue, as an event of it.
func (b *bench) receive(url string) events.SQSEvent {
	b.t.Helper()
	out, err := b.client.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	event := events.SQSEvent{}
	for _, m := range out.Messages {
		r := events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes,
			MessageAttributes: make(map[string]events.SQSMessageAttribute), EventSource: "aws:sqs", EventSourceARN: b.arn,
		}
		for name, v := range m.MessageAttributes {
			r.MessageAttributes[name] = events.SQSMessageAttribute{DataType: *v.DataType, StringValue: v.StringValue, BinaryValue: v.BinaryValue}
		}
		event.Records = append(event.Records, r)
	}
	return event
}

// ready returns the function, which notes the names that it runs.
func (b *bench) ready() *Function[string] {
	b.t.Helper()
	if b.function == nil {
		var err error
		b.function, err = New(aws.Config{}, b.cfg, func(ctx context.Context, m sqsonce.Message) (string, error) {
			a, _ := dedupe.AttemptFrom(ctx)
			b.mu.Lock()
			b.ran = append(b.ran, a.Name)
			b.mu.Unlock()
			return b.work(ctx, m)
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return b.function
}

// invoke is one turn of an event source mapping: it receives, calls the function with the document
// that Lambda would hand over, and deletes all that the response does not name. It returns the
// failures, by the names of their messages.
func (b *bench) invoke() (failed []string) {
	b.t.Helper()
	event := b.receive(b.queueURL)
	document, err := json.Marshal(event)
	if err != nil {
		b.t.Fatal(err)
	}
	var received events.SQSEvent
	if err := json.Unmarshal(document, &received); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(b.t.Context(), time.Now().Add(b.timeout))
	defer cancel()
	response, err := b.ready().Handle(ctx, received)
	if err != nil {
		b.t.Fatal(err)
	}
	if ctx.Err() != nil {
		b.t.Errorf("the invocation took longer than the function's timeout")
	}
	kept := map[string]bool{}
	for _, f := range response.BatchItemFailures {
		kept[f.ItemIdentifier] = true
	}
	for _, r := range event.Records {
		var body struct{ Name string }
		_ = json.Unmarshal([]byte(r.Body), &body) // a body that is no JSON has no name
		if kept[r.MessageId] {
			failed = append(failed, body.Name)
			continue
		}
		if _, err := b.client.DeleteMessage(b.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &b.queueURL, ReceiptHandle: &r.ReceiptHandle}); err != nil {
			b.t.Fatal(err)
		}
	}
	return failed
}

// took returns the names that ran since the last call.
func (b *bench) took() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := b.ran
	b.ran = nil
	return names
}

// visibilities returns the visibility timeouts set since the last call, in their order.
func (b *bench) visibilities() (seconds []int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, in := range b.released {
		for _, e := range in.Entries {
			seconds = append(seconds, e.VisibilityTimeout)
		}
	}
	b.released = nil
	return seconds
}

func (b *bench) record(name string) protocol.Record {
	b.t.Helper()
	r, err := b.store.Get(b.t.Context(), protocol.RecordID(queueName(b.arn), name))
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// beside returns the guard of another process on the same records.
func (b *bench) beside() *dedupe.Guard[string] {
	b.t.Helper()
	cfg := b.cfg.Guard
	cfg.Scope = queueName(b.arn)
	g, err := dedupe.New[string](b.store, cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return g
}

func equal(t *testing.T, subject string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", subject, got, want)
	}
}

// permanent is an error that no retry can cure.
type permanent struct{}

func (permanent) Error() string   { return "the total is not positive" }
func (permanent) Permanent() bool { return true }
