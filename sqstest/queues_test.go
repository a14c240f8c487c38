package sqstest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/sqstest"
)

func TestQueues(t *testing.T) {
	t.Run("create queue is idempotent with the same attributes only", testCreateQueueIsIdempotentWithTheSameAttributesOnly)
	t.Run("redrive policy may be written in several ways", testRedrivePolicyMayBeWrittenInSeveralWays)
	t.Run("create queue refuses bad names and attributes", testCreateQueueRefusesBadNamesAndAttributes)
	t.Run("unknown queue is a typed error", testUnknownQueueIsATypedError)
	t.Run("queue is found by the last part of its URL", testQueueIsFoundByTheLastPartOfItsURL)
	t.Run("queue attributes come back as asked for", testQueueAttributesComeBackAsAskedFor)
	t.Run("list queues pages by prefix", testListQueuesPagesByPrefix)
	t.Run("deleted queue ends its long polls", testDeletedQueueEndsItsLongPolls)
	t.Run("purge drops everything and is refused for a minute", testPurgeDropsEverythingAndIsRefusedForAMinute)
	t.Run("settings take effect at once", testSettingsTakeEffectAtOnce)
	t.Run("config gives the parts of URLs and ARNs", testConfigGivesThePartsOfURLsAndARNs)
	t.Run("boolean attributes may be capitalised", testBooleanAttributesMayBeCapitalised)
}

func testCreateQueueIsIdempotentWithTheSameAttributesOnly(t *testing.T) {
	b := newBench(t)
	url := b.create("q", "VisibilityTimeout", "45")
	if want := "http://127.0.0.1:4566/000000000000/q"; url != want {
		t.Errorf("queue URL %s, want %s", url, want)
	}
	if again := b.create("q", "VisibilityTimeout", "45"); again != url {
		t.Errorf("created again as %s, want %s", again, url)
	}
	_, err := b.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"VisibilityTimeout": "46"}})
	expectError[*types.QueueNameExists](t, err)
}

func testRedrivePolicyMayBeWrittenInSeveralWays(t *testing.T) {
	b := newBench(t)
	dlq := b.create("dlq")
	policy := redriveTo("dlq", 3)
	url := b.create("q", "RedrivePolicy", policy)
	b.create("q", "RedrivePolicy", strings.ReplaceAll(strings.ReplaceAll(policy, `"3"`, `3`), ",", ", "))
	_, err := b.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"RedrivePolicy": redriveTo("dlq", 4)}})
	expectError[*types.QueueNameExists](t, err)

	// Without its dead-letter queue the source still delivers.
	if _, err := b.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &dlq}); err != nil {
		t.Fatal(err)
	}
	b.set(url, "VisibilityTimeout", "0")
	b.send(url, "a")
	for range 5 {
		b.one(url)
	}
}

func testCreateQueueRefusesBadNamesAndAttributes(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name       string
		attributes map[string]string
		code       string
	}{
		{"with space", nil, "InvalidParameterValue"},
		{strings.Repeat("x", 81), nil, "InvalidParameterValue"},
		{"q.fifo", nil, "InvalidParameterValue"},
		{"q", map[string]string{"FifoQueue": "true"}, "InvalidParameterValue"},
		{"", nil, "InvalidParameterValue"},
		{"q", map[string]string{"ContentBasedDeduplication": "true"}, "InvalidAttributeName"},
		{"q", map[string]string{"Colour": "red"}, "InvalidAttributeName"},
		{"q", map[string]string{"VisibilityTimeout": "43201"}, "InvalidAttributeValue"},
		{"q", map[string]string{"DelaySeconds": "901"}, "InvalidAttributeValue"},
		{"q", map[string]string{"MaximumMessageSize": "1048577"}, "InvalidAttributeValue"},
		{"q", map[string]string{"RedrivePolicy": `{"maxReceiveCount":3}`}, "InvalidAttributeValue"},
		{"q", map[string]string{"RedrivePolicy": redriveTo("nowhere", 3)}, "InvalidParameterValue"},
	} {
		_, err := b.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &c.name, Attributes: c.attributes})
		expectCode(t, err, c.code)
	}
}

func testUnknownQueueIsATypedError(t *testing.T) {
	b := newBench(t)
	_, err := b.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
	expectError[*types.QueueDoesNotExist](t, err)
	expectCode(t, err, "AWS.SimpleQueueService.NonExistentQueue")
	_, err = b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("http://127.0.0.1:4566/000000000000/none")})
	expectError[*types.QueueDoesNotExist](t, err)
}

func testQueueIsFoundByTheLastPartOfItsURL(t *testing.T) {
	b := newBench(t)
	before := b.create("q")
	b.server.SetBaseURL("http://127.0.0.1:9999/")
	out, err := b.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	if want := "http://127.0.0.1:9999/000000000000/q"; *out.QueueUrl != want {
		t.Errorf("queue URL %s, want %s", *out.QueueUrl, want)
	}
	b.send(before, "a")
	expectBodies(t, b.receive(*out.QueueUrl), "a")
}

func testQueueAttributesComeBackAsAskedFor(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	get := func(names ...types.QueueAttributeName) map[string]string {
		t.Helper()
		out, err := b.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
		if err != nil {
			t.Fatal(err)
		}
		return out.Attributes
	}
	if got := get(); len(got) != 0 {
		t.Errorf("without names got %v, want none", got)
	}
	want := map[string]string{"VisibilityTimeout": "30", "MessageRetentionPeriod": "345600", "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q"}
	if got := get("VisibilityTimeout", "MessageRetentionPeriod", "QueueArn", "RedrivePolicy"); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	_, err := b.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"Colour"}})
	expectError[*types.InvalidAttributeName](t, err)
}

func testListQueuesPagesByPrefix(t *testing.T) {
	b := newBench(t)
	for i := range 5 {
		b.create(fmt.Sprintf("a%d", i))
	}
	b.create("b")
	var got []string
	p := sqs.NewListQueuesPaginator(b, &sqs.ListQueuesInput{QueueNamePrefix: aws.String("a"), MaxResults: aws.Int32(2)})
	for p.HasMorePages() {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(out.QueueUrls) > 2 {
			t.Errorf("page of %d, want at most 2", len(out.QueueUrls))
		}
		for _, u := range out.QueueUrls {
			got = append(got, u[strings.LastIndex(u, "/")+1:])
		}
	}
	if want := []string{"a0", "a1", "a2", "a3", "a4"}; !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

func testDeletedQueueEndsItsLongPolls(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		start := time.Now()
		errs := make(chan error)
		for range 3 {
			go func() {
				_, err := b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
				errs <- err
			}()
		}
		time.Sleep(time.Second)
		if _, err := b.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &url}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			expectError[*types.QueueDoesNotExist](t, <-errs)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("polls ended after %v, want 1s", d)
		}
	})
}

func testPurgeDropsEverythingAndIsRefusedForAMinute(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		b.send(url, "a", "b")
		b.receive(url, most(1))
		purge := func() error {
			_, err := b.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &url})
			return err
		}
		if err := purge(); err != nil {
			t.Fatal(err)
		}
		b.expectCounts(url, 0, 0, 0)
		expectError[*types.PurgeQueueInProgress](t, purge())
		time.Sleep(time.Minute)
		if err := purge(); err != nil {
			t.Errorf("purge after a minute: %v", err)
		}
	})
}

func testSettingsTakeEffectAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		b.send(url, "a")
		b.set(url, "VisibilityTimeout", "5")
		b.one(url)
		time.Sleep(5 * time.Second)
		b.one(url)
		b.set(url, "MessageRetentionPeriod", "60")
		b.expectCounts(url, 0, 1, 0)
		time.Sleep(55 * time.Second)
		b.expectCounts(url, 0, 0, 0)
	})
}

func TestTagsAreKept(t *testing.T) {
	b := newBench(t)
	out, err := b.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"), Tags: map[string]string{"a": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	url := out.QueueUrl
	if _, err := b.TagQueue(t.Context(), &sqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{"b": "2"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.UntagQueue(t.Context(), &sqs.UntagQueueInput{QueueUrl: url, TagKeys: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := b.ListQueueTags(t.Context(), &sqs.ListQueueTagsInput{QueueUrl: url})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"b": "2"}; !maps.Equal(tags.Tags, want) {
		t.Errorf("tags %v, want %v", tags.Tags, want)
	}
}

func TestUnknownOperationIsUnsupported(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	_, err := b.AddPermission(t.Context(), &sqs.AddPermissionInput{QueueUrl: &url, Label: aws.String("l"), AWSAccountIds: []string{"1"}, Actions: []string{"*"}})
	expectError[*types.UnsupportedOperation](t, err)
}

func testConfigGivesThePartsOfURLsAndARNs(t *testing.T) {
	s := sqstest.New(sqstest.Config{Region: "eu-west-1", AccountID: "123456789012", BaseURL: "http://queue.test"})
	b := &bench{Client: sqs.NewFromConfig(s.AWSConfig()), t: t, server: s}
	url := b.create("q")
	if want := "http://queue.test/123456789012/q"; url != want {
		t.Errorf("queue URL %s, want %s", url, want)
	}
	out, err := b.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := out.Attributes["QueueArn"], "arn:aws:sqs:eu-west-1:123456789012:q"; got != want {
		t.Errorf("ARN %s, want %s", got, want)
	}
}

// Recorded: test_fifo_approximate_number_of_messages_not_visible creates its
// queue with Python's str(True).
func testBooleanAttributesMayBeCapitalised(t *testing.T) {
	b := newBench(t)
	url := b.create("q.fifo", "FifoQueue", "True", "ContentBasedDeduplication", "TRUE", "SqsManagedSseEnabled", "False")
	b.create("q.fifo", "FifoQueue", "tRue", "ContentBasedDeduplication", "true")
	b.set(url, "FifoQueue", "True")
	out, err := b.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true", "SqsManagedSseEnabled": "false"} {
		if out.Attributes[name] != want {
			t.Errorf("%s is %q, want %q", name, out.Attributes[name], want)
		}
	}
	for _, value := range []string{"yes", "1", ""} {
		_, err := b.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("other.fifo"),
			Attributes: map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": value}})
		expectCode(t, err, "InvalidAttributeValue")
	}
}
