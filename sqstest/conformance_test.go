package sqstest_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/sqstest"
)

// place is somewhere to run the suite.
type place struct {
	name       string
	client     func(t *testing.T) (c *sqs.Client, settle func()) // settle waits until no request is at work
	deviations map[string]string                                 // by case: what it does instead, and where AWS says otherwise
}

const (
	api   = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
	guide = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
)

var places = []place{
	{name: "memory", client: func(*testing.T) (*sqs.Client, func()) {
		return sqs.NewFromConfig(sqstest.New(sqstest.Config{}).AWSConfig()), func() {}
	}},
	{name: "tcp", client: func(t *testing.T) (*sqs.Client, func()) {
		s := sqstest.New(sqstest.Config{})
		var working sync.RWMutex // held for reading by each request
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			working.RLock()
			defer working.RUnlock()
			s.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		s.SetBaseURL(server.URL)
		cfg := s.AWSConfig()
		cfg.HTTPClient = server.Client()
		return sqs.NewFromConfig(cfg), func() { working.Lock(); defer working.Unlock() }
	}},
	{name: "fauxqs", client: func(t *testing.T) (*sqs.Client, func()) { return emulators.SQSClient(t), func() {} }, deviations: map[string]string{
		"an old handle deletes":                                  "it succeeds and deletes nothing, which " + api + "API_DeleteMessage.html leaves open",
		"a handle that never was fails its entry":                "the entry succeeds; " + api + "API_DeleteMessageBatch.html (ReceiptHandleIsInvalid)",
		"only the attributes asked for are returned":             "message attributes come unasked; " + api + "API_ReceiveMessage.html (MessageAttributeNames)",
		"a trace header comes back":                              "it is dropped; " + api + "API_ReceiveMessage.html (AWSTraceHeader)",
		"a standard queue keeps the message group":               "it is dropped; " + guide + "sqs-fair-queues.html",
		"one receive brings several messages of a group":         "one message per group and call; " + guide + "FIFO-queues-understanding-logic.html",
		"a dead letter names its source and counts its receives": "no source; the count is one more; " + api + "API_ReceiveMessage.html (DeadLetterQueueSourceArn)",
		"a cancelled poll takes nothing":                         "the poll lives on and takes the next message; " + guide + "sqs-short-and-long-polling.html",
		"a move task brings dead letters back":                   "unknown action; " + api + "API_StartMessageMoveTask.html",
		"the sources of a dead-letter queue are listed":          "unknown action; " + api + "API_ListDeadLetterSourceQueues.html",
	}},
}

// conformance are the cases: what Amazon SQS documents, in a sentence each.
var conformance = []struct {
	name string
	run  func(b *bench, name func(string) string)
}{
	{"a received message is hidden until its timeout and counts its receives", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		b.send(url, "a")
		m := b.one(url, hidden(600))
		b.expectCounts(url, 0, 1, 0)
		expectBodies(b.t, b.receive(url))
		if err := b.change(url, m.ReceiptHandle, 1); err != nil {
			b.t.Errorf("change: %v", err)
		}
		again := b.one(url, waiting(20))
		if m.Attributes["ApproximateReceiveCount"] != "1" || again.Attributes["ApproximateReceiveCount"] != "2" {
			b.t.Errorf("receive counts %s and %s", m.Attributes["ApproximateReceiveCount"], again.Attributes["ApproximateReceiveCount"])
		}
		if *m.MessageId != *again.MessageId || *m.ReceiptHandle == *again.ReceiptHandle {
			b.t.Errorf("ids and handles of two deliveries: %v %v", m, again)
		}
	}},
	{"a message made visible comes at once", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		b.send(url, "a")
		m := b.one(url, hidden(600))
		if err := b.change(url, m.ReceiptHandle, 0); err != nil {
			b.t.Errorf("change: %v", err)
		}
		b.expectCounts(url, 1, 0, 0)
		b.one(url)
	}},
	{"a timeout is twelve hours at most", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		b.send(url, "a")
		m := b.one(url, hidden(600))
		if err := b.change(url, m.ReceiptHandle, 43_000); err != nil {
			b.t.Errorf("change: %v", err)
		}
		expectCode(b.t, b.change(url, m.ReceiptHandle, 43_201), "InvalidParameterValue")
	}},
	{"a deleted message is gone", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		b.send(url, "a", "b")
		for _, m := range b.receive(url) {
			b.delete(url, m.ReceiptHandle)
			b.delete(url, m.ReceiptHandle) // once more is no error
		}
		b.expectCounts(url, 0, 0, 0)
	}},
	{"an old handle deletes", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		b.send(url, "a")
		old := b.flash(url)
		b.one(url, waiting(20))
		b.delete(url, old.ReceiptHandle)
		b.expectCounts(url, 0, 0, 0)
	}},
	{"a handle that never was fails its entry", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		b.send(url, "a")
		m := b.one(url)
		out, err := b.DeleteMessageBatch(b.t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle}, {Id: aws.String("bad"), ReceiptHandle: aws.String("no handle")},
		}})
		if err != nil || len(out.Successful) != 1 || len(out.Failed) != 1 || *out.Failed[0].Id != "bad" {
			b.t.Fatalf("%+v, %v", out, err)
		}
		if *out.Failed[0].Code != "ReceiptHandleIsInvalid" || !out.Failed[0].SenderFault {
			b.t.Errorf("failed with %s, sender fault %v", *out.Failed[0].Code, out.Failed[0].SenderFault)
		}
	}},
	{"the visibilities of a batch change one by one", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		b.send(url, "a", "b", "c")
		got := b.receive(url, hidden(600))
		out, err := b.ChangeMessageVisibilityBatch(b.t.Context(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			{Id: aws.String("0"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 0},
			{Id: aws.String("1"), ReceiptHandle: aws.String("no handle"), VisibilityTimeout: 0},
			{Id: aws.String("2"), ReceiptHandle: got[2].ReceiptHandle, VisibilityTimeout: 0},
		}})
		if err != nil || len(out.Successful) != 2 || len(out.Failed) != 1 || *out.Failed[0].Id != "1" {
			b.t.Fatalf("%+v, %v", out, err)
		}
		b.expectCounts(url, 2, 1, 0)
	}},
	{"a message received too often is dead-lettered", func(b *bench, name func(string) string) {
		dlq := b.create(name("dlq"))
		url := b.create(name("q"), "RedrivePolicy", redriveTo(name("dlq"), 2))
		b.send(url, "poison")
		first := b.flash(url)
		b.flash(url)
		expectBodies(b.t, b.receive(url, waiting(1)))
		b.expectCounts(url, 0, 0, 0)
		dead := b.one(dlq, waiting(20))
		if *dead.Body != "poison" || *dead.MessageId != *first.MessageId {
			b.t.Errorf("dead letter %v of %v", dead, first)
		}
	}},
	{"a dead letter names its source and counts its receives", func(b *bench, name func(string) string) {
		dlq := b.create(name("dlq"))
		url := b.create(name("q"), "RedrivePolicy", redriveTo(name("dlq"), 1))
		b.send(url, "poison")
		b.flash(url)
		expectBodies(b.t, b.receive(url, waiting(1)))
		dead := b.one(dlq, waiting(20))
		if n, from := dead.Attributes["ApproximateReceiveCount"], dead.Attributes["DeadLetterQueueSourceArn"]; n != "2" || !strings.HasSuffix(from, name("q")) {
			b.t.Errorf("receive count %s, source %q", n, from)
		}
	}},
	{"a delayed message is counted and comes late", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		start := time.Now()
		if _, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a"), DelaySeconds: 1}); err != nil {
			b.t.Fatalf("send: %v", err)
		}
		b.one(url, waiting(20))
		if early := time.Since(start); early < time.Second {
			b.t.Errorf("after %s", early)
		}
		if _, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("b"), DelaySeconds: 900}); err != nil {
			b.t.Fatalf("send: %v", err)
		}
		b.expectCounts(url, 0, 1, 1)
	}},
	{"a long poll ends with the message", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		got := make(chan []types.Message, 1)
		go func() {
			out, err := b.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
			if err != nil {
				got <- nil
				return
			}
			got <- out.Messages
		}()
		b.send(url, "a")
		expectBodies(b.t, <-got, "a")
	}},
	{"a cancelled poll takes nothing", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		ctx, cancel := context.WithTimeout(b.t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := b.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20}); err == nil {
			b.t.Errorf("no error")
		}
		b.settle()
		b.send(url, "a")
		b.one(url, waiting(2))
	}},
	{"a receive brings ten messages at most", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		for i := range 12 {
			b.send(url, fmt.Sprint(i))
		}
		if n := len(b.receive(url)); n < 1 || n > 10 {
			b.t.Errorf("%d messages", n)
		}
		_, err := b.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 11})
		expectCode(b.t, err, "InvalidParameterValue")
	}},
	{"batches have their limits", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		entries := func(n, size int, id func(int) string) *sqs.SendMessageBatchInput {
			in := &sqs.SendMessageBatchInput{QueueUrl: &url}
			for i := range n {
				in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(id(i)), MessageBody: aws.String(strings.Repeat("x", size))})
			}
			return in
		}
		number := func(i int) string { return fmt.Sprint(i) }
		_, err := b.SendMessageBatch(b.t.Context(), entries(11, 1, number))
		expectError[*types.TooManyEntriesInBatchRequest](b.t, err)
		_, err = b.SendMessageBatch(b.t.Context(), entries(2, 1, func(int) string { return "same" }))
		expectError[*types.BatchEntryIdsNotDistinct](b.t, err)
		_, err = b.SendMessageBatch(b.t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{}})
		expectError[*types.EmptyBatchRequest](b.t, err)
		_, err = b.SendMessageBatch(b.t.Context(), entries(4, 300<<10, number))
		expectError[*types.BatchRequestTooLong](b.t, err)
		b.expectCounts(url, 0, 0, 0)
	}},
	{"a message has a mebibyte", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		b.send(url, strings.Repeat("x", 1<<20))
		_, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(strings.Repeat("x", 1<<20+1))})
		expectCode(b.t, err, "InvalidParameterValue")
		if got := b.one(url); len(*got.Body) != 1<<20 {
			b.t.Errorf("%d bytes", len(*got.Body))
		}
	}},
	{"only the attributes asked for are returned", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		if _, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a"), MessageAttributes: map[string]types.MessageAttributeValue{
			"x": {DataType: aws.String("String"), StringValue: aws.String("1")},
		}}); err != nil {
			b.t.Fatalf("send: %v", err)
		}
		out, err := b.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 0})
		if err != nil || len(out.Messages) != 1 {
			b.t.Fatalf("%v, %v", out, err)
		}
		if m := out.Messages[0]; len(m.Attributes)+len(m.MessageAttributes) != 0 {
			b.t.Errorf("attributes %v and %v", m.Attributes, m.MessageAttributes)
		}
	}},
	{"message attributes come back as they were", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		if _, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("ä\n"), MessageAttributes: map[string]types.MessageAttributeValue{
			"text":   {DataType: aws.String("String"), StringValue: aws.String("é")},
			"number": {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
			"binary": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
		}}); err != nil {
			b.t.Fatalf("send: %v", err)
		}
		m := b.one(url)
		a := m.MessageAttributes
		if *m.Body != "ä\n" || *a["text"].StringValue != "é" || *a["number"].DataType != "Number.int" || string(a["binary"].BinaryValue) != "\x00\xff" {
			b.t.Errorf("%q, %v", *m.Body, a)
		}
	}},
	{"a trace header comes back", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		if _, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a"), MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")},
		}}); err != nil {
			b.t.Fatalf("send: %v", err)
		}
		if got := b.one(url).Attributes["AWSTraceHeader"]; !strings.HasPrefix(got, "Root=1-") {
			b.t.Errorf("trace header %q", got)
		}
	}},
	{"a standard queue keeps the message group", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		if _, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a"), MessageGroupId: aws.String("tenant")}); err != nil {
			b.t.Fatalf("send: %v", err)
		}
		if got := b.one(url).Attributes["MessageGroupId"]; got != "tenant" {
			b.t.Errorf("group %q", got)
		}
	}},
	{"a group is delivered in order and locked while one is in flight", func(b *bench, name func(string) string) {
		url := b.createFIFO(name("q") + ".fifo")
		b.sendFIFO(url, "g", "a", "b", "c")
		b.sendFIFO(url, "h", "x")
		first := b.one(url, most(1), hidden(600))
		if *first.Body != "a" {
			b.t.Fatalf("first was %q", *first.Body)
		}
		expectBodies(b.t, b.receive(url, most(1), hidden(600)), "x")
		expectBodies(b.t, b.receive(url))
		b.delete(url, first.ReceiptHandle)
		second := b.one(url, most(1), waiting(20))
		if *second.Body != "b" || second.Attributes["SequenceNumber"] <= first.Attributes["SequenceNumber"] {
			b.t.Errorf("second was %q, sequence numbers %s and %s", *second.Body, first.Attributes["SequenceNumber"], second.Attributes["SequenceNumber"])
		}
	}},
	{"one receive brings several messages of a group", func(b *bench, name func(string) string) {
		url := b.createFIFO(name("q") + ".fifo")
		b.sendFIFO(url, "g", "a", "b", "c")
		expectBodies(b.t, b.receive(url), "a", "b", "c")
	}},
	{"a deduplication id counts for five minutes, also after the delete", func(b *bench, name func(string) string) {
		url := b.createFIFO(name("q") + ".fifo")
		b.sendFIFO(url, "g", "a", "a")
		m := b.one(url)
		b.delete(url, m.ReceiptHandle)
		b.sendFIFO(url, "g", "a")
		b.expectCounts(url, 0, 0, 0)
	}},
	{"equal bodies are one where the content decides", func(b *bench, name func(string) string) {
		url := b.createFIFO(name("q")+".fifo", "ContentBasedDeduplication", "true")
		for range 2 {
			if _, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a"), MessageGroupId: aws.String("g")}); err != nil {
				b.t.Fatalf("send: %v", err)
			}
		}
		b.expectCounts(url, 1, 0, 0)
	}},
	{"a FIFO queue wants a group", func(b *bench, name func(string) string) {
		url := b.createFIFO(name("q") + ".fifo")
		_, err := b.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a")})
		expectCode(b.t, err, "MissingParameter")
	}},
	{"a queue that is not there has its own error", func(b *bench, name func(string) string) {
		_, err := b.GetQueueUrl(b.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(name("none"))})
		expectError[*types.QueueDoesNotExist](b.t, err)
		url := b.create(name("q"))
		_, err = b.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(url + "-not")})
		expectError[*types.QueueDoesNotExist](b.t, err)
	}},
	{"queues are found, listed, set, purged and deleted", func(b *bench, name func(string) string) {
		url := b.create(name("q"))
		found, err := b.GetQueueUrl(b.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(name("q"))})
		if err != nil || *found.QueueUrl != url {
			b.t.Errorf("found %v, %v", found, err)
		}
		listed, err := b.ListQueues(b.t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String(name("q"))})
		if err != nil || len(listed.QueueUrls) != 1 {
			b.t.Errorf("listed %v, %v", listed, err)
		}
		b.set(url, "VisibilityTimeout", "77")
		out, err := b.GetQueueAttributes(b.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"VisibilityTimeout", "QueueArn"}})
		if err != nil || out.Attributes["VisibilityTimeout"] != "77" || !strings.HasSuffix(out.Attributes["QueueArn"], ":"+name("q")) {
			b.t.Errorf("attributes %v, %v", out, err)
		}
		b.send(url, "a", "b")
		if _, err := b.PurgeQueue(b.t.Context(), &sqs.PurgeQueueInput{QueueUrl: &url}); err != nil {
			b.t.Errorf("purge: %v", err)
		}
		b.expectCounts(url, 0, 0, 0)
		if _, err := b.DeleteQueue(b.t.Context(), &sqs.DeleteQueueInput{QueueUrl: &url}); err != nil {
			b.t.Errorf("delete: %v", err)
		}
	}},
	{"a queue made again with other settings is refused", func(b *bench, name func(string) string) {
		b.create(name("q"), "VisibilityTimeout", "60")
		b.create(name("q"), "VisibilityTimeout", "60")
		_, err := b.CreateQueue(b.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name("q")), Attributes: map[string]string{"VisibilityTimeout": "61"}})
		expectError[*types.QueueNameExists](b.t, err)
	}},
	{"the sources of a dead-letter queue are listed", func(b *bench, name func(string) string) {
		dlq := b.create(name("dlq"))
		url := b.create(name("q"), "RedrivePolicy", redriveTo(name("dlq"), 1))
		out, err := b.ListDeadLetterSourceQueues(b.t.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq})
		if err != nil || len(out.QueueUrls) != 1 || out.QueueUrls[0] != url {
			b.t.Errorf("%v, %v", out, err)
		}
	}},
	{"a move task brings dead letters back", func(b *bench, name func(string) string) {
		dlq := b.create(name("dlq"))
		url := b.create(name("q"), "RedrivePolicy", redriveTo(name("dlq"), 1))
		b.send(url, "poison")
		b.flash(url)
		expectBodies(b.t, b.receive(url))
		b.expectCounts(dlq, 1, 0, 0)
		if _, err := b.StartMessageMoveTask(b.t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String("arn:aws:sqs:us-east-1:000000000000:" + name("dlq"))}); err != nil {
			b.t.Fatalf("move: %v", err)
		}
		b.one(url, waiting(20))
	}},
}

// failed is what a case has to say; it stops at the first fatal word.
type failed struct {
	*testing.T
	said []string
}

type fatal struct{}

func (f *failed) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}
func (f *failed) Fatalf(format string, args ...any) { f.Errorf(format, args...); panic(fatal{}) }

// TestMemqueueAndAnotherServerAgree runs each case in memory, over TCP, and
// against a server by somebody else. Where that one does otherwise, AWS's
// documentation is on our side, and the table says where.
func TestMemqueueAndAnotherServerAgree(t *testing.T) {
	// All at once: most of their time is spent waiting for the server's clock.
	said := make([][][]string, len(places))
	var all sync.WaitGroup
	for p, at := range places {
		said[p] = make([][]string, len(conformance))
		for i, c := range conformance {
			client, settle := at.client(t)
			prefix := fmt.Sprint("c", i, "-", rand.Text()[:8])
			all.Go(func() { said[p][i] = run(t, client, settle, prefix, c.run) })
		}
	}
	all.Wait()
	for p, at := range places {
		met := 0
		for i, c := range conformance {
			deviation, deviates := at.deviations[c.name]
			switch {
			case deviates && len(said[p][i]) == 0:
				t.Errorf("%s: %s: no deviation any more; the table says: %s", at.name, c.name, deviation)
			case !deviates && len(said[p][i]) > 0:
				t.Errorf("%s: %s:\n%s", at.name, c.name, strings.Join(said[p][i], "\n"))
			}
			if deviates {
				met++
			}
		}
		if met != len(at.deviations) {
			t.Errorf("%s: %d deviations of %d belong to a case", at.name, met, len(at.deviations))
		}
	}
}

func run(t *testing.T, client *sqs.Client, settle func(), prefix string, c func(*bench, func(string) string)) (said []string) {
	t.Helper()
	f := &failed{T: t}
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(fatal); !ok {
				panic(p)
			}
		}
		said = f.said
	}()
	c(&bench{Client: client, t: f, settle: settle}, func(name string) string { return prefix + "-" + name })
	return nil
}

func TestOperationsThatAreNotThereSaySo(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	_, err := b.AddPermission(t.Context(), &sqs.AddPermissionInput{
		QueueUrl: &url, Label: aws.String("l"), AWSAccountIds: []string{"1"}, Actions: []string{"SendMessage"},
	})
	expectError[*types.UnsupportedOperation](t, err)
}
