package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
)

// unheard is SQS for a worker whose heartbeats of one message fail while those of the others
// succeed.
type unheard struct {
	*sqs.Client

	mu      sync.Mutex
	body    string            // guarded by mu; the message; "" ends the failures
	handles map[string]string // guarded by mu; bodies by receipt handle
}

func (q *unheard) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := q.Client.ReceiveMessage(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range out.Messages {
		q.handles[*m.ReceiptHandle] = *m.Body
	}
	return out, nil
}

func (q *unheard) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, opts ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	q.mu.Lock()
	rest, lost := *in, []types.BatchResultErrorEntry(nil)
	rest.Entries = slices.DeleteFunc(slices.Clone(in.Entries), func(e types.ChangeMessageVisibilityBatchRequestEntry) bool {
		if q.handles[*e.ReceiptHandle] != q.body {
			return false
		}
		lost = append(lost, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
		return true
	})
	q.mu.Unlock()
	if len(rest.Entries) == 0 {
		return &sqs.ChangeMessageVisibilityBatchOutput{Failed: lost}, nil
	}
	out, err := q.Client.ChangeMessageVisibilityBatch(ctx, &rest, opts...)
	if err != nil {
		return nil, err
	}
	out.Failed = append(out.Failed, lost...)
	return out, nil
}

// recover ends the failures.
func (q *unheard) recover() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.body = ""
}

// run starts a consumer on this queue. It returns the consumer and a func that stops it.
func (q *unheard) run(p *pool, handler consumer.Handler) (c *consumer.Consumer, stop func()) {
	p.t.Helper()
	c, err := consumer.New(q, handler, p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	return c, func() {
		p.t.Helper()
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("Run: %v", err)
		}
	}
}

func newUnheard(p *pool, body string) *unheard {
	return &unheard{Client: p.client, body: body, handles: map[string]string{}}
}

// loseTo pauses c until another worker has received the messages that c cannot keep. That worker
// holds them for long.
func (p *pool) loseTo(c *consumer.Consumer) []types.Message {
	p.t.Helper()
	c.Pause() // otherwise it might receive the message itself
	defer c.Resume()
	for {
		out, err := p.client.ReceiveMessage(p.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &p.queueURL, MaxNumberOfMessages: 10, VisibilityTimeout: 3600, WaitTimeSeconds: 20,
		})
		if err != nil {
			p.t.Fatal(err)
		}
		if len(out.Messages) > 0 {
			return out.Messages
		}
	}
}

// log is the list of what handlers did, in order.
type log struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (l *log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, " ")
}

// A FIFO queue delivers a head after its visibility timeout although its followers are in flight,
// because messages in flight only block later ones. The worker that had the head may finish it.
// Otherwise the head belongs to another worker, and no follower may start here before that worker
// has settled the head.
func TestFIFOHeadLostAlone(t *testing.T) {
	for _, tc := range []struct {
		name    string
		cancels bool  // Config.CancelOnLostReceipt
		err     error // of the head's handler, after the head was received elsewhere
		before  string
	}{
		{"done after all", false, nil, "a a:done"},
		{"failed", false, errBoom, "a a:failed"},
		{"failed for good", false, failure{permanent: true}, "a a:failed"},
		{"cancelled", true, errBoom, "a a:cancelled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 3, true, func(t *testing.T, p *pool) {
				p.cfg.Visibility, p.cfg.CancelOnLostReceipt, p.cfg.Backoff = 30*time.Second, tc.cancels, time.Second
				p.sendGroup("g", "a", "b", "c")
				q, got := newUnheard(p, "a"), &log{}
				lost := make(chan struct{})
				c, stop := q.run(p, func(ctx context.Context, m consumer.Message) error {
					got.add(m.Body)
					if m.Body != "a" {
						return nil
					}
					select {
					case <-lost:
					case <-ctx.Done():
						if errors.Is(context.Cause(ctx), consumer.ErrReceiptLost) {
							got.add("a:cancelled")
						}
						return ctx.Err()
					}
					got.add(map[bool]string{true: "a:done", false: "a:failed"}[tc.err == nil])
					return tc.err
				})
				time.Sleep(time.Second)
				other := p.loseTo(c)
				if len(other) != 1 || *other[0].Body != "a" {
					t.Fatalf("another worker got %v, want the head alone", other)
				}
				q.recover()
				if !tc.cancels {
					close(lost)
				}
				time.Sleep(10 * time.Minute)
				if got.String() != tc.before {
					t.Errorf("while the head is elsewhere: %s, want %s", got, tc.before)
				}
				if _, err := p.client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &p.queueURL, ReceiptHandle: other[0].ReceiptHandle}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				stop()
				if want := strings.TrimSuffix(tc.before, " b c") + " b c"; got.String() != want {
					t.Errorf("in the end: %s, want %s", got, want)
				}
				p.wantDepths(p.queueURL, 0, 0)
				if dead := p.dead(); len(dead) > 0 {
					t.Errorf("dead-lettered though done elsewhere: %v", dead)
				}
			})
		})
	}
}

func TestHeartbeat(t *testing.T) {
	t.Run("stale holder of a standard queue", testStaleHolderOfAStandardQueue)
}

// A standard queue accepts the receipt handle of an earlier delivery. A call with an expired handle
// affects the delivery that another worker has.
func testStaleHolderOfAStandardQueue(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error // of the handler with the expired handle
		hidden int   // messages in flight while the other worker handles it
	}{
		{"a release does not show the message", errBoom, 1},
		{"a deferral does not show the message", failure{deferred: true, after: time.Minute}, 1},
		{"a delete removes the message", nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 10, false, func(t *testing.T, p *pool) {
				p.cfg.Visibility, p.cfg.Backoff, p.cfg.MaxBackoff = 30*time.Second, time.Second, time.Second
				p.send("a")
				stale, got := newUnheard(p, "a"), &log{}
				lost := make(chan struct{})
				a, stopA := stale.run(p, func(context.Context, consumer.Message) error {
					got.add("stale")
					<-lost
					stale.recover()
					return tc.err
				})
				time.Sleep(time.Second)
				a.Pause() // otherwise it might receive the message itself
				_, stopB := newUnheard(p, "").run(p, func(context.Context, consumer.Message) error {
					got.add("current")
					close(lost)
					time.Sleep(20 * time.Minute)
					return nil
				})
				time.Sleep(40 * time.Second)
				a.Resume()
				time.Sleep(10 * time.Minute)
				p.wantDepths(p.queueURL, 0, tc.hidden)
				time.Sleep(20 * time.Minute)
				p.wantDepths(p.queueURL, 0, 0)
				stopA()
				stopB()
				if got.String() != "stale current" {
					t.Errorf("handled by %s, want stale current", got)
				}
			})
		})
	}
}
