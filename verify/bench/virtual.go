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

// Approximate latencies of AWS from a task in the same Region.
const (
	sqsLatency    = 15 * time.Millisecond
	dynamoLatency = 6 * time.Millisecond
)

// Scene is a run in virtual time: workers drain a backlog.
type Scene struct {
	Backlog     [][]string      // bodies of successive backlogs; the last one is measured
	Workers     int             // default 1
	Concurrency int             // of each worker; default 100
	Handle      time.Duration   // time of each handler
	Batch       dynamo.Batching // of the stores
	Lone        bool            // each message is sent after the previous one is done
	SlowEvery   int             // one of this many write calls to DynamoDB takes 2.5 s; 0: none
	Seed        uint64          // seed of log-normal DynamoDB times, median 6 ms, 99th percentile 60 ms; 0: always 6 ms
}

// Outcome is the result of a run.
type Outcome struct {
	Tally
	Messages int
	Took     time.Duration   // virtual time from the first receive to the last delete
	Latency  []time.Duration // of lone messages, from sending to the handler's end
	Held     []time.Duration // from the start of the claim to the answer of the completion, sorted
	Ran      int             // number of handler runs
}

// PerMessage returns the calls per message.
func (o Outcome) PerMessage() float64 { return float64(o.Total()) / float64(o.Messages) }

// Rate returns the messages per second.
func (o Outcome) Rate() float64 { return float64(o.Messages) / o.Took.Seconds() }

// Percentile returns the time that p of 100 messages are held at most.
func (o Outcome) Percentile(p int) time.Duration {
	return o.Held[min(len(o.Held)-1, len(o.Held)*p/100)]
}

// Simulate runs a scene. The queue is sqstest, and the records are in the DynamoDB server at
// endpoint. The SDK's clients use both, with the latencies of AWS.
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

// virtual is a running scene.
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
	ended   chan struct{}   // guarded by mu; gets a value for each deletion, in lone scenes
	last    time.Time       // guarded by mu: time of the last deletion
	handled []time.Duration // guarded by mu: times since the messages were sent
	held    []time.Duration // guarded by mu: times of handlers, with claim and completion
}

func newVirtual(t *testing.T, s Scene, table string, l *line, calls *counter) *virtual {
	t.Helper()
	server := sqstest.New(sqstest.Config{})
	slow, fast := server.AWSConfig(), server.AWSConfig()
	// Only the workers' calls count and have latencies.
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

// worker creates a worker with the layers of cmd/worker.
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

// drain sends a backlog and waits until the workers have drained it.
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
			time.Sleep(10 * time.Second) // all workers are idle when a lone message arrives
		}
	} else {
		v.await(len(bodies))
	}
	tally := v.calls.take()
	for _, pool := range v.pools {
		pool.Pause()
	}
	time.Sleep(time.Minute) // until the pending polls have ended
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
