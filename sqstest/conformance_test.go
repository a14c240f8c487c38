package sqstest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/wholebody"
	"github.com/sqsonce/sqsonce/sqstest"
)

// fact is a behaviour of SQS.
//
// Most facts were recorded from SQS by LocalStack between April 2024 and December 2025
// (github.com/localstack/localstack, Apache-2.0, tests/aws/services/sqs/test_sqs.py and
// test_sqs_move_task.py with their snapshot files). Such a fact has the name of the recorded case
// and asserts the recorded answers. The source of the others is a page of AWS's documentation.
type fact struct {
	source  string // of LocalStack's suite, without "test_", or a page of the documentation
	asserts string
	run     func(c *trial)
	slow    bool // takes more than a minute of the server's time
}

// facts are the facts by operation. They are defined in conformance_*_test.go.
var facts = []struct {
	operation string
	facts     []fact
}{
	{"CreateQueue", createFacts}, {"queues", queueFacts}, {"tags", tagFacts}, {"SendMessage", sendFacts}, {"SendMessageBatch", batchFacts},
	{"ReceiveMessage", receiveFacts}, {"visibility", visibilityFacts}, {"DeleteMessage", deleteFacts}, {"PurgeQueue", purgeFacts},
	{"FIFO groups", groupFacts}, {"FIFO deduplication", dedupFacts}, {"dead letters", deadFacts}, {"move tasks", moveFacts},
}

// envEndpoint names the environment variable with the endpoint of an SQS to test: a URL, or "aws"
// for that of the Region. Credentials come from the environment. Every fact creates its own queues
// and deletes them.
const envEndpoint = "SQSONCE_TEST_SQS_ENDPOINT"

// place is a server to test.
type place struct {
	name    string
	virtual bool // its clock is that of the test's bubble
	slow    bool // runs slow facts too
	// client returns a client, and settle, which waits until no request is running.
	client     func(t *testing.T) (c *sqs.Client, settle func())
	deviations map[string]string // by source: its behaviour instead; the prefix "sometimes" allows both
}

const (
	api   = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
	guide = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
)

var places = []place{
	{name: "memory", virtual: true, slow: true, deviations: ownDeviations, client: func(*testing.T) (*sqs.Client, func()) {
		return sqs.NewFromConfig(sqstest.New(sqstest.Config{}).AWSConfig()), func() {}
	}},
	{name: "http", virtual: true, deviations: ownDeviations, client: func(t *testing.T) (*sqs.Client, func()) {
		s := sqstest.New(sqstest.Config{})
		cfg := s.AWSConfig()
		cfg.HTTPClient = wholebody.Client{HTTPClient: serve(t, s)} // without it some large answers break off
		return sqs.NewFromConfig(cfg), synctest.Wait
	}},
	{name: "fauxqs", deviations: fauxqsDeviations, client: func(t *testing.T) (*sqs.Client, func()) {
		return emulators.SQSClient(t), func() {}
	}},
}

// ownDeviations are the recorded facts that do not hold for this package, and the reasons.
var ownDeviations = map[string]string{
	"create_queue_recently_deleted":                            "the name of a deleted queue is free at once, so that tests need not wait a minute",
	"list_queues_multi_region_with_endpoint_strategy_standard": "a server has one Region",
	"list_queues_multi_region_with_endpoint_strategy_domain":   "a server has one Region",
	"get_queue_url_multi_region[standard]":                     "a server has one Region",
	"get_queue_url_multi_region[domain]":                       "a server has one Region",
	"get_queue_url_multi_region[path]":                         "a server has one Region",
	"sqs_permission_lifecycle":                                 "there are no permissions",
	"inflight_message_requeue":                                 "a message that is visible again comes after those that were visible before; a standard queue promises no order",
}

// TestServersDoAsSQS checks every fact at every place. A place may differ only where its table of
// deviations says so.
func TestServersDoAsSQS(t *testing.T) {
	all := places
	if os.Getenv(envEndpoint) != "" {
		all = append(slices.Clone(all), realSQS(t))
	}
	for _, at := range all {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting for the server's clock
			said := hold(t, at)
			met, recorded, agreed := 0, 0, 0
			for _, group := range facts {
				for _, f := range group.facts {
					said, held := said[f.source]
					if !held {
						continue
					}
					deviation, deviates := at.deviations[f.source]
					switch {
					case strings.HasPrefix(deviation, "sometimes"):
					case deviates && len(said) == 0:
						t.Errorf("%s: %s: %s: no deviation any more; the table says: %s", group.operation, f.source, f.asserts, deviation)
					case !deviates && len(said) > 0:
						t.Errorf("%s: %s: %s:\n%s", group.operation, f.source, f.asserts, strings.Join(said, "\n"))
					}
					if deviates {
						met++
					}
					if !strings.HasPrefix(f.source, "https://") {
						recorded++
						if len(said) == 0 {
							agreed++
						}
					}
				}
			}
			if met != len(at.deviations) && at.slow {
				t.Errorf("%d deviations of %d belong to a fact", met, len(at.deviations))
			}
			t.Logf("agrees with SQS in %d of %d recorded cases", agreed, recorded)
		})
	}
}

// hold runs the facts at a place, without the slow ones unless at.slow, and returns the failures of
// each by its source. A place that makes no client fails the test at once.
func hold(t *testing.T, at place) map[string][]string {
	said, sources := map[string][]string{}, map[string]bool{}
	var mu sync.Mutex
	var all sync.WaitGroup
	number := 0
	for _, group := range facts {
		for _, f := range group.facts {
			if f.slow && !at.slow {
				continue
			}
			if sources[f.source] {
				t.Errorf("two facts have the source %s", f.source)
			}
			sources[f.source] = true
			number++
			prefix := fmt.Sprint("c", number, "-", rand.Text()[:8], "-")
			if at.virtual {
				synctest.Test(t, func(t *testing.T) {
					client, settle := at.client(t)
					said[f.source] = at.try(&bench{Client: client, t: t, settle: settle}, prefix, f.run)
				})
				continue
			}
			client, settle := at.client(t)
			all.Go(func() {
				got := at.try(&bench{Client: client, t: t, settle: settle}, prefix, f.run)
				mu.Lock()
				defer mu.Unlock()
				said[f.source] = got
			})
		}
	}
	all.Wait()
	return said
}

func (at place) try(b *bench, prefix string, run func(*trial)) (said []string) {
	f := &failed{reporter: b.t}
	b.t = f
	c := &trial{bench: b, prefix: prefix, late: at.name == "real"}
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(fatal); !ok {
				panic(p)
			}
		}
		said = f.said
		if at.name == "real" {
			c.deleteQueues()
		}
	}()
	run(c)
	return nil
}

// realSQS returns the place that envEndpoint names.
func realSQS(t *testing.T) place {
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return place{name: "real", slow: true, client: func(*testing.T) (*sqs.Client, func()) {
		return sqs.NewFromConfig(cfg, func(o *sqs.Options) {
			if endpoint := os.Getenv(envEndpoint); endpoint != "aws" {
				o.BaseEndpoint = &endpoint
			}
		}), func() {}
	}}
}

// failed collects the failures of a fact. A fatal failure ends the fact.
type failed struct {
	reporter
	said []string
}

type fatal struct{}

func (f *failed) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}
func (f *failed) Fatalf(format string, args ...any) { f.Errorf(format, args...); panic(fatal{}) }

// trial is one fact at one place.
type trial struct {
	*bench
	prefix string
	made   []string // URLs of its queues
	late   bool     // counts of messages may be up to a minute old, as on SQS
}

// expectCounts compares the numbers of visible, invisible and delayed messages.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
func (c *trial) expectCounts(url string, visible, inFlight, delayed int) {
	c.t.Helper()
	want := [3]int{visible, inFlight, delayed}
	for range 60 {
		if !c.late || c.counts(url) == want {
			break
		}
		c.pass(1)
	}
	c.bench.expectCounts(url, visible, inFlight, delayed)
}

// named returns a queue name that is unique to the trial.
func (c *trial) named(name string) string { return c.prefix + name }

// queue creates a standard queue. attributes alternate between names and values.
func (c *trial) queue(attributes ...string) string {
	c.t.Helper()
	return c.made1(c.create(c.named(fmt.Sprint("q", len(c.made))), attributes...))
}

// fifo creates a FIFO queue.
func (c *trial) fifo(attributes ...string) string {
	c.t.Helper()
	return c.made1(c.createFIFO(c.named(fmt.Sprint("q", len(c.made)))+".fifo", attributes...))
}

func (c *trial) made1(url string) string {
	c.made = append(c.made, url)
	return url
}

func (c *trial) deleteQueues() {
	for _, url := range c.made {
		_, _ = c.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: &url}) // it may be gone
	}
}

// pass waits for the given seconds of the server's time, until a message with that delay arrives.
func (c *trial) pass(seconds int32) {
	c.t.Helper()
	clock := c.queue()
	if _, err := c.SendMessage(c.t.Context(), &sqs.SendMessageInput{QueueUrl: &clock, MessageBody: aws.String("x"), DelaySeconds: seconds}); err != nil {
		c.t.Fatalf("SendMessage: %v", err)
	}
	for len(c.receive(clock, waiting(20))) == 0 {
	}
}

// attributes returns attributes of a queue.
func (c *trial) attributes(url string, names ...types.QueueAttributeName) map[string]string {
	c.t.Helper()
	out, err := c.GetQueueAttributes(c.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		c.t.Fatalf("GetQueueAttributes: %v", err)
	}
	return out.Attributes
}

func (c *trial) arn(url string) string {
	c.t.Helper()
	return c.attributes(url, "QueueArn")["QueueArn"]
}

// pipe creates a dead-letter queue, and a queue that uses it with maxReceiveCount 1.
func (c *trial) pipe() (url, dlq string) {
	c.t.Helper()
	dlq = c.queue()
	return c.queue("RedrivePolicy", c.policy(dlq)), dlq
}

func (c *trial) policy(dlq string) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":1}`, c.arn(dlq))
}

// sendWith sends the message in the input.
func (c *trial) sendWith(url string, in sqs.SendMessageInput, options ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	in.QueueUrl = &url
	if in.MessageBody == nil {
		in.MessageBody = aws.String("x")
	}
	return c.SendMessage(c.t.Context(), &in, options...)
}

// sent sends a message and fails the test if SQS refuses it.
func (c *trial) sent(url string, in sqs.SendMessageInput, options ...func(*sqs.Options)) *sqs.SendMessageOutput {
	c.t.Helper()
	out, err := c.sendWith(url, in, options...)
	if err != nil {
		c.t.Fatalf("SendMessage: %v", err)
	}
	return out
}

// grouped sends bodies to a group of a queue that deduplicates by content.
func (c *trial) grouped(url, group string, bodies ...string) {
	c.t.Helper()
	for _, body := range bodies {
		c.sent(url, sqs.SendMessageInput{MessageBody: &body, MessageGroupId: &group})
	}
}

// seen receives with the visibility timeout 0. The client's input cannot express it, because the
// client omits members that are 0.
func (c *trial) seen(url string, options ...func(*sqs.ReceiveMessageInput)) []types.Message {
	c.t.Helper()
	in := &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	}
	for _, o := range options {
		o(in)
	}
	out, err := c.ReceiveMessage(c.t.Context(), in, withMember("VisibilityTimeout", 0))
	if err != nil {
		c.t.Fatalf("ReceiveMessage: %v", err)
	}
	return out.Messages
}

// collect receives n messages and returns their bodies in order.
func (c *trial) collect(url string, n int) []string {
	c.t.Helper()
	var got []string
	for range 20 {
		got = append(got, bodies(c.receive(url, waiting(5)))...)
		if len(got) >= n {
			break
		}
	}
	slices.Sort(got)
	return got
}

// refused checks the code and the status of an error, and its text unless the wanted one is "".
func (c *trial) refused(err error, code string, status int, text string) {
	c.t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	response, _ := errors.AsType[*smithyhttp.ResponseError](err)
	switch {
	case !ok || response == nil:
		c.t.Errorf("error %v, want %s", err, code)
	case e.ErrorCode() != code || response.HTTPStatusCode() != status:
		c.t.Errorf("error %s with status %d, want %s and %d", e.ErrorCode(), response.HTTPStatusCode(), code, status)
	case text != "" && e.ErrorMessage() != text:
		c.t.Errorf("%s says %q, want %q", code, e.ErrorMessage(), text)
	}
}

// equal compares the JSON of two values, so that pointers are compared by their values.
func (c *trial) equal(what string, got, want any) {
	c.t.Helper()
	x, errX := json.Marshal(got)
	y, errY := json.Marshal(want)
	if errX != nil || errY != nil || !bytes.Equal(x, y) {
		c.t.Errorf("%s: %s, want %s", what, x, y)
	}
}

// subset checks that the map has these entries.
func (c *trial) subset(got, want map[string]string) {
	c.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		c.equal(name, got[name], want[name])
	}
}

// withMember adds a member to the JSON of a request.
func withMember(name string, value any) func(*sqs.Options) {
	return sqs.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Serialize.Add(middleware.SerializeMiddlewareFunc("member "+name, func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (out middleware.SerializeOutput, m middleware.Metadata, err error) {
			req, ok := in.Request.(*smithyhttp.Request)
			if !ok {
				return out, m, fmt.Errorf("a request of type %T", in.Request)
			}
			body, err := io.ReadAll(req.GetStream())
			if err != nil {
				return out, m, err
			}
			members := map[string]any{}
			if err := json.Unmarshal(body, &members); err != nil {
				return out, m, err
			}
			members[name] = value
			if body, err = json.Marshal(members); err != nil {
				return out, m, err
			}
			if in.Request, err = req.SetStream(bytes.NewReader(body)); err != nil {
				return out, m, err
			}
			return next.HandleSerialize(ctx, in)
		}), middleware.After)
	})
}

// withHeader adds a header to a request.
func withHeader(name, value string) func(*sqs.Options) {
	return sqs.WithAPIOptions(smithyhttp.AddHeaderValue(name, value))
}

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

func TestConformance(t *testing.T) {
	t.Run("operations that are not there say so", testOperationsThatAreNotThereSaySo)
}

func testOperationsThatAreNotThereSaySo(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	_, err := b.AddPermission(t.Context(), &sqs.AddPermissionInput{
		QueueUrl: &url, Label: aws.String("l"), AWSAccountIds: []string{"1"}, Actions: []string{"SendMessage"},
	})
	expectError[*types.UnsupportedOperation](t, err)
}

// took returns the duration of f.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
