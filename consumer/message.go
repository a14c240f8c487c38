package consumer

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/attributes"
)

// Message is one delivery of an SQS message.
type Message struct {
	ID             string    // SQS message ID
	Body           string    // as sent
	ReceiptHandle  string    // of this delivery
	ReceiveCount   int       // deliveries so far, including this one; at least 1
	LastReceive    bool      // SQS would move the message to its dead-letter queue instead of delivering it again
	SentAt         time.Time // when the producer sent it
	FirstReceived  time.Time // when it was first delivered
	SenderID       string    // IAM principal or address of the producer, as given by SQS
	GroupID        string    // message group, on FIFO and fair queues
	DedupID        string    // deduplication ID, on FIFO queues
	SequenceNumber string    // on FIFO queues
	TraceHeader    string    // AWSTraceHeader
	QueueURL       string    // URL of the queue it came from

	Attributes map[string]types.MessageAttributeValue // message attributes

	delivery *delivery       // nil if not from a running consumer
	ctx      context.Context // context of the message's call in a batch; nil outside a batch
}

// Context returns the context of one message of a [Batch]. It has the values of the call that waits
// for the message, such as the attempt, and ends with the batch. Outside a batch it is
// [context.Background].
func (m Message) Context() context.Context {
	if m.ctx == nil {
		return context.Background()
	}
	return m.ctx
}

// within returns the message with a context of its own.
func (m Message) within(ctx context.Context) Message {
	m.ctx = ctx
	return m
}

// Attribute returns a message attribute of type String or Number. It returns false if there is
// none.
func (m Message) Attribute(name string) (string, bool) {
	v, ok := m.Attributes[name]
	if !ok || v.StringValue == nil {
		return "", false
	}
	return *v.StringValue, true
}

// SetName sets the message's name for logs, its dead-letter copy and [Consumer.Flights], if only
// the handler can find it out. It replaces the name from [Config].Name.
func (m Message) SetName(name string) {
	if m.delivery != nil {
		m.delivery.given.Store(&name)
	}
}

// Delete deletes the message from its queue before the handler has returned, and waits for SQS's
// answer. After that the handler's error is only logged and reported to the hooks, because the
// message cannot come back. On a FIFO queue the next message of the group may be delivered, also to
// another worker, while this handler still runs. Delete returns an error if m is not from a running
// consumer, or if SQS has not deleted it.
func (m Message) Delete(ctx context.Context) error {
	if m.delivery == nil {
		return errNoReceipt
	}
	return m.delivery.deleteEarly(ctx)
}

// Extend hides the message from other receivers for d from now, even if this worker ends, and waits
// for SQS's answer. It returns SQS's error, or an error if d is not positive. d is rounded up to
// seconds and is cut to the 12 hours after the receive that SQS allows. A running handler needs no
// Extend, because of the heartbeat. Extend is for work that continues elsewhere after a crash of
// this worker.
func (m Message) Extend(ctx context.Context, d time.Duration) error {
	if m.delivery == nil {
		return errNoReceipt
	}
	return m.delivery.extendTo(ctx, d)
}

// Handler handles one message. If it returns nil, the message is deleted. Any other error is judged
// by [Decide]. A panic, and the end of the goroutine by [runtime.Goexit], count as errors.
//
// The context is cancelled at the end of the drain of a stop, and after [Config].HandlerTimeout.
// The consumer keeps the message invisible until Handler returns, up to the 12 hours that SQS
// allows.
type Handler func(ctx context.Context, m Message) error

// Names of the message attributes that this project sets. A message with [AttrReason] was
// dead-lettered by a worker.
const (
	AttrName   = attributes.Name
	AttrReason = attributes.Reason
	AttrError  = attributes.Error
)
