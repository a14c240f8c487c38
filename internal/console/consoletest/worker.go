// Package consoletest runs a whole worker in memory, with a console over it,
// for the console's tests.
package consoletest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

// Options say how the worker of a test is. The zero value is one that handles
// every message at once.
type Options struct {
	// Handle is the work; nil answers with an empty JSON object.
	Handle func(ctx context.Context, m consumer.Message) (dedupe.Payload, error)
	// Token is the admin token.
	Token string
	// Concurrency is the number of slots; default 50.
	Concurrency int
	// Edit changes the console's settings before it is made.
	Edit func(*Showing)
	// Hold parks attempts of unknown outcome.
	Hold bool
	// Unwatched leaves the history out of the worker, for comparisons.
	Unwatched bool
}

// Showing is the configuration of a console of one queue.
type Showing struct {
	*console.Config
	*console.QueueConfig
}

// Worker is a running worker.
type Worker struct {
	Queue            *sqs.Client
	producer         *sqs.Client // as of another process: its calls are not counted
	QueueURL, DLQURL string
	History          *console.History
	Pool             *consumer.Consumer
	Operator         *dedupe.Operator
	Showing          console.QueueConfig
	Handler          http.Handler     // the console
	Server           *httptest.Server // serves it on loopback
	Remote           *httptest.Server // serves it as if all visitors came from 192.0.2.7
}

// New returns a worker that does not run yet, without servers.
func New(t testing.TB, o Options) *Worker {
	t.Helper()
	w := &Worker{}
	server := sqstest.New(sqstest.Config{})
	cfg := server.AWSConfig()
	w.producer = sqs.NewFromConfig(cfg)
	store := memstore.New()
	guarding := dedupe.Config{Scope: "sqsonce", Hold: o.Hold, Logger: slog.New(slog.DiscardHandler)}
	w.History = console.NewHistory(dedupe.Config{}.WithDefaults().Lease)
	if !o.Unwatched {
		guarding.Hooks = w.History.DedupeHooks(dedupe.Hooks{})
		cfg.APIOptions = append(cfg.APIOptions, w.History.CountCalls)
	}
	w.Queue = sqs.NewFromConfig(cfg)
	var err error
	if w.QueueURL, w.DLQURL, err = awsenv.CreateQueue(context.Background(), w.Queue, "sqsonce"); err != nil {
		t.Fatal(err)
	}
	if w.Operator, err = dedupe.NewOperator(store, guarding); err != nil {
		t.Fatal(err)
	}
	pooling := consumer.Config{
		QueueURL: w.QueueURL, DLQURL: w.DLQURL, PollWait: time.Second, DrainTimeout: time.Second,
		Concurrency: o.Concurrency, Logger: slog.New(slog.DiscardHandler),
	}
	work := o.Handle
	if work == nil {
		work = func(context.Context, consumer.Message) (dedupe.Payload, error) {
			return dedupe.Payload{Data: []byte("{}")}, nil
		}
	}
	extractor, err := names.New(names.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pooling.Name = sqsonce.NameOf(extractor)
	if !o.Unwatched {
		pooling.Hooks = w.History.ConsumerHooks(pooling.Name, consumer.Hooks{})
	}
	worker, err := sqsonce.New(aws.Config{}, sqsonce.Config{
		Queue: w.Queue, Store: store, Namer: extractor, Guard: guarding, Pool: pooling,
	}, work)
	if err != nil {
		t.Fatal(err)
	}
	w.Pool = worker.Pool
	showing := Showing{
		&console.Config{AdminToken: o.Token, Version: "v1.4.0", Logger: slog.New(slog.DiscardHandler)},
		&console.QueueConfig{
			Name: "sqsonce", History: w.History, Pool: console.WatchPool(w.Pool), Records: w.Operator, Operator: w.Operator, Lister: store, Scope: "sqsonce",
			Queue: w.Queue, QueueURL: w.QueueURL, DLQURL: w.DLQURL, Keys: extractor, MayPurge: true, Local: true, Table: "in memory",
			Settings: []console.Setting{
				{Name: "queue-url", Value: w.QueueURL}, {Name: "concurrency", Value: "50"}, {Name: "admin-token", Value: o.Token},
			},
		},
	}
	if o.Edit != nil {
		o.Edit(&showing)
	}
	showing.Queues, w.Showing = []console.QueueConfig{*showing.QueueConfig}, *showing.QueueConfig
	if w.Handler, err = console.New(*showing.Config); err != nil {
		t.Fatal(err)
	}
	return w
}

// Start returns a worker that runs until the test ends, with its servers.
func Start(t testing.TB, o Options) *Worker {
	t.Helper()
	w := New(t, o)
	w.Run(t)
	w.Server = httptest.NewServer(w.Handler)
	t.Cleanup(func() { shut(w.Server) })
	w.Remote = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "192.0.2.7:4711"
		w.Handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { shut(w.Remote) })
	return w
}

// shut closes a server with the streams that are open on it.
func shut(s *httptest.Server) {
	s.CloseClientConnections()
	s.Close()
}

// Run starts the worker; it is stopped when the test ends.
func (w *Worker) Run(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Pool.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		w.Pool.Abort()
		if err := <-ended; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
}

// Send puts a message of that name on a queue.
func (w *Worker) Send(t testing.TB, queueURL, name string, attributes map[string]string) {
	t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: aws.String("{}"), MessageAttributes: map[string]types.MessageAttributeValue{}}
	put := func(key, value string) {
		in.MessageAttributes[key] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	put(consumer.AttrName, name)
	for key, value := range attributes {
		put(key, value)
	}
	if _, err := w.producer.SendMessage(context.Background(), in); err != nil {
		t.Fatal(err)
	}
}
