package sqsoncelambda

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/redrive"
)

// queue is a queue of a function, as far as it is known.
type queue struct {
	arn    string
	fifo   bool
	handle consumer.Handler

	mu          sync.Mutex
	url, dlqURL string    // guarded by mu; empty: not known
	maxReceives int       // guarded by mu; 0: no redrive policy is known
	read        time.Time // guarded by mu; when they were read, by the clock of leases
}

// queueName returns the last part of a queue's ARN.
func queueName(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }

// queue returns a queue, which is read again after a while: its redrive policy changes with a
// deployment.
func (f *Function[R]) queue(ctx context.Context, arn string) (*queue, error) {
	q, err := f.queueOf(arn)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if age := f.now().Sub(q.read); !q.read.IsZero() && age >= 0 && age < policyAge {
		return q, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if q.url, err = (redrive.Policy{TargetARN: arn}).TargetURL(ctx, f.cfg.Queue); err == nil {
		err = q.readPolicy(ctx, f.cfg)
	}
	if err != nil {
		f.cfg.Guard.Logger.Error("the queue's redrive policy cannot be read: last receives are not recognised", "queue", arn, "error", err)
		return q, nil
	}
	q.read = f.now()
	return q, nil
}

// readPolicy asks for the redrive policy. The caller holds mu.
func (q *queue) readPolicy(ctx context.Context, c Config) error {
	policy, err := redrive.Read(ctx, c.Queue, q.url)
	if err != nil {
		return err
	}
	dlqURL := c.DLQURL
	if dlqURL == "" {
		if dlqURL, err = policy.TargetURL(ctx, c.Queue); err != nil {
			return err
		}
	}
	q.maxReceives, q.dlqURL = policy.MaxReceives, dlqURL
	return nil
}

// queueOf returns the queue with an ARN, as far as is known without a call.
func (f *Function[R]) queueOf(arn string) (*queue, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q := f.queues[arn]; q != nil {
		return q, nil
	}
	guarding := f.cfg.Guard
	guarding.Scope = cmp.Or(guarding.Scope, queueName(arn))
	guard, err := dedupe.New[R](f.store, guarding)
	if err != nil {
		return nil, err
	}
	naming := sqsonce.Naming{Namer: f.cfg.Namer, Payloads: f.cfg.Payloads, Ignored: f.cfg.Ignored, Earlier: f.cfg.Earlier}
	q := &queue{
		arn: arn, fifo: strings.HasSuffix(arn, ".fifo"), dlqURL: f.cfg.DLQURL,
		handle: sqsonce.HandlerBy(guard, naming, f.work),
	}
	f.queues[arn] = q
	return q, nil
}

// message is a record of an event as a worker receives it.
func (q *queue) message(r events.SQSMessage) sqsonce.Message {
	from := types.Message{
		MessageId: &r.MessageId, ReceiptHandle: &r.ReceiptHandle, Body: &r.Body, Attributes: r.Attributes,
		MessageAttributes: make(map[string]types.MessageAttributeValue, len(r.MessageAttributes)),
	}
	for name, a := range r.MessageAttributes {
		v := types.MessageAttributeValue{DataType: aws.String(a.DataType), StringValue: a.StringValue}
		if a.StringValue == nil {
			v.BinaryValue = a.BinaryValue
		}
		from.MessageAttributes[name] = v
	}
	var m sqsonce.Message
	m.Read(from)
	q.mu.Lock()
	defer q.mu.Unlock()
	m.QueueURL = q.url
	m.LastReceive = q.maxReceives > 0 && m.ReceiveCount >= q.maxReceives
	return m
}
