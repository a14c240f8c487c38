package sqsonce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/names"
)

// Message is one delivery of an SQS message.
type Message = consumer.Message

// Config says what a [Worker] works on. QueueURL and Table are required; the zero
// value of every other field means its default.
type Config struct {
	// QueueURL is the queue to work on.
	QueueURL string

	// Table is the DynamoDB table that holds one record per name; see
	// [CreateTable]. Not used if Store is set.
	Table string

	// TTLAttribute is the attribute with the expiry of records, see
	// [dynamo.Config.TTLAttribute]. Not used if Store is set.
	TTLAttribute string

	// Names says where the name of a message is, and which part of the body is
	// compared when a name comes again. Default: the name is the field "name" of
	// a JSON body or the message attribute sqsonce.name, and the whole body is
	// compared. Not used if Namer is set.
	Names names.Config

	// Namer names messages. Default: the [names.Extractor] of Names.
	Namer Namer

	// Guard is about leases, attempts and results. Scope defaults to the name of
	// the queue, Now to the clock of the store.
	Guard dedupe.Config

	// Pool is about concurrency, timeouts and the stop. Leave its QueueURL empty.
	// Name defaults to the name that Namer finds.
	Pool consumer.Config

	// Middleware wraps the handler, guard included; the first is the outermost.
	Middleware []consumer.Middleware

	// Ignored is called for each message that Names says is no work, which is then
	// deleted; why is one of the values of [names.Named.Ignored]. Default: none.
	Ignored func(m Message, why string)

	// Payloads fetches the payloads of messages that are pointers, as the extended
	// client libraries write them. Default: none; a pointer is a body like any other.
	Payloads Payloads

	// Queue replaces the client of SQS. Default: one made from the aws.Config.
	Queue consumer.Queue

	// Store replaces the table, for tests and simulations (see package memstore).
	Store dedupe.Store
}

// Namer finds the name of a message. The error of a message without a name
// should have a method Permanent that returns true, as those of
// [names.Extractor] have: the message then goes to the dead-letter queue. It has
// to be safe for concurrent use.
type Namer interface {
	Extract(m names.Message) (names.Named, error)
}

// Payloads fetches payloads that are not in their messages. It has to be safe for
// concurrent use.
type Payloads interface {
	// Fetch returns a payload, before the guard is asked for the message's name. release
	// is called when the message has been handled. An error has the methods of package
	// failure, as one of the work has, and counts no attempt; release is not called then.
	Fetch(ctx context.Context, p names.Pointer) (body string, release func(), err error)
}

// Worker handles the messages of one queue. Use [New]. Its parts are there for
// metrics, health checks and whatever else a program adds.
type Worker[R any] struct {
	Pool  *consumer.Consumer
	Guard *dedupe.Guard[R]
	Store dedupe.Store

	start func(context.Context) error // looks at the table
	stop  func()                      // waits for the calls of the store
}

// New returns a worker that calls work once per name, or an error that lists
// everything that is wrong with c. It makes no call. R is the type of the
// result, which is kept with the name: anything that encodes to JSON, or a
// [dedupe.Payload].
//
// An error of work means that the message is tried again, up to
// [dedupe.Config.MaxAttempts] times; see [Reject] and [consumer.Decide].
func New[R any](cfg aws.Config, c Config, work func(context.Context, Message) (R, error)) (*Worker[R], error) {
	url := cmp.Or(c.QueueURL, c.Pool.QueueURL)
	scope := url[strings.LastIndexByte(url, '/')+1:]
	switch {
	case scope == "":
		return nil, fmt.Errorf("sqsonce: QueueURL %q: must be the URL of a queue", url)
	case c.Pool.QueueURL != "" && c.Pool.QueueURL != url:
		return nil, fmt.Errorf("sqsonce: Pool.QueueURL %q: is not QueueURL %q", c.Pool.QueueURL, url)
	}
	var errs []error
	guarding := c.Guard.WithDefaults()
	if held, bound := guarding.Lease+guarding.Skew, c.Pool.LeaseBound(); held > bound {
		errs = append(errs, fmt.Errorf("Guard.Lease + Guard.Skew %s: must not exceed %s, what Pool.Visibility leaves after a heartbeat", held, bound))
	}
	if work == nil {
		errs = append(errs, errors.New("work: must be set"))
	}
	if c.Namer == nil {
		x, err := names.New(c.Names)
		if err != nil {
			errs = append(errs, fmt.Errorf("Names: %w", err))
		}
		c.Namer = x
	}
	w := &Worker[R]{Store: c.Store}
	if c.Store == nil {
		errs = append(errs, w.open(cfg, &c))
	}
	if c.Queue == nil {
		c.Queue = sqs.NewFromConfig(cfg)
	}
	c.Guard.Scope = cmp.Or(c.Guard.Scope, scope)
	c.Pool.QueueURL = url
	if c.Pool.Name == nil {
		c.Pool.Name = NameOf(c.Namer)
	}
	var err error
	w.Guard, err = dedupe.New[R](w.Store, c.Guard)
	errs = append(errs, err)
	w.Pool, err = consumer.New(c.Queue, consumer.Chain(HandlerBy(w.Guard, Naming{c.Namer, c.Payloads, c.Ignored}, work), c.Middleware...), c.Pool)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("sqsonce: %w", err)
	}
	return w, nil
}

// open makes the store on DynamoDB.
func (w *Worker[R]) open(cfg aws.Config, c *Config) error {
	client, log := dynamodb.NewFromConfig(cfg), cmp.Or(c.Guard.Logger, slog.Default())
	store, err := dynamo.New(client, dynamo.Config{
		Table: c.Table, TTLAttribute: c.TTLAttribute, Logger: log,
		Timeout: dynamo.TimeoutFor(c.Guard.Lease), // 0: the default lease, and so the default
	})
	if err != nil {
		return err
	}
	w.Store, w.stop = store, store.Close
	if c.Guard.Now == nil {
		c.Guard.Now = store.Now
	}
	w.start = func(ctx context.Context) error {
		err := dynamo.Config{Table: c.Table, TTLAttribute: c.TTLAttribute}.CheckTable(ctx, client)
		if errors.Is(err, dynamo.ErrNoTable) || errors.Is(err, dynamo.ErrWrongKey) || errors.Is(err, dynamo.ErrReplica) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("the table could not be checked", "table", c.Table, "error", err)
		}
		if err := store.ReadClock(ctx); err != nil && ctx.Err() == nil {
			log.Warn("DynamoDB's clock could not be read; leases go by this machine's for now", "table", c.Table, "error", err)
		}
		return nil
	}
	return nil
}

// Run works until ctx ends, and returns when everything under way is settled. It
// returns nil after a clean stop. It returns an error at once when the table is
// missing (see [CreateTable]), has another key, or is a replica that other Regions
// write to, and otherwise those of [consumer.Consumer.Run].
func (w *Worker[R]) Run(ctx context.Context) error {
	if w.stop != nil {
		defer w.stop()
	}
	if w.start != nil {
		if err := w.start(ctx); err != nil {
			return fmt.Errorf("sqsonce: start: %w", err)
		}
	}
	return w.Pool.Run(ctx)
}

// Reject returns err as one that no retry can cure: the name is recorded as
// rejected, and its message goes to the dead-letter queue. It returns nil when
// err is nil.
func Reject(err error) error {
	if err == nil {
		return nil
	}
	return rejection{err}
}

type rejection struct{ error }

// Unwrap returns what is wrong.
func (r rejection) Unwrap() error { return r.error }

// Permanent reports true.
func (rejection) Permanent() bool { return true }

// CreateTable creates the table of a worker, billed by request, and waits until
// it can be used. A table that exists is left as it is.
func CreateTable(ctx context.Context, cfg aws.Config, table string) error {
	return dynamo.CreateTable(ctx, dynamodb.NewFromConfig(cfg), table)
}
