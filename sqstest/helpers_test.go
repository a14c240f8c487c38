package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/sqstest"
)

// reporter is the part of *testing.T that the checks use.
type reporter interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// bench is a server and the real client, in memory.
type bench struct {
	*sqs.Client
	t      reporter
	server *sqstest.Server
	settle func() // of the conformance suite
}

func newBench(t *testing.T) *bench {
	s := sqstest.New(sqstest.Config{})
	return &bench{Client: sqs.NewFromConfig(s.AWSConfig()), t: t, server: s}
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newBench(t)) })
}

// create makes a queue. attributes alternate between names and values.
func (b *bench) create(name string, attributes ...string) string {
	b.t.Helper()
	in := &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{}}
	for i := 0; i < len(attributes); i += 2 {
		in.Attributes[attributes[i]] = attributes[i+1]
	}
	out, err := b.CreateQueue(b.t.Context(), in)
	if err != nil {
		b.t.Fatalf("CreateQueue(%s): %v", name, err)
	}
	return *out.QueueUrl
}

func (b *bench) createFIFO(name string, attributes ...string) string {
	b.t.Helper()
	return b.create(name, append([]string{"FifoQueue", "true"}, attributes...)...)
}

func redriveTo(name string, maxReceives int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:%s","maxReceiveCount":"%d"}`, name, maxReceives)
}

func (b *bench) send(url string, bodies ...string) {
	b.t.Helper()
	for _, body := range bodies {
		if _, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
			b.t.Fatalf("SendMessage(%.20q): %v", body, err)
		}
	}
}

// sendFIFO sends a body to a group, with the body as deduplication id.
func (b *bench) sendFIFO(url, group string, bodies ...string) {
	b.t.Helper()
	for _, body := range bodies {
		if _, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{
			QueueUrl: &url, MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: &body,
		}); err != nil {
			b.t.Fatalf("SendMessage(%q): %v", body, err)
		}
	}
}

// receive makes a short poll for ten messages with all attributes.
func (b *bench) receive(url string, options ...func(*sqs.ReceiveMessageInput)) []types.Message {
	b.t.Helper()
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &url,
		MaxNumberOfMessages:         10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		MessageAttributeNames:       []string{"All"},
	}
	for _, o := range options {
		o(in)
	}
	out, err := b.ReceiveMessage(b.t.Context(), in)
	if err != nil {
		b.t.Fatalf("ReceiveMessage: %v", err)
	}
	return out.Messages
}

// one receives a message and fails the test unless there is exactly one.
func (b *bench) one(url string, options ...func(*sqs.ReceiveMessageInput)) types.Message {
	b.t.Helper()
	got := b.receive(url, options...)
	if len(got) != 1 {
		b.t.Fatalf("received %v, want one message", bodies(got))
	}
	return got[0]
}

func most(n int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = n }
}

func waiting(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = seconds }
}

func hidden(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = seconds }
}

func attempt(id string) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.ReceiveRequestAttemptId = &id }
}

func (b *bench) delete(url string, handle *string) {
	b.t.Helper()
	if _, err := b.DeleteMessage(b.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: handle}); err != nil {
		b.t.Fatalf("DeleteMessage: %v", err)
	}
}

func (b *bench) change(url string, handle *string, seconds int32) error {
	_, err := b.ChangeMessageVisibility(b.t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: handle, VisibilityTimeout: seconds})
	return err
}

// flash receives one message and makes it visible again.
func (b *bench) flash(url string) types.Message {
	b.t.Helper()
	m := b.one(url, waiting(20))
	if err := b.change(url, m.ReceiptHandle, 0); err != nil {
		b.t.Fatalf("ChangeMessageVisibility: %v", err)
	}
	return m
}

func (b *bench) set(url, name, value string) {
	b.t.Helper()
	if _, err := b.SetQueueAttributes(b.t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{name: value}}); err != nil {
		b.t.Fatalf("SetQueueAttributes(%s=%s): %v", name, value, err)
	}
}

// expectCounts compares the numbers of visible, invisible and delayed messages.
func (b *bench) expectCounts(url string, visible, inFlight, delayed int) {
	b.t.Helper()
	if got, want := b.counts(url), [3]int{visible, inFlight, delayed}; got != want {
		b.t.Errorf("visible, in flight, delayed = %v, want %v", got, want)
	}
}

// counts returns the numbers of visible, invisible and delayed messages.
func (b *bench) counts(url string) (counts [3]int) {
	b.t.Helper()
	out, err := b.GetQueueAttributes(b.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		b.t.Fatalf("GetQueueAttributes: %v", err)
	}
	for i, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		counts[i], _ = strconv.Atoi(out.Attributes[name])
	}
	return counts
}

func bodies(ms []types.Message) []string {
	var out []string
	for _, m := range ms {
		out = append(out, *m.Body)
	}
	return out
}

func expectBodies(t reporter, got []types.Message, want ...string) {
	t.Helper()
	if !slices.Equal(bodies(got), want) {
		t.Fatalf("received %q, want %q", bodies(got), want)
	}
}

// expectError checks that err is of the SDK's type E.
func expectError[E error](t reporter, err error) {
	t.Helper()
	if _, ok := errors.AsType[E](err); !ok {
		t.Errorf("error %v, want a %T", err, *new(E))
	}
}

func expectCode(t reporter, err error, code string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code && e.ErrorCode() != "AWS.SimpleQueueService."+code {
		t.Errorf("error %v, want code %s", err, code)
	}
}

// failOnce sets a hook that returns the fault for the first call of an operation.
func (b *bench) failOnce(operation string, f sqstest.Fault) {
	done := false
	b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		if done || c.Operation != operation {
			return sqstest.Fault{}
		}
		done = true
		return f
	})
}

// impatient returns a client without retries.
func (b *bench) impatient() *sqs.Client {
	return sqs.NewFromConfig(b.server.AWSConfig(), func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
}
