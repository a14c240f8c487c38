package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
)

// endless is a queue that always has ten messages and accepts every call. The embedded methods are
// never called.
type endless struct {
	consumer.Queue
	calls, received atomic.Int64
}

func (e *endless) GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return &sqs.GetQueueAttributesOutput{}, nil
}

func (e *endless) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	e.calls.Add(1)
	out := &sqs.ReceiveMessageOutput{}
	for range in.MaxNumberOfMessages {
		id := fmt.Sprint(e.received.Add(1))
		out.Messages = append(out.Messages, types.Message{MessageId: &id, ReceiptHandle: &id, Body: aws.String("{}")})
	}
	return out, nil
}

func (e *endless) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	e.calls.Add(1)
	out := &sqs.DeleteMessageBatchOutput{}
	for _, entry := range in.Entries {
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: entry.Id})
	}
	return out, nil
}

func (e *endless) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	for _, entry := range in.Entries {
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: entry.Id})
	}
	return out, nil
}

// BenchmarkRun measures the pool's overhead per message, without the SDK and the handler.
func BenchmarkRun(b *testing.B) {
	queue := &endless{}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var handled atomic.Int64
	enough := int64(b.N)
	pool, err := consumer.New(queue, func(context.Context, consumer.Message) error {
		if handled.Add(1) == enough {
			stop()
		}
		return nil
	}, consumer.Config{QueueURL: "http://127.0.0.1:1/0/work", Concurrency: 100, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := pool.Run(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(queue.calls.Load())/float64(handled.Load()), "calls/op")
}
