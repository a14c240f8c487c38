package integration_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

var errDown = errors.New("down")

// world is a queue, its dead-letter queue and a store, with workers on them.
type world struct {
	t        *testing.T
	server   *sqstest.Server
	client   *sqs.Client
	queueURL string
	dlqURL   string
	store    *memstore.Store
	down     atomic.Bool // the store

	mu   sync.Mutex
	runs []run // guarded by mu; handler calls, in order
}

// run is one handler call.
type run struct {
	worker, name string
	attempt      int
	at           time.Time
}

// bubble runs a test in virtual time, with a queue of the given maxReceiveCount.
func bubble(t *testing.T, maxReceives int, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, server: sqstest.New(sqstest.Config{}), store: memstore.New()}
		cfg := w.server.AWSConfig()
		cfg.Credentials = aws.AnonymousCredentials{}
		w.client = sqs.NewFromConfig(cfg)
		w.dlqURL = w.create("dlq", "")
		w.queueURL = w.create("work", fmt.Sprintf(
			`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dlq","maxReceiveCount":%d}`, maxReceives))
		test(t, w)
	})
}

func (w *world) create(name, redrive string) string {
	w.t.Helper()
	in := &sqs.CreateQueueInput{QueueName: &name}
	if redrive != "" {
		in.Attributes = map[string]string{"RedrivePolicy": redrive}
	}
	out, err := w.client.CreateQueue(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.QueueUrl
}

// worker is a process that can be stopped or killed.
type worker struct {
	w      *world
	name   string
	dead   atomic.Bool
	life   context.Context // of its connections
	die    context.CancelFunc
	pool   *consumer.Consumer
	config consumer.Config
	guard  dedupe.Config
	work   func(ctx context.Context, m consumer.Message) (string, error)
	stop   context.CancelFunc
	done   chan error
}

// worker returns a worker that has not started.
func (w *world) worker(name string) *worker {
	quiet := slog.New(slog.DiscardHandler)
	life, die := context.WithCancel(w.t.Context())
	return &worker{
		w: w, name: name, done: make(chan error, 1), life: life, die: die,
		config: consumer.Config{QueueURL: w.queueURL, Logger: quiet},
		guard:  dedupe.Config{Scope: "work", Logger: quiet},
		work:   func(context.Context, consumer.Message) (string, error) { return "done", nil },
	}
}

// Do sends a request unless the process is dead.
func (p *worker) Do(r *http.Request) (*http.Response, error) {
	if p.dead.Load() {
		return nil, errDown
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	return p.w.server.Do(r.WithContext(ctx))
}

// Swap writes unless the process or the store is dead.
func (p *worker) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	if p.dead.Load() || p.w.down.Load() {
		return fmt.Errorf("%w: %w", dedupe.ErrUnavailable, errDown)
	}
	return p.w.store.Swap(ctx, old, next)
}

// nameOf returns the name in the message's attribute.
func nameOf(m consumer.Message) string {
	name, _ := m.Attribute(consumer.AttrName)
	return name
}

func (p *worker) start() {
	p.w.t.Helper()
	cfg := p.w.server.AWSConfig()
	cfg.Credentials, cfg.HTTPClient = aws.AnonymousCredentials{}, p
	worker, err := sqsonce.New(aws.Config{}, sqsonce.Config{
		Queue: sqs.NewFromConfig(cfg), Store: p, Names: names.Config{Fingerprint: names.Off}, Guard: p.guard, Pool: p.config,
	}, func(ctx context.Context, m consumer.Message) (string, error) {
		a, _ := dedupe.AttemptFrom(ctx)
		p.w.mu.Lock()
		p.w.runs = append(p.w.runs, run{p.name, nameOf(m), a.Number, time.Now()})
		p.w.mu.Unlock()
		return p.work(ctx, m)
	})
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.pool = worker.Pool
	ctx, stop := context.WithCancel(p.w.t.Context())
	p.stop = stop
	go func() { p.done <- p.pool.Run(ctx) }()
}

// kill breaks the process's connections, which ends it for all others.
func (p *worker) kill() {
	p.dead.Store(true)
	p.die()
}

func (p *worker) finish() error {
	p.stop()
	return <-p.done
}

func (p *worker) finishClean() {
	p.w.t.Helper()
	if err := p.finish(); err != nil {
		p.w.t.Errorf("worker %s: %v", p.name, err)
	}
}

// send sends a message for each name.
func (w *world) send(names ...string) {
	w.t.Helper()
	for batch := range slices.Chunk(names, 10) {
		entries := make([]types.SendMessageBatchRequestEntry, len(batch))
		for i, name := range batch {
			entries[i] = types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: &name,
				MessageAttributes: map[string]types.MessageAttributeValue{
					consumer.AttrName: {DataType: aws.String("String"), StringValue: &name},
				},
			}
		}
		out, err := w.client.SendMessageBatch(w.t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &w.queueURL, Entries: entries})
		if err != nil || len(out.Failed) > 0 {
			w.t.Fatal(err, out.Failed)
		}
	}
}

func (w *world) depth(url string) int {
	w.t.Helper()
	out, err := w.client.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	visible, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"])
	hidden, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"])
	return visible + hidden
}

// wantDepths checks how many messages are in the queue and its dead-letter queue.
func (w *world) wantDepths(queue, dead int) {
	w.t.Helper()
	if q, d := w.depth(w.queueURL), w.depth(w.dlqURL); q != queue || d != dead {
		w.t.Errorf("%d messages and %d dead letters, want %d and %d", q, d, queue, dead)
	}
}

// reasons returns the reasons of the dead letters.
func (w *world) reasons() (reasons []string) {
	w.t.Helper()
	for {
		out, err := w.client.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &w.dlqURL, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}, VisibilityTimeout: 600,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return reasons
		}
		for _, m := range out.Messages {
			reasons = append(reasons, aws.ToString(m.MessageAttributes[consumer.AttrReason].StringValue))
		}
	}
}

// ran returns the handler calls for a name.
func (w *world) ran(name string) (runs []run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.runs {
		if r.name == name {
			runs = append(runs, r)
		}
	}
	return runs
}

func (w *world) record(name string) protocol.Record {
	w.t.Helper()
	r, err := w.store.Get(w.t.Context(), protocol.RecordID("work", name))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func numbered(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return all
}

// sleepOr sleeps for d or until ctx is cancelled.
func sleepOr(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
