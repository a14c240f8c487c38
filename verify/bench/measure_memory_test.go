//go:build bench

package bench

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/sqstest"
)

var heapFigures = regexp.MustCompile(`(?m)^go_(memstats_(heap_inuse|heap_idle|heap_released|heap_alloc|stack_inuse|next_gc)_bytes|goroutines|threads) \S+`)

// A worker handles a million messages of 1 KiB from a queue server in this process. Its peak of
// resident memory must stay within 10 % of the peak after 50,000 messages.
func TestMemory(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
	defer cancel()
	queue := sqstest.New(sqstest.Config{})
	var gone atomic.Int64
	queue.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		if c.Operation == "DeleteMessageBatch" {
			gone.Add(int64(c.Entries))
		}
		return sqstest.Fault{}
	})
	server := httptest.NewServer(queue)
	defer server.Close()
	queue.SetBaseURL(server.URL)
	client := sqs.NewFromConfig(queue.AWSConfig())
	created, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("million")})
	if err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("million-%d", time.Now().UnixNano())
	if err := dynamo.CreateTable(ctx, dynamodb.NewFromConfig(emulators.Config(emulators.DynamoDB(t))), table); err != nil {
		t.Fatal(err)
	}
	file, err := Worker.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(ctx, Worker, file, append(credentials(), "AWS_ENDPOINT_URL_SQS="+server.URL, "AWS_ENDPOINT_URL_DYNAMODB="+emulators.DynamoDB(t),
		"SQSONCE_QUEUE_URL="+*created.QueueUrl, "SQSONCE_TABLE="+table, "SQSONCE_CONCURRENCY=100", "SQSONCE_HANDLER=log")...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		<-p.ended
	}()
	first := p.drainMillion(ctx, t, &Harness{queue: client}, *created.QueueUrl, &gone)
	last := peak(t, p)
	t.Logf("%d KiB after %d messages", last, gone.Load())
	if file := os.Getenv(envFile); file != "" {
		record(t, file, AimMemory, last <= first+first/10, "%d MiB, and %d MiB after 50,000", last>>10, first>>10)
	}
	if last > first+first/10 {
		t.Errorf("%d KiB after %d messages, and %d KiB after %d", last, total, first, early)
	}
	if _, err := p.end(ctx); err != nil {
		t.Error(err)
	}
}

// The sizes of TestMemory, in messages.
const (
	early = 50_000
	total = 1_000_000
	ahead = 20_000 // most messages in the queue
)

// drainMillion keeps the queue filled until all messages are gone, and returns the peak of the
// process after the first of them.
func (p *process) drainMillion(ctx context.Context, t *testing.T, h *Harness, queueURL string, gone *atomic.Int64) (first int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	sent, logged := 0, 0
	for int(gone.Load()) < total {
		for ; sent < total && sent-int(gone.Load()) < ahead; sent += 1000 {
			if err := h.send(ctx, queueURL, Bodies(fmt.Sprintf("m%d", sent), 1000, 1000, 1<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if first == 0 && gone.Load() >= early {
			first = peak(t, p)
			t.Logf("%d KiB after %d messages", first, gone.Load())
		}
		if int(gone.Load()) >= logged+early {
			logged = int(gone.Load())
			t.Logf("%d KiB at most after %d messages: %s", peak(t, p), logged, heap(ctx, t, p))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d messages are gone: %v", gone.Load(), ctx.Err())
		}
	}
	return first
}

// peak returns the largest resident memory of a process so far, in KiB.
func peak(t *testing.T, p *process) int {
	t.Helper()
	bytes, err := p.peak()
	if err != nil {
		t.Fatal(err, p.early())
	}
	return bytes >> 10
}

// heap returns the Go runtime's own figures of a process.
func heap(ctx context.Context, t *testing.T, p *process) string {
	t.Helper()
	text, err := p.metrics(ctx)
	if err != nil {
		t.Fatal(err, p.early())
	}
	return strings.Join(heapFigures.FindAllString(text, -1), ", ")
}
