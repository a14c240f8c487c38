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

// Config configures a [Worker]. QueueURL and Table are required; the zero value of every other
// field means its default.
type Config struct {
	// QueueURL is the URL of the queue.
	QueueURL string

	// Table is the DynamoDB table with one record per name; see [CreateTable]. Not used if Store is
	// set.
	Table string

	// TTLAttribute is the attribute with the expiry of records, see [dynamo.Config.TTLAttribute]. Not
	// used if Store is set.
	TTLAttribute string

	// Names configures the source of a message's name, and the part of the body that duplicates are
	// compared by. Default: the name is the field "name" of a JSON body or the message attribute
	// sqsonce.name, and the whole body is compared. Not used if Namer is set.
	Names names.Config

	// Namer names messages. Default: the [names.Extractor] of Names.
	Namer Namer

	// Guard configures leases, attempts and results. Its Scope defaults to the name of the queue,
	// Now to the clock of the store.
	Guard dedupe.Config

	// Pool configures concurrency, timeouts and the stop. Leave its QueueURL empty. Name defaults
	// to the name that Namer returns.
	Pool consumer.Config

	// Middleware wraps the handler, guard included. The first is the outermost. Default: none.
	Middleware []consumer.Middleware

	// Ignored is called for each message that is no work according to Names. The message is then
	// deleted. why is a value of [names.Named.Ignored]. Default: none.
	Ignored func(m Message, why string)

	// Payloads fetches the payloads of messages that are pointers, in the format of the extended
	// client libraries. Default: none; a pointer is then treated as an ordinary body.
	Payloads Payloads

	// Earlier knows work that was done before the table's records began, by another program.
	// It is asked before the first attempt of a name. Default: none.
	Earlier Earlier

	// Queue replaces the client of SQS. Default: a client made from the aws.Config.
	Queue consumer.Queue

	// Store replaces the table, for tests and simulations (see package memstore).
	Store dedupe.Store
}

// Namer returns the name of a message. It must be safe for concurrent use. The error for a message
// without a name should be a [failure.Permanent], as those of [names.Extractor] are: the message is
// then dead-lettered.
type Namer interface {
	Extract(m names.Message) (names.Named, error)
}

// Payloads fetches payloads that are outside of their messages. It must be safe for concurrent use.
type Payloads interface {
	// Fetch returns a payload. It is called before the guard claims the message's name, so that an
	// error counts no attempt. The error may have the methods of package failure. release is called
	// after the message has been handled, and not after an error.
	Fetch(ctx context.Context, p names.Pointer) (body string, release func(), err error)
}

// Earlier knows the outcomes of work that another program did. It has to be safe for concurrent
// use. Package powertools has one.
type Earlier interface {
	// Earlier returns the result of a message's work, as JSON, and whether that is done. It is
	// asked about the message as it was received, under the lease of its name. Its errors have
	// the methods of package failure: one that says Snoozed makes the message wait.
	Earlier(ctx context.Context, m Message) (result []byte, done bool, err error)
}

// Worker handles the messages of one queue. Create it with [New]. Its parts are exported for
// metrics and health checks.
type Worker[R any] struct {
	Pool  *consumer.Consumer
	Guard *dedupe.Guard[R]
	Store dedupe.Store

	start func(context.Context) error // checks the table and reads DynamoDB's clock
	stop  func()                      // waits for the calls of the store
}

// New returns a worker that calls work once per name, or an error that lists all faults of c. It
// makes no call to AWS. R is the type of the result, which is recorded with the name: any type that
// encodes to JSON, or a [dedupe.Payload].
//
// After an error of work the message is tried again, up to [dedupe.Config.MaxAttempts] times; see
// [Reject] and [consumer.Decide].
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
	w.Pool, err = consumer.New(c.Queue, consumer.Chain(HandlerBy(w.Guard, Naming{c.Namer, c.Payloads, c.Ignored, c.Earlier}, work), c.Middleware...), c.Pool)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("sqsonce: %w", err)
	}
	return w, nil
}

// open creates the store on DynamoDB.
func (w *Worker[R]) open(cfg aws.Config, c *Config) error {
	client, log := dynamodb.NewFromConfig(cfg), cmp.Or(c.Guard.Logger, slog.Default())
	store, err := dynamo.New(client, dynamo.Config{
		Table: c.Table, TTLAttribute: c.TTLAttribute, Logger: log,
		Timeout: dynamo.TimeoutFor(c.Guard.Lease), // 0, the default lease, gives the default timeout
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
			log.Warn("DynamoDB's clock could not be read; leases use this machine's clock for now", "table", c.Table, "error", err)
		}
		return nil
	}
	return nil
}

// Run handles messages until ctx ends, and returns when all messages in hand are settled. It
// returns nil after a clean stop. It fails at once if the table is missing (see [CreateTable]), has
// another key, or is a replica that other Regions write to. Its other errors are those of
// [consumer.Consumer.Run].
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

// Reject marks err as permanent: the name is recorded as REJECTED, and its message goes to the
// dead-letter queue. It returns nil if err is nil.
func Reject(err error) error {
	if err == nil {
		return nil
	}
	return rejection{err}
}

type rejection struct{ error }

// Unwrap returns the error that was given to [Reject].
func (r rejection) Unwrap() error { return r.error }

// Permanent reports true.
func (rejection) Permanent() bool { return true }

// CreateTable creates the table of a worker, billed by request, and waits until it is active. It
// does not change an existing table.
func CreateTable(ctx context.Context, cfg aws.Config, table string) error {
	return dynamo.CreateTable(ctx, dynamodb.NewFromConfig(cfg), table)
}
