package deadletter

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"
)

const (
	batchSize = 10 // entries of one call
	atATime   = 10 // calls at a time

	// holdFor is the visibility timeout of received letters. A longer scan receives letters again
	// and skips them.
	holdFor = 120 * time.Second
)

// scan receives letters and passes each to each once, in batches. It ends when each returns false,
// when a round of receives brings no new letter, or when ctx ends. complete reports that a round
// brought no letter at all, so that none was visible.
//
// The passed letters stay invisible until they are deleted, released, or holdFor has passed.
func (q *Queue) scan(ctx context.Context, url string, each func([]types.Message) (bool, error)) (complete bool, err error) {
	seen := make(map[string]bool)
	width := 1
	for {
		got, err := q.round(ctx, url, width)
		fresh := slices.DeleteFunc(slices.Clone(got), func(m types.Message) bool {
			id := aws.ToString(m.MessageId)
			again := seen[id]
			seen[id] = true
			return again
		})
		if len(fresh) > 0 {
			more, failed := each(fresh) // even after an error, because they are hidden
			if failed != nil || err == nil && !more {
				return false, failed
			}
		}
		if err != nil || len(fresh) == 0 {
			return err == nil && len(got) == 0, err
		}
		if len(got) == width*batchSize && !fifo(url) { // one at a time on FIFO queues, to keep the order
			width = min(2*width, atATime)
		}
	}
}

// round makes n receives at a time. With an error it still returns the messages of the other
// receives.
func (q *Queue) round(ctx context.Context, url string, n int) ([]types.Message, error) {
	found := make([][]types.Message, n)
	var group errgroup.Group
	for i := range n {
		group.Go(func() error {
			call, cancel := context.WithTimeout(ctx, callTime)
			defer cancel()
			out, err := q.cfg.SQS.ReceiveMessage(call, &sqs.ReceiveMessageInput{
				QueueUrl: &url, MaxNumberOfMessages: batchSize, VisibilityTimeout: int32(holdFor / time.Second),
				// A short poll asks only some of SQS's servers.
				// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
				WaitTimeSeconds:             1,
				MessageAttributeNames:       []string{"All"},
				MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
			})
			if err != nil {
				return fmt.Errorf("receive from %s: %w", url, err)
			}
			found[i] = out.Messages
			return nil
		})
	}
	err := group.Wait()
	return slices.Concat(found...), err
}

// release makes letters visible, even if ctx has ended. It returns the number of failures: these
// letters become visible after holdFor.
func (q *Queue) release(ctx context.Context, url string, held []types.Message) (hidden int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(callTime, time.Duration(len(held))*time.Millisecond))
	defer cancel()
	var failed atomic.Int64
	var group errgroup.Group
	group.SetLimit(atATime)
	for batch := range slices.Chunk(held, batchSize) {
		group.Go(func() error {
			in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
			for i, m := range batch {
				in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
					Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
				})
			}
			out, err := q.cfg.SQS.ChangeMessageVisibilityBatch(ctx, in)
			if err != nil {
				q.cfg.Logger.WarnContext(ctx, "dead letters stay hidden for a while", "queue", url, "messages", len(batch), "for", holdFor, "error", err)
				failed.Add(int64(len(batch)))
				return nil
			}
			failed.Add(int64(len(out.Failed)))
			return nil
		})
	}
	_ = group.Wait() // always nil
	return int(failed.Load())
}
