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

// acks are the batched calls that end messages or keep them. Entry ids are
// positions: ids of messages may meet in one call, when one was redelivered.
type acks struct {
	deletes *batch.Batcher[string, struct{}] // of receipt handles
	changes *batch.Batcher[change, struct{}]
	copies  *batch.Batcher[*deadCopy, struct{}] // to the dead-letter queue
}

// change is a new visibility timeout for a receipt.
type change struct {
	receipt    string
	visibility time.Duration
	beat       bool // a heartbeat: it goes before what makes messages visible again
}

type answer = batch.Answer[struct{}]

func (a *acks) init(c *Consumer) {
	a.deletes = batch.New(batch.Config[string, struct{}]{Max: batchSize, Send: c.sendDeletes})
	a.changes = batch.New(batch.Config[change, struct{}]{
		Max: batchSize, Send: c.sendChanges, Urgent: func(ch change) bool { return ch.beat },
	})
	a.copies = batch.New(batch.Config[*deadCopy, struct{}]{
		Max: batchSize, Send: c.sendCopies, MaxBytes: maxMessageBytes, Size: (*deadCopy).bytes,
	})
}

func (a *acks) close() {
	a.deletes.Close()
	a.changes.Close()
	a.copies.Close()
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
		return c.allFailed("DeleteMessageBatch", len(receipts), err)
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
		return c.allFailed("ChangeMessageVisibilityBatch", len(changes), err)
	}
	done := make([]string, len(out.Successful))
	for i, s := range out.Successful {
		done[i] = aws.ToString(s.Id)
	}
	return c.answers("ChangeMessageVisibilityBatch", start, len(changes), done, out.Failed)
}

// position is the entry id of the i-th entry of a batch.
func position(i int) *string { return &positions[i] }

var positions = func() (ids [batchSize]string) {
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ids
}()

// answers sorts the outcome of a batch call by entry. An entry that the call
// does not mention has failed too.
func (c *Consumer) answers(
	operation string, start time.Time, n int, done []string, failed []types.BatchResultErrorEntry,
) []answer {
	result := each(n, batch.ErrNoAnswer)
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
	bad := 0
	for _, a := range result {
		if a.Err != nil {
			bad++
			c.failed(operation, a.Err)
		}
	}
	if c.cfg.Hooks.Answered != nil {
		c.cfg.Hooks.Answered(operation, n, bad, time.Since(start))
	}
	return result
}

// allFailed is the outcome of a call that failed as a whole.
func (c *Consumer) allFailed(operation string, n int, err error) []answer {
	c.failed(operation, err)
	return each(n, err)
}

// each is the same answer for n entries.
func each(n int, err error) []answer {
	result := make([]answer, n)
	for i := range result {
		result[i].Err = err
	}
	return result
}
