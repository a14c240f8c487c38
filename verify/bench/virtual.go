package bench

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/sqstest"
)

// Latencies of AWS as seen from a task in the same Region, about.
const (
	sqsLatency    = 15 * time.Millisecond
	dynamoLatency = 6 * time.Millisecond
)

// Scene is a run in virtual time: a backlog, and workers that drain it.
type Scene struct {
	Backlog     [][]string      // bodies, one backlog after the other; the last one is measured
	Workers     int             // default 1
	Concurrency int             // of each worker; default 100
	Handle      time.Duration   // of each message
	Batch       dynamo.Batching // of the stores
	Lone        bool            // each message of the backlog is sent when the one before it is done
	SlowEvery   int             // of so many write calls to DynamoDB one takes 2.5 s; 0: none
	Seed        uint64          // DynamoDB takes log-normal times: median 6 ms, 99th percentile 60 ms; 0: always 6 ms
}

// Outcome is what a run took.
type Outcome struct {
	Tally
	Messages int
	Took     time.Duration   // virtual, from the first receive to the last delete
	Latency  []time.Duration // of a lone message, from sent to handled
	Held     []time.Duration // from the beginning of the claim to the answer of the completion, sorted
	Ran      int             // handlers
}

// PerMessage is the calls of a message.
func (o Outcome) PerMessage() float64 { return float64(o.Total()) / float64(o.Messages) }

// Rate is the messages of a second.
func (o Outcome) Rate() float64 { return float64(o.Messages) / o.Took.Seconds() }

// Percentile is how long p of 100 messages are held at most.
func (o Outcome) Percentile(p int) time.Duration {
	return o.Held[min(len(o.Held)-1, len(o.Held)*p/100)]
}

// Simulate runs a scene. The queue is sqstest, the records are in the DynamoDB
// server at endpoint; both are reached through the SDK's clients, and answer
// after what AWS takes.
func Simulate(t *testing.T, endpoint string, s Scene) Outcome {
	t.Helper()
	s.Workers, s.Concurrency = cmp.Or(s.Workers, 1), cmp.Or(s.Concurrency, 100)
	table := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	if err := dynamo.CreateTable(t.Context(), dynamodb.NewFromConfig(emulators.Config(endpoint)), table); err != nil {
		t.Fatal(err)
	}
	calls := newCounter()
	connection, err := emulators.Dial(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	l := &line{Line: connection, latency: dynamoLatency, count: calls.count, slowEvery: s.SlowEvery}
	if s.Seed != 0 {
		l.spread = newSpread(s.Seed)
	}
	var out Outcome
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, s, table, l, calls)
		for _, bodies := range s.Backlog {
			out = v.drain(bodies)
		}
		v.end()
	})
	return out
}

// virtual is a scene at work.
type virtual struct {
	t      *testing.T
	scene  Scene
	calls  *counter
	client *sqs.Client // without latency
	url    string
	pools  []*consumer.Consumer
	stop   context.CancelFunc
	done   sync.WaitGroup
	closes []func()

	mu      sync.Mutex
	ran     int             // guarded by mu
	deleted int             // guarded by mu
	ended   chan struct{}   // guarded by mu; gets one for each deletion, in lone scenes
	last    time.Time       // guarded by mu: of the last deletion
	handled []time.Duration // guarded by mu: since the message was sent
	held    []time.Duration // guarded by mu; of handlers, with claim and completion
}

func newVirtual(t *testing.T, s Scene, table string, l *line, calls *counter) *virtual {
	t.Helper()
	server := sqstest.New(sqstest.Config{})
	slow, fast := server.AWSConfig(), server.AWSConfig()
	// Only the workers' calls count and take time.
	slow.HTTPClient = delayed{server, calls.count}
	v := &virtual{t: t, scene: s, calls: calls, client: sqs.NewFromConfig(fast), ended: make(chan struct{}, 1)}
	queue, err := v.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("work")})
	if err != nil {
		t.Fatal(err)
	}
	v.url = *queue.QueueUrl
	cfg := emulators.Config("http://dynamodb")
	cfg.HTTPClient = l
	ctx, stop := context.WithCancel(context.Background())
	v.stop = stop
	for range s.Workers {
		v.pools = append(v.pools, v.worker(sqs.NewFromConfig(slow), dynamodb.NewFromConfig(cfg), table))
	}
	for _, pool := range v.pools {
		pool.Pause()
		v.done.Go(func() {
			if err := pool.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	synctest.Wait()
	return v
}

// worker is the way of a message as cmd/worker has it.
func (v *virtual) worker(queue *sqs.Client, client *dynamodb.Client, table string) *consumer.Consumer {
	quiet := slog.New(slog.DiscardHandler)
	store, err := dynamo.New(client, dynamo.Config{Table: table, Batch: v.scene.Batch, Logger: quiet})
	v.must(err)
	v.closes = append(v.closes, store.Close)
	work := func(_ context.Context, m consumer.Message) (dedupe.Payload, error) {
		time.Sleep(v.scene.Handle)
		v.mu.Lock()
		v.ran++
		v.mu.Unlock()
		return dedupe.Payload{Data: []byte(`{"name":"x"}`)}, nil
	}
	worker, err := sqsonce.New(aws.Config{}, sqsonce.Config{
		QueueURL: v.url, Queue: queue, Store: store,
		Guard: dedupe.Config{Now: store.Now, Logger: quiet},
		Pool: consumer.Config{
			Concurrency: v.scene.Concurrency, Logger: quiet,
			Hooks: consumer.Hooks{
				Handled: func(m consumer.Message, _ consumer.Disposition, took time.Duration) {
					v.mu.Lock()
					defer v.mu.Unlock()
					v.held = append(v.held, took)
					v.handled = append(v.handled, time.Since(m.SentAt))
				},
				Answered: v.answered,
			},
		},
	}, work)
	v.must(err)
	return worker.Pool
}

func (v *virtual) answered(operation string, entries, bad int, _ time.Duration) {
	if operation != "DeleteMessageBatch" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.deleted += entries - bad
	v.last = time.Now()
	select {
	case v.ended <- struct{}{}:
	default:
	}
}

// drain sends a backlog, lets the workers have it, and waits until it is gone.
func (v *virtual) drain(bodies []string) Outcome {
	v.mu.Lock()
	v.ran, v.deleted, v.handled, v.held = 0, 0, nil, nil
	v.mu.Unlock()
	if !v.scene.Lone {
		v.send(bodies)
	}
	v.calls.take()
	start := time.Now()
	for _, pool := range v.pools {
		pool.Resume()
	}
	if v.scene.Lone {
		for i := range bodies {
			v.send(bodies[i : i+1])
			v.await(i + 1)
			time.Sleep(10 * time.Second) // a lone message finds nobody at work
		}
	} else {
		v.await(len(bodies))
	}
	tally := v.calls.take()
	for _, pool := range v.pools {
		pool.Pause()
	}
	time.Sleep(time.Minute) // polls that are out
	v.mu.Lock()
	defer v.mu.Unlock()
	return Outcome{
		Tally: tally, Messages: len(bodies), Took: v.last.Sub(start), Ran: v.ran,
		Latency: slices.Clone(v.handled), Held: slices.Sorted(slices.Values(v.held)),
	}
}

// await waits until n messages of the backlog are deleted.
func (v *virtual) await(n int) {
	for {
		v.mu.Lock()
		gone := v.deleted
		v.mu.Unlock()
		if gone >= n {
			return
		}
		<-v.ended
	}
}

func (v *virtual) send(bodies []string) {
	for batch := range slices.Chunk(bodies, 10) {
		entries := make([]types.SendMessageBatchRequestEntry, len(batch))
		for i, body := range batch {
			entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: &body}
		}
		_, err := v.client.SendMessageBatch(v.t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &v.url, Entries: entries})
		v.must(err)
	}
}

func (v *virtual) end() {
	v.stop()
	v.done.Wait()
	for _, closes := range v.closes {
		closes()
	}
}

func (v *virtual) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}
