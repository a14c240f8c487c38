package consumer

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/attributes"
)

// Message is one delivery of an SQS message.
type Message struct {
	ID             string    // SQS message id
	Body           string    // as sent
	ReceiptHandle  string    // of this delivery
	ReceiveCount   int       // deliveries so far, this one included; at least 1
	LastReceive    bool      // SQS would move the message to its dead-letter queue instead of delivering it again
	SentAt         time.Time // when the producer sent it
	FirstReceived  time.Time // when it was first delivered
	SenderID       string    // IAM principal, or address, of the producer, as SQS gives it
	GroupID        string    // message group; FIFO and fair queues
	DedupID        string    // deduplication id; FIFO queues
	SequenceNumber string    // FIFO queues
	TraceHeader    string    // AWSTraceHeader
	QueueURL       string    // queue it came from

	Attributes map[string]types.MessageAttributeValue // message attributes

	delivery *delivery       // nil: not from a running consumer
	ctx      context.Context // of the call of a batch; nil: not in one
}

// Context returns the context of one message of a [Batch]: it has the values of the call
// that waits for the message, such as the attempt, and ends with the batch. Outside of a
// batch it is [context.Background].
func (m Message) Context() context.Context {
	if m.ctx == nil {
		return context.Background()
	}
	return m.ctx
}

// within is the message with a context of its own.
func (m Message) within(ctx context.Context) Message {
	m.ctx = ctx
	return m
}

// Attribute returns a string (or number) message attribute and whether it is there.
func (m Message) Attribute(name string) (string, bool) {
	v, ok := m.Attributes[name]
	if !ok || v.StringValue == nil {
		return "", false
	}
	return *v.StringValue, true
}

// SetName gives the message a name that only its handler can find out, for logs, its
// dead-letter copy and [Consumer.Flights]. It replaces that of [Config.Name].
func (m Message) SetName(name string) {
	if m.delivery != nil {
		m.delivery.given.Store(&name)
	}
}

// Delete deletes the message from its queue before the handler has returned, and waits for
// SQS's answer. What the handler returns is then logged and reported to the hooks, and has no other
// effect: the message cannot come back. On a FIFO queue the next message of its group may
// be delivered, to another worker too, while this handler is at work.
func (m Message) Delete(ctx context.Context) error {
	if m.delivery == nil {
		return errNoReceipt
	}
	return m.delivery.deleteEarly(ctx)
}

// Extend hides the message from others for d from now, whatever becomes of this worker,
// and waits for SQS's answer. d is rounded up to seconds; it ends with the 12 hours that
// SQS allows since the receive. The heartbeat keeps the message hidden without this: it is
// for work that goes on elsewhere when this worker has crashed.
func (m Message) Extend(ctx context.Context, d time.Duration) error {
	if m.delivery == nil {
		return errNoReceipt
	}
	return m.delivery.extendTo(ctx, d)
}

// Handler works on one message. A nil error means that the message is done and is deleted.
// Any other error is judged by [Decide]. A panic, and the end of the goroutine by
// [runtime.Goexit], are errors.
//
// The context is cancelled when the worker is told to stop and its drain time is over, and
// after [Config.HandlerTimeout]. The consumer keeps the message invisible until Handler
// returns, however long it takes, up to the 12 hours SQS allows.
type Handler func(ctx context.Context, m Message) error

// Names of the message attributes that this project puts on messages. A message that
// carries [AttrReason] has been dead-lettered by a worker.
const (
	AttrName   = attributes.Name
	AttrReason = attributes.Reason
	AttrError  = attributes.Error
)
