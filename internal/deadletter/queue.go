package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/redrive"
	"github.com/sqsonce/sqsonce/names"
)

// callTime bounds one call to SQS.
const callTime = 10 * time.Second

// ErrNoQueue is wrapped when no dead-letter queue is known.
var ErrNoQueue = errors.New("no dead-letter queue is known: the queue has no redrive policy, and none was given")

// Client is the part of the SQS API that this package uses. *[sqs.Client] implements it.
type Client interface {
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	PurgeQueue(context.Context, *sqs.PurgeQueueInput, ...func(*sqs.Options)) (*sqs.PurgeQueueOutput, error)
}

var _ Client = (*sqs.Client)(nil)

// Records gives access to the records of names. *[dedupe.Operator] implements it.
type Records interface {
	// Lookup returns the record of name. The error wraps [dedupe.ErrNoRecord] if there is no live
	// one.
	Lookup(ctx context.Context, name string) (protocol.Record, error)
	// Reopen lets a rejected or unknown name run again.
	Reopen(ctx context.Context, name string) (protocol.Record, error)
}

var _ Records = (*dedupe.Operator)(nil)

// Config configures a [Queue]. All fields except URL, Payloads, Skew and Logger are required.
type Config struct {
	SQS      Client
	QueueURL string // the queue that gets redriven letters
	URL      string // the dead-letter queue; default: the target of QueueURL's redrive policy, read when first needed
	Keys     *names.Extractor
	Records  Records
	Payloads Payloads      // fetches payloads in S3, which may contain names; nil if there are none
	Skew     time.Duration // as in the workers' [dedupe.Config]; default 2s
	Logger   *slog.Logger  // default [slog.Default]
}

// Queue is a dead-letter queue. Create it with [New]. It is safe for concurrent use, starts no
// goroutine of its own between calls, and needs no Close.
type Queue struct {
	cfg Config

	mu        sync.Mutex
	url       string               // guarded by mu; empty until known
	snapshots map[string]*snapshot // guarded by mu; by ID
}

// New returns a dead-letter queue. Its error names the first missing field. New makes no call.
func New(cfg Config) (*Queue, error) {
	cfg.Skew = cmp.Or(cfg.Skew, dedupe.Config{}.WithDefaults().Skew)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	switch {
	case cfg.SQS == nil:
		return nil, errors.New("deadletter: SQS: must be set")
	case cfg.QueueURL == "":
		return nil, errors.New("deadletter: QueueURL: must be set")
	case cfg.Keys == nil:
		return nil, errors.New("deadletter: Keys: must be set")
	case cfg.Records == nil:
		return nil, errors.New("deadletter: Records: must be set")
	}
	return &Queue{cfg: cfg, url: cfg.URL, snapshots: make(map[string]*snapshot)}, nil
}

// URL returns the URL of the dead-letter queue. The error wraps [ErrNoQueue] or an error of the
// SDK.
func (q *Queue) URL(ctx context.Context) (string, error) {
	q.mu.Lock()
	known := q.url
	q.mu.Unlock()
	if known != "" {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	policy, err := redrive.Read(ctx, q.cfg.SQS, q.cfg.QueueURL)
	if err != nil {
		return "", err
	}
	found, err := policy.TargetURL(ctx, q.cfg.SQS)
	if err != nil {
		return "", err
	}
	if found == "" {
		return "", ErrNoQueue
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.url = found
	return found, nil
}

// Depth is the number of letters in the queue. SQS's counts are approximate.
type Depth struct {
	Visible, Hidden int
	Counted         bool // the queue itself has a redrive policy, so receives count
}

// Depth reads the number of letters from SQS.
func (q *Queue) Depth(ctx context.Context) (d Depth, err error) {
	url, err := q.URL(ctx)
	if err != nil {
		return d, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := q.cfg.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameRedrivePolicy,
	}})
	if err != nil {
		return d, fmt.Errorf("read the attributes of %s: %w", url, err)
	}
	for name, to := range map[types.QueueAttributeName]*int{
		types.QueueAttributeNameApproximateNumberOfMessages: &d.Visible, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible: &d.Hidden,
	} {
		if *to, err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			return d, fmt.Errorf("attribute %s of %s: %w", name, url, err)
		}
	}
	d.Counted = out.Attributes[string(types.QueueAttributeNameRedrivePolicy)] != ""
	return d, nil
}

// Purge deletes every letter and returns their approximate number. SQS takes up to a minute, and
// allows one purge per minute. For a second one the error wraps *[types.PurgeQueueInProgress].
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_PurgeQueue.html
func (q *Queue) Purge(ctx context.Context) (about int, err error) {
	depth, err := q.Depth(ctx)
	if err != nil {
		return 0, err
	}
	url, err := q.URL(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if _, err := q.cfg.SQS.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &url}); err != nil {
		return 0, fmt.Errorf("purge %s: %w", url, err)
	}
	return depth.Visible + depth.Hidden, nil
}

// fifo reports whether the URL is that of a FIFO queue.
func fifo(url string) bool { return strings.HasSuffix(url, ".fifo") }
