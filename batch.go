package sqsonce

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/consumer"
)

// NewBatch is [New] for work on several messages at a time; see [consumer.Batch]. Each
// message has its own claim and its own outcome. The Lease of batch is that of c.Guard, and
// its Size must not exceed the slots of c.Pool. A HandlerTimeout of c.Pool must be longer than its
// Wait, or messages would time out before their batch begins.
//
// The attempt of a message is that of its [consumer.Message.Context].
func NewBatch[R any](
	cfg aws.Config, c Config, batch consumer.BatchConfig,
	work func(ctx context.Context, batch []Message) (results []R, failed []error, err error),
) (*Worker[R], error) {
	batch.Lease = c.Guard.WithDefaults().Lease
	batch = batch.WithDefaults()
	batched, bad := consumer.Batch(work, batch)
	if bad != nil {
		batched = func(context.Context, Message) (r R, err error) { return r, nil } // the rest is looked at, too
	}
	w, err := New(cfg, c, batched)
	if limit := c.Pool.HandlerTimeout; err == nil && limit > 0 && limit <= batch.Wait {
		err = fmt.Errorf("sqsonce: Wait %s: must be shorter than Pool.HandlerTimeout %s", batch.Wait, limit)
	}
	if err == nil && batch.Size > w.Pool.Stats().Slots {
		err = fmt.Errorf("sqsonce: Size %d: must not exceed Pool.Concurrency %d, since each message of a batch takes a slot",
			batch.Size, w.Pool.Stats().Slots)
	}
	if err := errors.Join(bad, err); err != nil {
		return nil, err
	}
	return w, nil
}
