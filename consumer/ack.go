package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/batch"
)

// acks are the batched calls that end messages or keep them.
type acks struct {
	deletes *batch.Batcher[string, struct{}] // of receipt handles
	changes *batch.Batcher[change, struct{}]
}

// change is a new visibility timeout for a receipt.
type change struct {
	receipt    string
	visibility time.Duration
}

type answer = batch.Answer[struct{}]

func (a *acks) init(c *Consumer) {
	a.deletes = batch.New(batch.Config[string, struct{}]{Max: batchSize, Send: c.sendDeletes})
	a.changes = batch.New(batch.Config[change, struct{}]{Max: batchSize, Send: c.sendChanges})
}

func (a *acks) close() {
	a.deletes.Close()
	a.changes.Close()
}

// entryError is the failure of one entry of a batch.
type entryError struct{ code, message string }

func (e *entryError) Error() string { return fmt.Sprintf("%s: %s", e.code, e.message) }

// isReceiptLost reports whether SQS says that the receipt is not good any
// more: the message was deleted, became visible, or was received again. It goes
// by code, because a throttled entry is the sender's fault to SQS as well.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
func isReceiptLost(err error) bool {
	e, ok := errors.AsType[*entryError](err)
	if !ok {
		return false
	}
	switch strings.TrimPrefix(e.code, "AWS.SimpleQueueService.") {
	case "ReceiptHandleIsInvalid", "MessageNotInflight",
		"InvalidParameterValue": // what an expired handle of a FIFO queue is called
		return true
	}
	return false
}

// sendDeletes makes one DeleteMessageBatch call.
func (c *Consumer) sendDeletes(receipts []string) []answer {
	ctx, cancel := context.WithTimeout(c.calls, callDeadline)
	defer cancel()
	entries := make([]types.DeleteMessageBatchRequestEntry, len(receipts))
	for i := range receipts {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: position(i), ReceiptHandle: &receipts[i]}
	}
	start := time.Now()
	out, err := c.queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &c.cfg.QueueURL, Entries: entries})
	if err != nil {
		return allFailed(len(receipts), err)
	}
	done := make([]string, len(out.Successful))
	for i, s := range out.Successful {
		done[i] = aws.ToString(s.Id)
	}
	return c.answers("DeleteMessageBatch", start, len(receipts), done, out.Failed)
}

// sendChanges makes one ChangeMessageVisibilityBatch call.
func (c *Consumer) sendChanges(changes []change) []answer {
	ctx, cancel := context.WithTimeout(c.calls, callDeadline)
	defer cancel()
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(changes))
	for i := range changes {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: position(i), ReceiptHandle: &changes[i].receipt, VisibilityTimeout: seconds(changes[i].visibility),
		}
	}
	start := time.Now()
	out, err := c.queue.ChangeMessageVisibilityBatch(ctx,
		&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &c.cfg.QueueURL, Entries: entries})
	if err != nil {
		return allFailed(len(changes), err)
	}
	done := make([]string, len(out.Successful))
	for i, s := range out.Successful {
		done[i] = aws.ToString(s.Id)
	}
	return c.answers("ChangeMessageVisibilityBatch", start, len(changes), done, out.Failed)
}

// position is the entry id of the i-th entry of a batch.
func position(i int) *string { return aws.String(strconv.Itoa(i)) }

// answers sorts the outcome of a batch call by entry. An entry that the call
// does not mention has failed too.
func (c *Consumer) answers(
	operation string, start time.Time, n int, done []string, failed []types.BatchResultErrorEntry,
) []answer {
	result := allFailed(n, batch.ErrNoAnswer)
	for _, id := range done {
		if i, err := strconv.Atoi(id); err == nil && i >= 0 && i < n {
			result[i].Err = nil
		}
	}
	for _, f := range failed {
		if i, err := strconv.Atoi(aws.ToString(f.Id)); err == nil && i >= 0 && i < n {
			result[i].Err = &entryError{aws.ToString(f.Code), aws.ToString(f.Message)}
		}
	}
	if c.cfg.Hooks.Answered != nil {
		c.cfg.Hooks.Answered(operation, n, n-succeeded(result), time.Since(start))
	}
	return result
}

func succeeded(answers []answer) int {
	n := 0
	for _, a := range answers {
		if a.Err == nil {
			n++
		}
	}
	return n
}

func allFailed(n int, err error) []answer {
	result := make([]answer, n)
	for i := range result {
		result[i].Err = err
	}
	return result
}

// end carries out the decision about a message and waits for SQS's answer. It
// reports whether the message has left the queue, as far as can be known.
func (c *Consumer) end(t *task, d Disposition) bool {
	c.floor.ack(1)
	t.enter(ending)
	defer func() {
		c.beats.remove(t)
		c.change(func() { c.floor.ack(-1) })
		if c.cfg.Hooks.Ended != nil {
			c.cfg.Hooks.Ended(t.Message, d)
		}
	}()
	switch d.Action {
	case Delete:
		return c.remove(t)
	case DeadLetter:
		return c.deadLetter(t, d) && c.remove(t)
	case Release, Defer:
		c.release(t, d.After)
	case Keep, Park, Hold:
		if d.Err != nil || t.LastReceive {
			c.cfg.Logger.Warn("message left to its visibility timeout", "name", c.name(t), "message_id", t.ID,
				"receive", t.ReceiveCount, "error", d.Err)
		}
	}
	return false
}

// remove deletes a message. A receipt that SQS does not take any more counts
// as deleted here: the delivery that replaced it will be found done.
func (c *Consumer) remove(t *task) bool {
	err := c.insist("DeleteMessageBatch", t, func() error {
		_, err := c.acks.deletes.Do(c.calls, t.ReceiptHandle)
		return err
	})
	return err == nil || isReceiptLost(err)
}

// release makes a message visible again after d. Heartbeats for it have ended
// before: one that came later would hide it again.
func (c *Consumer) release(t *task, d time.Duration) {
	left := time.Until(t.received.Add(maxHold - time.Second))
	d = max(0, min(d, left))
	_ = c.insist("ChangeMessageVisibilityBatch", t, func() error { // told of by insist; there is no more to do
		select {
		case t.visibility <- struct{}{}:
		case <-c.calls.Done():
			return c.calls.Err()
		}
		defer func() { <-t.visibility }()
		_, err := c.acks.changes.Do(c.calls, change{t.ReceiptHandle, d})
		t.over = err == nil
		return err
	})
}

// insist makes a call until it succeeds, can never succeed, or the consumer
// has no time left; between tries the heartbeat keeps the message.
func (c *Consumer) insist(operation string, t *task, call func() error) error {
	for try := 0; ; try++ {
		err := call()
		if err == nil {
			return nil
		}
		c.failed(operation, err)
		if isReceiptLost(err) || !sleep(c.calls, backoff(try, 200*time.Millisecond, maxAckBackoff)) {
			c.cfg.Logger.Warn("message left to its visibility timeout", "name", c.name(t), "message_id", t.ID,
				"operation", operation, "error", err)
			return err
		}
	}
}
