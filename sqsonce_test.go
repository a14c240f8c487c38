package sqsonce_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

var quiet = slog.New(slog.DiscardHandler)

// world is a queue with a dead-letter queue, a store, and the handler calls.
type world struct {
	t                *testing.T
	client           *sqs.Client
	queueURL, dlqURL string
	store            *memstore.Store

	mu   sync.Mutex
	ran  []string // guarded by mu; names of the handler calls, in order
	fail error    // guarded by mu; returned by the handler
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, store: memstore.New()}
		w.client = sqs.NewFromConfig(sqstest.New(sqstest.Config{}).AWSConfig())
		var err error
		if w.queueURL, w.dlqURL, err = awsenv.CreateQueue(t.Context(), w.client, "orders"); err != nil {
			t.Fatal(err)
		}
		test(t, w)
	})
}

func (w *world) config() sqsonce.Config {
	return sqsonce.Config{
		QueueURL: w.queueURL, Queue: w.client, Store: w.store,
		Guard: dedupe.Config{Logger: quiet}, Pool: consumer.Config{Logger: quiet},
	}
}

func (w *world) work(ctx context.Context, _ sqsonce.Message) (string, error) {
	attempt, _ := dedupe.AttemptFrom(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ran = append(w.ran, attempt.Name)
	return "done", w.fail
}

func (w *world) answer(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}

// run runs a worker for a minute.
func (w *world) run(run func(context.Context) error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) send(body string, attributes map[string]types.MessageAttributeValue) {
	w.t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &w.queueURL, MessageBody: &body, MessageAttributes: attributes}
	if _, err := w.client.SendMessage(w.t.Context(), in); err != nil {
		w.t.Fatal(err)
	}
}

// dead receives the dead letters.
func (w *world) dead() []types.Message {
	w.t.Helper()
	out, err := w.client.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &w.dlqURL, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range out.Messages {
		if _, err := w.client.DeleteMessage(w.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &w.dlqURL, ReceiptHandle: m.ReceiptHandle}); err != nil {
			w.t.Fatal(err)
		}
	}
	return out.Messages
}

func (w *world) want(runs string, dead ...string) {
	w.t.Helper()
	if got := strings.Join(w.ran, " "); got != runs {
		w.t.Errorf("ran %q, want %q", got, runs)
	}
	var reasons []string
	for _, m := range w.dead() {
		text := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
		reasons = append(reasons, text(consumer.AttrReason)+" of "+text(consumer.AttrName))
	}
	if got, want := strings.Join(reasons, ", "), strings.Join(dead, ", "); got != want {
		w.t.Errorf("dead letters: %q, want %q", got, want)
	}
}

// newWorker returns the Run of a worker from New; onPool returns that of a pool with Handler.
func (w *world) newWorker() func(context.Context) error {
	w.t.Helper()
	worker, err := sqsonce.New(aws.Config{}, w.config(), w.work)
	if err != nil {
		w.t.Fatal(err)
	}
	return worker.Run
}

func (w *world) onPool() func(context.Context) error {
	w.t.Helper()
	guard, err := dedupe.New[string](w.store, dedupe.Config{Scope: "orders", Logger: quiet})
	if err != nil {
		w.t.Fatal(err)
	}
	x, err := names.New(names.Config{})
	if err != nil {
		w.t.Fatal(err)
	}
	pool, err := consumer.New(w.client, sqsonce.Handler(guard, x, w.work), consumer.Config{
		QueueURL: w.queueURL, Name: sqsonce.NameOf(x), Logger: quiet,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return pool.Run
}

func TestWorker(t *testing.T) {
	for how, start := range map[string]func(*world) func(context.Context) error{"New": (*world).newWorker, "Handler": (*world).onPool} {
		t.Run(how+": duplicates run once", func(t *testing.T) {
			bubble(t, func(_ *testing.T, w *world) {
				w.send(`{"name":"a","total":1}`, nil)
				w.send(`{"total":1.0,"name":"a"}`, nil)
				w.run(start(w))
				w.want("a")
			})
		})
		t.Run(how+": another payload is a mismatch", func(t *testing.T) {
			bubble(t, func(_ *testing.T, w *world) {
				w.send(`{"name":"a","total":1}`, nil)
				w.run(start(w))
				w.send(`{"name":"a","total":2}`, nil)
				w.run(start(w))
				w.want("a", "mismatch of a")
			})
		})
		t.Run(how+": a redriven message runs once more", func(t *testing.T) {
			bubble(t, func(_ *testing.T, w *world) {
				w.answer(sqsonce.Reject(errors.New("bad total")))
				w.send(`{"name":"a"}`, nil)
				w.run(start(w))
				letters := w.dead()
				if len(letters) != 1 {
					w.t.Fatalf("%d dead letters", len(letters))
				}
				w.send(`{"name":"a"}`, nil) // not redriven
				w.run(start(w))
				w.want("a", "rejected of a")
				w.answer(nil)
				w.send(*letters[0].Body, letters[0].MessageAttributes)
				w.run(start(w))
				w.send(`{"name":"a"}`, nil) // a duplicate of the completed name
				w.run(start(w))
				w.want("a a")
			})
		})
		t.Run(how+": the name attribute names", func(t *testing.T) {
			bubble(t, func(_ *testing.T, w *world) {
				w.send(`{}`, map[string]types.MessageAttributeValue{
					consumer.AttrName: {DataType: aws.String("String"), StringValue: aws.String("b")},
				})
				w.run(start(w))
				w.want("b")
			})
		})
		t.Run(how+": a message without a name is dead-lettered", func(t *testing.T) {
			bubble(t, func(_ *testing.T, w *world) {
				w.send(`{}`, nil)
				w.run(start(w))
				w.want("", "bad message of ")
			})
		})
	}
}

// namer uses the body as the name.
type namer struct{}

func (namer) Extract(m names.Message) (names.Named, error) {
	return names.Named{Name: m.Body, Body: "inner"}, nil
}

func TestNamer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.config()
		c.Namer = namer{}
		worker, err := sqsonce.New(aws.Config{}, c, func(ctx context.Context, m sqsonce.Message) (string, error) {
			if m.Body != "inner" {
				t.Errorf("the work gets %q", m.Body)
			}
			return w.work(ctx, m)
		})
		if err != nil {
			t.Fatal(err)
		}
		w.send("a", nil)
		w.run(worker.Run)
		w.want("a")
		if _, err := w.store.Get(t.Context(), protocol.RecordID("orders", "a")); err != nil {
			t.Errorf("the queue's name is not the scope: %v", err)
		}
	})
}

func TestUnwrap(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.config()
		c.Names = names.Config{Key: "order_id", Unwrap: names.UnwrapSNS}
		worker, err := sqsonce.New(aws.Config{}, c, func(ctx context.Context, m sqsonce.Message) (string, error) {
			named, ok := sqsonce.NamedFrom(ctx)
			tenant, _ := m.Attribute("tenant")
			if m.Body != `{"order_id":17}` || tenant != "t-1" || !ok || named.Headers["X-Amz-Sns-Message-Id"] == "" {
				t.Errorf("the work gets %+v, %+v", m, named)
			}
			return w.work(ctx, m)
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"1", "2"} { // published twice
			w.send(`{"Type":"Notification","MessageId":"`+id+`","TopicArn":"arn:aws:sns:us-east-1:1:t",`+
				`"Message":"{\"order_id\":17}","MessageAttributes":{"tenant":{"Type":"String","Value":"t-1"}}}`, nil)
		}
		w.run(worker.Run)
		w.want("17")
	})
}

func TestIgnored(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var ignored []string
		c := w.config()
		c.Names = names.Config{Unnamed: names.UnnamedRun, Ignore: "ping"}
		c.Ignored = func(_ sqsonce.Message, why string) { ignored = append(ignored, why) }
		worker, err := sqsonce.New(aws.Config{}, c, w.work)
		if err != nil {
			t.Fatal(err)
		}
		w.send(`{"ping":true}`, nil)
		w.send(`hello`, nil)
		w.run(worker.Run)
		if len(ignored) != 1 || ignored[0] != names.IgnoredByExpression || len(w.ran) != 1 || len(w.ran[0]) != 36 {
			t.Errorf("ignored %q, ran %q", ignored, w.ran)
		}
		w.want(w.ran[0])
	})
}

func TestNew(t *testing.T) {
	const url = "https://sqs.us-east-1.amazonaws.com/1/orders"
	work := func(context.Context, sqsonce.Message) (int, error) { return 0, nil }
	for name, tc := range map[string]struct {
		c    sqsonce.Config
		want []string
	}{
		"no queue":      {sqsonce.Config{Table: "t"}, []string{`QueueURL ""`}},
		"no queue name": {sqsonce.Config{Table: "t", QueueURL: "https://example.com/"}, []string{`QueueURL "https://example.com/"`}},
		"two queues":    {sqsonce.Config{Table: "t", QueueURL: url, Pool: consumer.Config{QueueURL: url + "2"}}, []string{`Pool.QueueURL "` + url + `2"`, url}},
		"no table":      {sqsonce.Config{QueueURL: url}, []string{`Table ""`}},
		"bad key":       {sqsonce.Config{QueueURL: url, Table: "t", Names: names.Config{Key: "a["}}, []string{`Names: key "a["`}},
		"lease too long": {
			sqsonce.Config{QueueURL: url, Table: "t", Pool: consumer.Config{Visibility: 30 * time.Second}},
			[]string{"Guard.Lease + Guard.Skew 32s", "14s", "Pool.Visibility"},
		},
		"all at once": {
			sqsonce.Config{QueueURL: url, Guard: dedupe.Config{MaxAttempts: -1}, Pool: consumer.Config{Concurrency: -2}},
			[]string{`Table ""`, "MaxAttempts -1", "Concurrency -2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sqsonce.New(aws.Config{}, tc.c, work)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: does not say %q", err, want)
				}
			}
		})
	}
	t.Run("no work", func(t *testing.T) {
		_, err := sqsonce.New[int](aws.Config{}, sqsonce.Config{QueueURL: url, Table: "t"}, nil)
		if err == nil || !strings.Contains(err.Error(), "work: must be set") {
			t.Error(err)
		}
	})
	t.Run("good", func(t *testing.T) {
		if _, err := sqsonce.New(aws.Config{}, sqsonce.Config{QueueURL: url, Table: "t"}, work); err != nil {
			t.Error(err)
		}
	})
}

func TestRun(t *testing.T) {
	cfg := emulators.Config(emulators.DynamoDB(t))
	queues := sqstest.New(sqstest.Config{})
	client := sqs.NewFromConfig(queues.AWSConfig())
	url, _, err := awsenv.CreateQueue(t.Context(), client, "orders")
	if err != nil {
		t.Fatal(err)
	}
	start := func(ctx context.Context, table string) error {
		worker, err := sqsonce.New(cfg, sqsonce.Config{
			QueueURL: url, Table: table, Queue: client, Guard: dedupe.Config{Logger: quiet},
			Pool: consumer.Config{Logger: quiet, PollWait: time.Second},
		}, func(context.Context, sqsonce.Message) (int, error) { return 0, nil })
		if err != nil {
			t.Fatal(err)
		}
		return worker.Run(ctx)
	}
	t.Run("without a table", func(t *testing.T) {
		if err := start(t.Context(), "missing"); !errors.Is(err, dynamo.ErrNoTable) {
			t.Error(err)
		}
	})
	t.Run("with a created table", func(t *testing.T) {
		if err := sqsonce.CreateTable(t.Context(), cfg, "front-door"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // stopped before it begins
		if err := start(ctx, "front-door"); err != nil {
			t.Error(err)
		}
	})
}

func TestReject(t *testing.T) {
	if sqsonce.Reject(nil) != nil {
		t.Error("nil is rejected")
	}
	bad := errors.New("bad")
	err := sqsonce.Reject(bad)
	permanent, ok := err.(interface{ Permanent() bool })
	if !ok || !permanent.Permanent() || !errors.Is(err, bad) || err.Error() != "bad" {
		t.Errorf("%#v", err)
	}
}

// The rules for names in package protocol and in package names agree.
func TestNamesAgreeWithGuard(t *testing.T) {
	for _, name := range []string{
		"", "a", "häuser/ü #1", strings.Repeat("x", names.MaxBytes), strings.Repeat("x", names.MaxBytes+1),
		"a\nb", "a\x7f", "a\u0085", "\xff", "\u00a0",
	} {
		if a, b := names.Check(name), protocol.CheckName(name); (a == nil) != (b == nil) {
			t.Errorf("%.20q: names says %v, dedupe %v", name, a, b)
		}
	}
}
