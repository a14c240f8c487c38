// Package schedule has messages sent later than SQS itself delays them: by one-time
// schedules of EventBridge Scheduler, or by timers of this process.
package schedule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Errors of a [Scheduler].
var (
	ErrExists = errors.New("schedule: there is a schedule of this name")
	ErrNone   = errors.New("schedule: there is no schedule of this name")
)

// Scheduler keeps schedules. It is safe for concurrent use.
type Scheduler interface {
	// Create keeps a schedule and returns when it is due, which is no earlier than s.At. The
	// error wraps [ErrExists] when there is one of that name.
	Create(ctx context.Context, name string, s Schedule) (at time.Time, err error)
	// Get returns a schedule that is not done; the error wraps [ErrNone] when there is none.
	Get(ctx context.Context, name string) (Schedule, error)
	// Delete removes a schedule; the error wraps [ErrNone] when there is none.
	Delete(ctx context.Context, name string) error
}

// Schedule is a message and when it is sent.
type Schedule struct {
	At      time.Time
	Message Message
}

// Message is a message as SendMessage takes it. Its JSON is the input of the universal target
// sqs:sendMessage: the parameters of that operation.
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
type Message struct {
	QueueURL         string               `json:"QueueUrl"`
	Body             string               `json:"MessageBody"`
	Attributes       map[string]Attribute `json:"MessageAttributes,omitempty"`
	SystemAttributes map[string]Attribute `json:"MessageSystemAttributes,omitempty"`
	GroupID          string               `json:"MessageGroupId,omitempty"`
	DeduplicationID  string               `json:"MessageDeduplicationId,omitempty"`
}

// Attribute is a message attribute of text.
type Attribute struct{ DataType, StringValue string }

// maxInput bounds the input of a schedule's target, in bytes. The API reference gives it no upper
// bound (https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Target.html); this is the
// largest payload of EventBridge's own events, so that a message is refused here, by its size.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
const maxInput = 256 << 10

// keyword begins what EventBridge Scheduler replaces in an input.
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
const keyword = "<aws.scheduler."

// Check says why a message cannot be scheduled: an error that wraps [ErrTooLarge] or
// [ErrKeyword].
func (m Message) Check() error {
	input, err := m.input()
	switch {
	case err != nil:
		return err
	case len(input) > maxInput:
		return fmt.Errorf("%w: %d bytes as the input of a schedule, more than %d", ErrTooLarge, len(input), maxInput)
	case strings.Contains(m.Body, keyword):
		return fmt.Errorf("%w: %q, which EventBridge Scheduler replaces", ErrKeyword, keyword)
	}
	return nil
}

// Errors of [Message.Check].
var (
	ErrTooLarge = errors.New("schedule: the message is too large")
	ErrKeyword  = errors.New("schedule: the body holds a keyword")
)

// input is the input of the universal target.
func (m Message) input() (string, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("schedule: %w", err)
	}
	return string(b), nil
}

// Send sends the message at once.
func (m Message) Send(ctx context.Context, client *sqs.Client) error {
	in := &sqs.SendMessageInput{QueueUrl: &m.QueueURL, MessageBody: &m.Body, MessageAttributes: make(map[string]sqstypes.MessageAttributeValue)}
	for name, a := range m.Attributes {
		in.MessageAttributes[name] = sqstypes.MessageAttributeValue{DataType: aws.String(a.DataType), StringValue: aws.String(a.StringValue)}
	}
	if len(m.SystemAttributes) > 0 {
		in.MessageSystemAttributes = make(map[string]sqstypes.MessageSystemAttributeValue)
	}
	for name, a := range m.SystemAttributes {
		in.MessageSystemAttributes[name] = sqstypes.MessageSystemAttributeValue{DataType: aws.String(a.DataType), StringValue: aws.String(a.StringValue)}
	}
	if m.GroupID != "" {
		in.MessageGroupId = &m.GroupID
	}
	if m.DeduplicationID != "" {
		in.MessageDeduplicationId = &m.DeduplicationID
	}
	if _, err := client.SendMessage(ctx, in); err != nil {
		return fmt.Errorf("schedule: send: %w", err)
	}
	return nil
}

const (
	longestName = 64
	hashLength  = 40 // hexadecimal digits: 160 bits
)

// Name is the name of the schedule of a message: what of the message's name a schedule's may
// hold, for a reader, and a hash of scope and name, so that two messages of one name are one
// schedule. https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
func Name(scope, name string) string {
	sum := sha256.Sum256([]byte(protocol.RecordID(scope, name)))
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-', r == '_', r == '.':
			return r
		default:
			return '-'
		}
	}, name)
	return plain[:min(len(plain), longestName-hashLength-1)] + "-" + hex.EncodeToString(sum[:hashLength/2])
}
