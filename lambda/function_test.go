package sqsoncelambda

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

func TestHandle(t *testing.T) {
	t.Run("ten messages of three names", testTenMessagesOfThreeNames)
	t.Run("ten thousand messages", testTenThousandMessages)
	t.Run("failing name is tried once", testFailingNameIsTriedOnce)
	t.Run("panic and Goexit", testPanicAndGoexit)
	t.Run("concurrency is bounded", testConcurrencyIsBounded)
	t.Run("several queues", testSeveralQueues)
	t.Run("foreign events", testForeignEvents)
}

func testTenMessagesOfThreeNames(t *testing.T) {
	for name, takes := range map[string]time.Duration{"AtOnce": 0, "Slow": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 5, false, func(t *testing.T, b *bench) {
				b.work = func(context.Context, sqsonce.Message) (string, error) { time.Sleep(takes); return "done", nil }
				b.send("", "a", "b", "c", "a", "b", "c", "a", "b", "c", "a")
				equal(t, "failures", b.invoke(), nil)
				ran := b.took()
				slices.Sort(ran)
				equal(t, "runs", ran, []string{"a", "b", "c"})
				if left := b.receive(b.queueURL).Records; len(left) > 0 || len(b.visibilities()) > 0 {
					t.Errorf("%d messages are left", len(left))
				}
			})
		})
	}
}

// The largest batch of a standard queue.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html
func testTenThousandMessages(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.work = func(context.Context, sqsonce.Message) (string, error) {
			time.Sleep(100 * time.Millisecond)
			return "", nil
		}
		event := document(t, "standard.json")
		of := event.Records[1]
		of.EventSourceARN = b.arn
		event.Records = nil
		for i := range 10_000 {
			of.MessageId = strings.Repeat("x", i%7) + time.Duration(i).String()
			of.Body = `{"name":"` + of.MessageId + `"}`
			event.Records = append(event.Records, of)
		}
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(b.timeout))
		defer cancel()
		response, err := b.ready().Handle(ctx, event)
		// Ten at a time begin in the 55 s before the work's last second.
		if ran := len(b.took()); err != nil || ran != 5_500 || len(response.BatchItemFailures) != 10_000-ran {
			t.Errorf("%v, %d ran, %d failures", err, ran, len(response.BatchItemFailures))
		}
	})
}

func testFailingNameIsTriedOnce(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "", errors.New("not now") }
		b.send("", "a", "a", "b", "a")
		equal(t, "failures", b.invoke(), []string{"a", "a", "b", "a"})
		if ran := b.took(); len(ran) != 2 {
			t.Errorf("%v ran, want a and b once", ran)
		}
		if set := b.visibilities(); len(set) != 4 || slices.Max(set) > 10 {
			t.Errorf("visibility timeouts %v, want four of 10 s at most", set)
		}
		if r := b.record("a"); r.Status != protocol.Retrying || r.Attempts != 1 {
			t.Errorf("record %s after %d attempts", r.Status, r.Attempts)
		}
	})
}

func testPanicAndGoexit(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.work = func(ctx context.Context, m sqsonce.Message) (string, error) {
			switch {
			case strings.Contains(m.Body, "panics"):
				panic("ouch")
			case strings.Contains(m.Body, "exits"):
				runtime.Goexit()
			}
			return "", nil
		}
		b.send("", "panics", "exits", "fine")
		equal(t, "failures", b.invoke(), []string{"panics", "exits"})
		for _, name := range []string{"panics", "exits"} {
			if r := b.record(name); r.Status != protocol.Retrying || r.Attempts != 1 {
				t.Errorf("%s: record %s after %d attempts", name, r.Status, r.Attempts)
			}
		}
	})
}

func testConcurrencyIsBounded(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.cfg.Concurrency = 3
		var running, most atomic.Int64
		b.work = func(context.Context, sqsonce.Message) (string, error) {
			n := running.Add(1)
			for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
			}
			time.Sleep(time.Second)
			running.Add(-1)
			return "", nil
		}
		b.send("", "a", "b", "c", "d", "e", "f", "g", "h")
		equal(t, "failures", b.invoke(), nil)
		if most.Load() != 3 {
			t.Errorf("%d at a time, want 3", most.Load())
		}
	})
}

// A function can be invoked for several queues; each has its own scope.
func testSeveralQueues(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.send("", "a")
		b.invoke()
		event := document(t, "standard.json")
		event.Records = event.Records[1:]
		event.Records[0].Body = `{"name":"a"}`
		if _, err := b.ready().Handle(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		equal(t, "runs", b.took(), []string{"a", "a"})
		if r, err := b.store.Get(t.Context(), protocol.RecordID("my-queue", "a")); err != nil || r.Status != protocol.Completed {
			t.Errorf("record of the second queue: %s, %v", r.Status, err)
		}
	})
}

func testForeignEvents(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		for want, spoil := range map[string]func(r *events.SQSMessage){
			`Records[1].eventSource "aws:kinesis"`:    func(r *events.SQSMessage) { r.EventSource = "aws:kinesis" },
			`Records[1].eventSourceARN ""`:            func(r *events.SQSMessage) { r.EventSourceARN = "" },
			`Records[1].eventSourceARN "arn:aws:sqs:`: func(r *events.SQSMessage) { r.EventSourceARN = "arn:aws:sqs:" },
			`Records[1].messageId ""`:                 func(r *events.SQSMessage) { r.MessageId = "" },
		} {
			event := document(t, "standard.json")
			spoil(&event.Records[1])
			if _, err := b.ready().Handle(t.Context(), event); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
		equal(t, "runs", b.took(), nil)
	})
}

// document reads an event of testdata.
func document(t *testing.T, name string) (event events.SQSEvent) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	return event
}

// Each document is taken as it is; names are found by the rules of a worker.
func TestDocuments(t *testing.T) {
	documents, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		names    names.Config
		ran      []string
		failures int // of messages without a name: here no dead-letter queue is known
	}{
		"standard.json":   {names.Config{Key: "message"}, []string{"foo1"}, 1},
		"unknown.json":    {names.Config{Key: "message"}, []string{"foo1"}, 1},
		"attributes.json": {names.Config{Key: "@attribute:Attribute1"}, []string{"AttributeValue1"}, 0},
		"redriven.json":   {names.Config{Key: "@message-id"}, []string{"db37cc61-1bb0-4e77-b6f3-7cf87f44a72a"}, 0},
		"fifo.json":       {names.Config{}, []string{"order-17", "order-18"}, 0},
		"sns.json":        {names.Config{Key: "username", Unwrap: "sns"}, []string{"lessa"}, 0},
		"sns-fifo.json":   {names.Config{Key: "username", Unwrap: "auto"}, []string{"lessa"}, 0},
		"empty.json":      {names.Config{}, nil, 0},
	}
	if len(documents) != len(cases) {
		t.Errorf("%d documents, %d cases", len(documents), len(cases))
	}
	for _, path := range documents {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			bubble(t, 5, false, func(t *testing.T, b *bench) {
				tc := cases[name]
				b.cfg.Names = tc.names
				var bodies []string
				b.work = func(_ context.Context, m sqsonce.Message) (string, error) {
					bodies = append(bodies, m.Body)
					return "", nil
				}
				for range 2 { // again: answered
					response, err := b.ready().Handle(t.Context(), document(t, name))
					if err != nil || len(response.BatchItemFailures) != tc.failures {
						t.Errorf("%v, failures %v", err, response.BatchItemFailures)
					}
					text, err := json.Marshal(response)
					if err != nil || !strings.HasPrefix(string(text), `{"batchItemFailures":[`) {
						t.Errorf("response %s, %v", text, err)
					}
				}
				equal(t, "runs", b.took(), tc.ran)
				if strings.HasPrefix(name, "sns") && (len(bodies) != 1 || !strings.HasPrefix(bodies[0], `{"message": "hello world"`)) {
					t.Errorf("bodies %q, want the message inside the envelope", bodies)
				}
			})
		})
	}
}

func TestNew(t *testing.T) {
	t.Run("bad settings", testBadSettings)
	t.Run("scope in a worker", testDefaultsOfAWorker)
}

func testBadSettings(t *testing.T) {
	_, err := New[string](aws.Config{}, Config{
		Concurrency: -1, MinTime: -1, Backoff: time.Millisecond, MaxBackoff: 13 * time.Hour,
		Guard: dedupe.Config{Skew: time.Millisecond, Settle: time.Minute, MaxAttempts: -1}, Names: names.Config{Key: "["},
	}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{
		"Concurrency -1", "MinTime -1ns", "Backoff 1ms", "MaxBackoff 13h", "Guard.Skew 1ms", "Guard.Settle 1m", "Table \"\"", "Names: ", "work: must be set",
	} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q is missing in: %v", field, err)
		}
	}
	defer func() {
		if p, ok := recover().(error); !ok || !strings.Contains(p.Error(), "work: must be set") {
			t.Errorf("Handler panicked with %v", p)
		}
	}()
	Handler[string](aws.Config{}, Config{Store: memstore.New()}, nil)
}

// handledBy sends the message a, and runs a worker for a second.
func (b *bench) handledBy(w *sqsonce.Worker[string]) {
	b.t.Helper()
	ctx, stop := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	b.send("", "a")
	go func() { ended <- w.Run(ctx) }()
	time.Sleep(time.Second)
	stop()
	if err := <-ended; err != nil {
		b.t.Fatal(err)
	}
}

// A worker and a function on one queue agree about a name without any setting.
func testDefaultsOfAWorker(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		w, err := sqsonce.New(aws.Config{}, sqsonce.Config{QueueURL: b.queueURL, Store: b.store, Queue: b.client},
			func(context.Context, sqsonce.Message) (string, error) { return "by the worker", nil })
		if err != nil {
			t.Fatal(err)
		}
		b.handledBy(w)
		b.send("", "a")
		equal(t, "failures", b.invoke(), nil)
		equal(t, "runs", b.took(), nil)
		if r := b.record("a"); string(r.Result) != `"by the worker"` {
			t.Errorf("record %s with %s", r.Status, r.Result)
		}
	})
}
