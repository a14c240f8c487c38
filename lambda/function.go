package sqsoncelambda

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/names"
)

// Work is called once per name. Its errors mean the same as to a worker, see [sqsonce.New].
type Work[R any] = func(context.Context, sqsonce.Message) (R, error)

// Handler returns the handler for lambda.Start. It panics where [New] returns an error, so that a
// wrong setting ends the function's initialisation.
func Handler[R any](cfg aws.Config, c Config, work Work[R]) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	f, err := New(cfg, c, work)
	if err != nil {
		panic(err)
	}
	return f.Handle
}

// Function handles the events of SQS queues. Use [New]. It is safe for concurrent use, and keeps no
// goroutine between two invocations.
type Function[R any] struct {
	cfg   Config
	work  Work[R]
	store dedupe.Store

	mu     sync.Mutex
	queues map[string]*queue // guarded by mu; by ARN
}

// New returns a function that calls work once per name, or an error that lists everything that is
// wrong with c. It makes no call. R is the type of the result, as in [sqsonce.New].
func New[R any](cfg aws.Config, c Config, work Work[R]) (*Function[R], error) {
	c = c.withDefaults()
	errs := []error{c.validate()}
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
	if c.Queue == nil {
		c.Queue = sqs.NewFromConfig(cfg)
	}
	f := &Function[R]{work: work, store: c.Store, queues: make(map[string]*queue)}
	if f.store == nil {
		store, err := dynamo.New(dynamodb.NewFromConfig(cfg), dynamo.Config{
			Table: c.Table, TTLAttribute: c.TTLAttribute, Logger: c.Guard.Logger, Timeout: dynamo.TimeoutFor(c.Guard.Lease),
		})
		errs = append(errs, err)
		if err == nil {
			f.store = store
			if c.Guard.Now == nil {
				c.Guard.Now = store.Now
			}
		}
	}
	if c.Guard.Now == nil {
		c.Guard.Now = time.Now
	}
	f.cfg = c
	if f.store != nil {
		probe := c.Guard // the guard's own checks, for any queue
		if probe.Scope == "" {
			probe.Scope = "queue"
		}
		_, err := dedupe.New[R](f.store, probe)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("sqsoncelambda: %w", err)
	}
	return f, nil
}

// Handle works on the messages of one event. The response names those that SQS should keep. An
// error, with which SQS keeps all of them, says that the event is not from SQS, or that the
// function's timeout is too short to begin anything.
func (f *Function[R]) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	failed := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	if err := check(event); err != nil {
		return failed, err
	}
	if len(event.Records) == 0 {
		return failed, nil
	}
	limit, err := f.limit(ctx)
	if err != nil {
		return failed, err
	}
	ends, err := f.run(ctx, limit, event)
	if err != nil {
		return failed, err
	}
	for i, e := range ends {
		if !e.gone {
			failed.BatchItemFailures = append(failed.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: event.Records[i].MessageId})
		}
	}
	return failed, nil
}

// check returns an error that names the first record that SQS has not sent.
func check(event events.SQSEvent) error {
	for i, r := range event.Records {
		switch {
		case r.EventSource != "aws:sqs":
			return fmt.Errorf("sqsoncelambda: Records[%d].eventSource %q: must be aws:sqs", i, r.EventSource)
		case queueName(r.EventSourceARN) == "":
			return fmt.Errorf("sqsoncelambda: Records[%d].eventSourceARN %q: must be the ARN of a queue", i, r.EventSourceARN)
		case r.MessageId == "":
			return fmt.Errorf("sqsoncelambda: Records[%d].messageId %q: must not be empty", i, r.MessageId)
		}
	}
	return nil
}

// limit is the times of an invocation. They are zero when it has no deadline.
type limit struct {
	deadline time.Time // Lambda kills the function
	work     time.Time // the work's context ends
	begin    time.Time // no work begins any more
}

// limit returns the times of an invocation.
func (f *Function[R]) limit(ctx context.Context) (limit, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return limit{}, nil
	}
	l := limitsOf(deadline, f.cfg.Guard.Skew, f.cfg.MinTime)
	if now := f.now(); !now.Before(l.begin) {
		return l, fmt.Errorf("sqsoncelambda: the invocation has %s left: "+
			"the function's timeout must be more than MinTime %s and twice Guard.Skew %s together",
			deadline.Sub(now).Round(time.Millisecond), f.cfg.MinTime, f.cfg.Guard.Skew)
	}
	return l, nil
}

// limitsOf returns the times of an invocation that is killed at a deadline.
func limitsOf(deadline time.Time, skew, minTime time.Duration) limit {
	deadline = deadline.Round(0)
	work := deadline.Add(-2 * skew)
	return limit{deadline: deadline, work: work, begin: work.Add(-minTime)}
}

// now is the time by the clock of leases, without a monotonic reading: that stands still while
// Lambda suspends the function.
func (f *Function[R]) now() time.Time { return f.cfg.Guard.Now().Round(0) }
