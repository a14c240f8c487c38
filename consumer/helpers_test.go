package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/pinned"
	"github.com/sqsonce/sqsonce/sqstest"
)

// pool is a queue with a dead-letter queue and a consumer of it, in memory and
// in virtual time.
type pool struct {
	t        *testing.T
	server   *sqstest.Server
	client   *sqs.Client
	queueURL string
	dlqURL   string
	cfg      consumer.Config
	sources  pinned.Sources
	handler  consumer.Handler
	batch    int // messages that are handed to handler side by side; 0: it gets them as they come

	consumer *consumer.Consumer
	stop     context.CancelFunc
	done     chan error

	hooking sync.Mutex // held while a fault hook runs, and by locked

	mu      sync.Mutex
	calls   map[string]int // guarded by mu; by operation
	handled []string       // guarded by mu; bodies, in the order of their starts
}

// bubble runs a test of a pool with the given maxReceiveCount; fifo says which
// kind of queue.
func bubble(t *testing.T, maxReceives int, fifo bool, test func(t *testing.T, p *pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New(sqstest.Config{})
		cfg := server.AWSConfig()
		cfg.Credentials = aws.AnonymousCredentials{} // signing is a third of the cost of a call
		p := &pool{
			t: t, server: server, client: sqs.NewFromConfig(cfg),
			calls: make(map[string]int), done: make(chan error, 1),
		}
		suffix, attributes := "", map[string]string{}
		if fifo {
			suffix, attributes = ".fifo", map[string]string{"FifoQueue": "true"}
		}
		p.dlqURL = p.create("work-dlq"+suffix, attributes)
		attributes["RedrivePolicy"] = fmt.Sprintf(
			`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:work-dlq%s","maxReceiveCount":%d}`, suffix, maxReceives)
		p.queueURL = p.create("work"+suffix, attributes)
		p.cfg = consumer.Config{QueueURL: p.queueURL, Logger: slog.New(slog.DiscardHandler)}
		p.handler = func(context.Context, consumer.Message) error { return nil }
		test(t, p)
	})
}

func (p *pool) isFIFO() bool { return strings.HasSuffix(p.queueURL, ".fifo") }

func (p *pool) create(name string, attributes map[string]string) string {
	p.t.Helper()
	out, err := p.client.CreateQueue(p.t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		p.t.Fatal(err)
	}
	return *out.QueueUrl
}

// faults counts calls and lets each be met with a fault.
func (p *pool) faults(hook func(c sqstest.Call) sqstest.Fault) {
	p.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		p.mu.Lock()
		p.calls[c.Operation]++
		p.mu.Unlock()
		if hook == nil {
			return sqstest.Fault{}
		}
		p.hooking.Lock()
		defer p.hooking.Unlock()
		return hook(c)
	})
}

// locked runs f under the lock of the fault hook's variables.
func (p *pool) locked(f func()) {
	p.hooking.Lock()
	defer p.hooking.Unlock()
	f()
}

// latencies gives every call a duration of its own, so that no two things
// happen at the same instant and a seed says everything. The longer they are,
// the fuller are the batches and the cheaper is the test.
func latencies(seed uint64, most time.Duration) func(sqstest.Call) sqstest.Fault {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	return func(sqstest.Call) sqstest.Fault {
		mu.Lock()
		defer mu.Unlock()
		return sqstest.Fault{
			Delay:      time.Duration(random.Int64N(int64(most / 2))),
			DelayAfter: time.Duration(random.Int64N(int64(most / 2))),
		}
	}
}

func (p *pool) count(operation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[operation]
}

func (p *pool) start() { p.startReported("", consumer.Up) }

// startReported starts a consumer that was told of something before.
func (p *pool) startReported(dependency string, is consumer.Condition) {
	p.t.Helper()
	handler := func(ctx context.Context, m consumer.Message) error {
		p.mu.Lock()
		p.handled = append(p.handled, m.Body)
		p.mu.Unlock()
		return p.handler(ctx, m)
	}
	if p.batch > 0 {
		handler = p.batched(handler)
	}
	var err error
	p.consumer, err = consumer.New(p.client, handler, p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.consumer.Report(dependency, is)
	ctx, stop := context.WithCancel(pinned.With(p.t.Context(), p.sources))
	p.stop = stop
	go func() { p.done <- p.consumer.Run(ctx) }()
}

// finish stops the consumer and waits for its end.
func (p *pool) finish() error {
	p.stop()
	return <-p.done
}

// finishWithin waits until the queue is empty, at most for d, and stops cleanly.
func (p *pool) finishWithin(d time.Duration) {
	p.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(d / 100) {
		if visible, hidden := p.depths(p.queueURL); visible+hidden == 0 {
			break
		}
	}
	p.finishClean()
	p.wantDepths(p.queueURL, 0, 0)
}

// finishClean fails the test when the stop was not clean.
func (p *pool) finishClean() {
	p.t.Helper()
	if err := p.finish(); err != nil {
		p.t.Errorf("Run: %v", err)
	}
}

func (p *pool) bodies() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.handled)
}

func (p *pool) send(bodies ...string) { p.sendGroup("", bodies...) }

// sendGroup sends to a message group, ten to a call.
func (p *pool) sendGroup(group string, bodies ...string) {
	p.t.Helper()
	for batch := range slices.Chunk(bodies, 10) {
		entries := make([]types.SendMessageBatchRequestEntry, len(batch))
		for i, body := range batch {
			entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body}
			if group != "" {
				entries[i].MessageGroupId = &group
			}
			if group != "" && strings.HasSuffix(p.queueURL, ".fifo") {
				entries[i].MessageDeduplicationId = aws.String(fmt.Sprintf("%.100s", group+body))
			}
		}
		out, err := p.client.SendMessageBatch(p.t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &p.queueURL, Entries: entries})
		if err != nil || len(out.Failed) > 0 {
			p.t.Fatal(err, out.Failed)
		}
	}
}

func numbered(n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("m%03d", i)
	}
	return bodies
}

// depths returns the numbers of visible and invisible messages of a queue.
func (p *pool) depths(url string) (visible, hidden int) {
	p.t.Helper()
	out, err := p.client.GetQueueAttributes(p.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	visible, _ = strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"])
	hidden, _ = strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"])
	return visible, hidden
}

func (p *pool) wantDepths(url string, visible, hidden int) {
	p.t.Helper()
	if v, h := p.depths(url); v != visible || h != hidden {
		p.t.Errorf("%s: %d visible and %d in flight, want %d and %d", url[strings.LastIndex(url, "/")+1:], v, h, visible, hidden)
	}
}

// dead returns the messages of the dead-letter queue, by body.
func (p *pool) dead() map[string]types.Message {
	p.t.Helper()
	dead := make(map[string]types.Message)
	for {
		out, err := p.client.ReceiveMessage(p.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &p.dlqURL, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil {
			p.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return dead
		}
		for _, m := range out.Messages {
			dead[*m.Body] = m
		}
	}
}

func attribute(m types.Message, name string) string {
	return aws.ToString(m.MessageAttributes[name].StringValue)
}

var errBoom = errors.New("boom")
