package sqsoncelambda

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/deadcopy"
)

// batchSize is how many entries a batch call of SQS takes.
const batchSize = 10

// changeCalls is how many calls that change visibility timeouts are out at a time.
const changeCalls = 8

// deadLetter copies a message to the dead-letter queue, with the attributes that a worker sets, and
// reports whether the copy stands there.
func (v *invocation) deadLetter(ctx context.Context, j job, d consumer.Disposition) bool {
	j.queue.mu.Lock()
	dlq := j.queue.dlqURL
	j.queue.mu.Unlock()
	attributes, fits := deadcopy.Attributes(j.Attributes, len(j.Body), deadcopy.Details{
		Reason: d.Reason, Err: d.Err, Name: j.name, OriginalID: j.ID, Attempts: d.Attempts,
	})
	err := errors.New("no dead-letter queue is known")
	switch {
	case dlq == "":
	case !fits:
		err = errors.New("no room for an attribute")
	default:
		err = v.send(ctx, dlq, j, attributes)
	}
	log := v.log.With("name", j.name, "message_id", j.ID, "receive", j.ReceiveCount, "reason", d.Reason)
	if err != nil {
		log.Error("message cannot be dead-lettered; it stays in the queue", "queue", dlq, "error", err)
		return false
	}
	log.Info("dead-lettered", "error", d.Err)
	return true
}

// send sends a dead-letter copy. The work's time may be over; that of the invocation is not.
func (v *invocation) send(ctx context.Context, dlq string, j job, attributes map[string]types.MessageAttributeValue) error {
	in := &sqs.SendMessageInput{QueueUrl: &dlq, MessageBody: &j.Body, MessageAttributes: attributes}
	if j.GroupID != "" {
		in.MessageGroupId = &j.GroupID
	}
	if strings.HasSuffix(dlq, ".fifo") {
		in.MessageDeduplicationId = &j.ID // a copy sent twice is one
	}
	if j.TraceHeader != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &j.TraceHeader},
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_, err := v.cfg.Queue.SendMessage(ctx, in)
	return err
}

// release tells SQS when the messages that stay are visible again. Followers go first: until then
// the head of a FIFO group is in flight, so that none of them can be received before it.
func (v *invocation) release(ctx context.Context) {
	for _, followers := range []bool{true, false} {
		var calls [][]int
		last := make(map[*queue]int) // of a call that is not full
		for i, e := range v.ends {
			if !e.changes || e.follower != followers {
				continue
			}
			q := v.jobs[i].queue
			at, ok := last[q]
			if !ok || len(calls[at]) == batchSize {
				at = len(calls)
				last[q] = at
				calls = append(calls, nil)
			}
			calls[at] = append(calls[at], i)
		}
		slots := make(chan struct{}, changeCalls)
		var running sync.WaitGroup
		for _, call := range calls {
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				v.change(ctx, call)
			})
		}
		running.Wait()
	}
}

// change makes one ChangeMessageVisibilityBatch call, for messages of one queue. Where it fails,
// a message is visible again when its visibility timeout ends.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
func (v *invocation) change(ctx context.Context, jobs []int) {
	q := v.jobs[jobs[0]].queue
	q.mu.Lock()
	url := q.url
	q.mu.Unlock()
	if url == "" {
		return // told when the queue could not be read
	}
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
	for at, i := range jobs {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(at)), ReceiptHandle: &v.jobs[i].ReceiptHandle,
			VisibilityTimeout: v.untilVisible(v.ends[i].visible),
		})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	out, err := v.cfg.Queue.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		v.log.Warn("messages are left to their visibility timeout", "queue", url, "messages", len(jobs), "error", err)
		return
	}
	for _, f := range out.Failed {
		id := aws.ToString(f.Id)
		if at := slices.IndexFunc(in.Entries, func(e types.ChangeMessageVisibilityBatchRequestEntry) bool { return *e.Id == id }); at >= 0 {
			v.log.Warn("message is left to its visibility timeout", "message_id", v.jobs[jobs[at]].ID,
				"code", aws.ToString(f.Code), "error", aws.ToString(f.Message))
		}
	}
}

// untilVisible returns a visibility timeout in seconds, rounded up. SQS allows 12 hours from the
// receive; some of them are over.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
func (v *invocation) untilVisible(at time.Time) int32 {
	left := min(at.Sub(v.now()), maxHold-15*time.Minute)
	return int32((max(0, left) + time.Second - 1) / time.Second)
}
