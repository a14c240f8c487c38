package sqsoncelambda

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/names"
)

// Defaults of [Config].
const (
	defaultConcurrency = 10
	defaultMinTime     = time.Second
	defaultBackoff     = 10 * time.Second
	defaultMaxBackoff  = 15 * time.Minute
)

const (
	callTimeout = 3 * time.Second // of a call to SQS
	policyAge   = 5 * time.Minute // a redrive policy is read again
	minSkew     = time.Second     // below it there is no time to record an outcome
	maxHold     = 12 * time.Hour  // of a visibility timeout
)

// Queue is the calls of a function to SQS. A *[sqs.Client] is one.
type Queue interface {
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

var _ Queue = (*sqs.Client)(nil)

// Config says how a [Function] works. Table is required; the zero value of every other field means
// its default.
type Config struct {
	// Table is the DynamoDB table that holds one record per name; see [sqsonce.CreateTable]. Not
	// used if Store is set.
	Table string

	// TTLAttribute is the attribute with the expiry of records, see
	// the Config of package dynamo. Not used if Store is set.
	TTLAttribute string

	// Names says where the name of a message is, and which part of the body is compared when a name
	// comes again. Default: that of a worker, see [sqsonce.Config]. Not used if Namer is set.
	Names names.Config

	// Namer names messages. Default: the [names.Extractor] of Names.
	Namer sqsonce.Namer

	// Guard is about leases, attempts and results. Scope defaults to the name of the queue, as in a
	// worker. Skew is at least 1s. Settle must be less than twice Skew; default three quarters of
	// that.
	Guard dedupe.Config

	// DLQURL is the dead-letter queue for copies with a reason. Default: the target of the queue's
	// redrive policy. Where there is neither, a message that would be copied is reported as a
	// failure, which is logged as an error.
	DLQURL string

	// Concurrency bounds the messages of an event that are handled at a time. Default 10, which is
	// also the default batch size of an event source mapping; at least 1.
	Concurrency int

	// MinTime is the least time that work must have before its context ends. A message for which
	// less is left is not begun, and visible again at once. Default 1s; must be positive.
	MinTime time.Duration

	// Backoff is the base of the delay after a failure: a random time up to Backoff, doubled with
	// each receive, up to MaxBackoff. Default 10s; at least 1s.
	Backoff time.Duration

	// MaxBackoff bounds the delay after a failure that does not name its own. Default 15m; from
	// Backoff to 12h.
	MaxBackoff time.Duration

	// Payloads fetches the payloads of messages that are pointers, as in [sqsonce.Config].
	Payloads sqsonce.Payloads

	// Ignored is called for each message that Names says is no work, as in [sqsonce.Config].
	Ignored func(m sqsonce.Message, why string)

	// Earlier knows work that was done before, as in [sqsonce.Config].
	Earlier sqsonce.Earlier

	// Queue replaces the client of SQS. Default: one made from the aws.Config.
	Queue Queue

	// Store replaces the table, for tests (see package memstore).
	Store dedupe.Store
}

// withDefaults returns c with the defaults filled in, except those that need AWS.
func (c Config) withDefaults() Config {
	guarding := c.Guard.WithDefaults()
	c.Guard.Skew = guarding.Skew
	c.Guard.Settle = cmp.Or(c.Guard.Settle, guarding.Skew*3/2)
	c.Guard.Logger = cmp.Or(c.Guard.Logger, slog.Default())
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	c.MinTime = cmp.Or(c.MinTime, defaultMinTime)
	c.Backoff = cmp.Or(c.Backoff, defaultBackoff)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, max(defaultMaxBackoff, c.Backoff))
	return c
}

// validate reports everything that is wrong with c, defaults filled in.
func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Guard.Skew < minSkew {
		bad("Guard.Skew %s: must be at least %s", c.Guard.Skew, minSkew)
	}
	if c.Guard.Settle >= 2*c.Guard.Skew {
		bad("Guard.Settle %s: must be less than twice Guard.Skew %s", c.Guard.Settle, c.Guard.Skew)
	}
	if c.Concurrency < 1 {
		bad("Concurrency %d: must be at least 1", c.Concurrency)
	}
	if c.MinTime <= 0 {
		bad("MinTime %s: must be positive", c.MinTime)
	}
	if c.Backoff < time.Second {
		bad("Backoff %s: must be at least %s", c.Backoff, time.Second)
	}
	if c.MaxBackoff < c.Backoff || c.MaxBackoff > maxHold {
		bad("MaxBackoff %s: must be between Backoff %s and %s", c.MaxBackoff, c.Backoff, maxHold)
	}
	return errors.Join(errs...)
}
