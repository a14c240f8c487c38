package workercmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/redrive"
)

// startTimeout bounds each check at the start.
const startTimeout = 15 * time.Second

// startError lists all problems that prevent the start.
type startError struct{ problems []string }

func (e *startError) Error() string {
	return "cannot start:\n  " + strings.Join(e.problems, "\n  ")
}

// findings are the results of the checks at the start.
type findings struct {
	problems, warnings []string
	outages            []string // the problems that may be temporary
	dlqURL             string   // empty: there is none
}

func (f *findings) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// failed adds the problem text for err, the error of a call.
func (f *findings) failed(err error, text string) {
	f.problems = append(f.problems, text)
	if isOutage(err) {
		f.outages = append(f.outages, text)
	}
}

func (f *findings) warn(format string, args ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf(format, args...))
}

// queueFacts are the attributes of a queue that are checked.
type queueFacts struct {
	retention time.Duration
	maxBytes  int // largest message; 0: unknown
	redrive   redrive.Policy
}

// lookAround checks the queue, the dead-letter queue, the table, and the settings against them. It
// returns the URL of the dead-letter queue, if there is one. It logs warnings. The error lists all
// problems; it is an [outageError] if all of them may be temporary.
func lookAround(ctx context.Context, c queueSettings, back backend, table *dynamodb.Client, log *slog.Logger) (dlqURL string, err error) {
	var f findings
	queue, dlq := f.queues(ctx, back)
	f.table(ctx, c, back, table)
	if queue != nil {
		f.rights(ctx, back)
		f.judge(c, *queue, dlq)
	}
	switch {
	case len(f.problems) > 0 && len(f.outages) == len(f.problems):
		return "", outageError{&startError{f.problems}} // no warnings, because the caller tries again
	case len(f.problems) == 0:
		err = nil
	default:
		err = &startError{f.problems}
	}
	for _, w := range f.warnings {
		log.Warn(w)
	}
	return f.dlqURL, err
}

// queues reads the attributes of the queue and of its dead-letter queue. A result is nil if there
// is no such queue, or it cannot be read.
func (f *findings) queues(ctx context.Context, back backend) (queue, dlq *queueFacts) {
	facts, err := readQueue(ctx, back.queue, back.queueURL)
	if err != nil {
		f.failed(err, fmt.Sprintf("queue %s: %s", back.queueURL, sqsTrouble(err)))
		return nil, nil
	}
	queue = &facts
	dlqURL := back.dlqURL
	if dlqURL == "" {
		ctx, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		if dlqURL, err = facts.redrive.TargetURL(ctx, back.queue); err != nil {
			f.failed(err, fmt.Sprintf("dead-letter queue %s: %s; if the URL is a different one, set --dlq-url", facts.redrive.TargetARN, sqsTrouble(err)))
			return queue, nil
		}
	}
	if dlqURL == "" {
		f.warn("the queue has no dead-letter queue: a message that fails for good stays in the queue until its retention period ends")
		return queue, nil
	}
	f.dlqURL = dlqURL
	dead, err := readQueue(ctx, back.queue, dlqURL)
	if err != nil {
		f.failed(err, fmt.Sprintf("dead-letter queue %s: %s", dlqURL, sqsTrouble(err)))
		return queue, nil
	}
	return queue, &dead
}

// rights checks permissions with calls that change nothing: an invalid receipt handle, and an empty
// batch. Only an answer "access denied" is a problem. Other answers prove nothing, because AWS does
// not document whether it checks the permission or the request first. The permission to receive is
// not checked, because a receive would raise the receive count of messages.
func (f *findings) rights(ctx context.Context, back backend) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	id, receipt := aws.String("0"), aws.String("sqsonce-at-start")
	_, err := back.queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
		QueueUrl: &back.queueURL, Entries: []types.DeleteMessageBatchRequestEntry{{Id: id, ReceiptHandle: receipt}},
	})
	f.permission("queue "+back.queueURL, "sqs:DeleteMessage", err)
	_, err = back.queue.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: &back.queueURL, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: id, ReceiptHandle: receipt}},
	})
	f.permission("queue "+back.queueURL, "sqs:ChangeMessageVisibility", err)
	if f.dlqURL != "" {
		_, err = back.queue.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
			QueueUrl: &f.dlqURL, Entries: []types.SendMessageBatchRequestEntry{},
		})
		f.permission("dead-letter queue "+f.dlqURL, "sqs:SendMessage", err)
	}
}

func (f *findings) permission(resource, action string, err error) {
	if isDenied(err) {
		f.problem("%s: access denied; the worker needs %s (%v)", resource, action, err)
	}
}

// table checks the table, and that records can be read and written. The write expects a version
// that no record has, so that it always fails its condition.
func (f *findings) table(ctx context.Context, c queueSettings, back backend, client *dynamodb.Client) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := dynamo.Config{Table: c.Table, TTLAttribute: c.TTL}.CheckTable(ctx, client)
	switch {
	case errors.Is(err, dynamo.ErrNoTTL):
		f.warn("%v: records are never removed", err)
	case err != nil:
		f.failed(err, fmt.Sprintf("table %s: %v", c.Table, err))
		return
	}
	if back.earlier != nil {
		if err := back.earlier.Check(ctx); err != nil {
			f.failed(err, err.Error())
		}
	}
	reader, ok := back.store.(dedupe.Reader)
	if !ok {
		return
	}
	scope, err := c.scope(back.queueURL)
	if err != nil {
		return // reported before
	}
	const name = "sqsonce at start"
	id := protocol.RecordID(scope, name)
	if _, err := reader.Get(ctx, id); err != nil {
		f.failed(err, fmt.Sprintf("table %s: records cannot be read: %v", c.Table, err))
	}
	err = back.store.Swap(ctx, math.MaxInt64-1, protocol.Record{
		ID: id, Name: name, Format: protocol.Format, Status: protocol.Forgotten, Version: math.MaxInt64, ExpiresAt: time.Now(),
	})
	if _, refused := errors.AsType[*dedupe.ConflictError](err); !refused {
		f.failed(err, fmt.Sprintf("table %s: records cannot be written: %v", c.Table, err))
	}
}

// judge compares the settings with the attributes of the queues.
func (f *findings) judge(c queueSettings, queue queueFacts, dlq *queueFacts) {
	kept := queue.retention
	text := fmt.Sprintf("the queue keeps messages for %s", queue.retention)
	if dlq != nil {
		kept += dlq.retention
		text += fmt.Sprintf(" and its dead-letter queue for %s", dlq.retention)
	}
	if c.Window < kept {
		f.warn("--window %s is shorter than the life of a message: %s, %s together; a name can be forgotten before its last delivery",
			c.Window, text, kept)
	}
	if dlq != nil && dlq.maxBytes > 0 && dlq.maxBytes < queue.maxBytes {
		f.warn("MaximumMessageSize of the dead-letter queue is %d bytes, of the queue %d: a larger message that fails for good is moved by SQS instead, without a reason",
			dlq.maxBytes, queue.maxBytes)
	}
	if n := queue.redrive.MaxReceives; n > 0 && n < c.MaxAttempts {
		f.warn("maxReceiveCount %d is less than --max-attempts %d: SQS moves a message to the dead-letter queue before its attempts are used up", n, c.MaxAttempts)
	}
	if needed := 20*time.Second + c.TargetTimeout; queue.redrive.MaxReceives == 1 && c.DrainTimeout < needed {
		f.warn("maxReceiveCount 1: a shutdown can dead-letter a message unless --drain-timeout %s is at least %s, the time of a long poll and a handler",
			c.DrainTimeout, needed)
	}
}

// readQueue reads a queue's attributes.
func readQueue(ctx context.Context, client *sqs.Client, queueURL string) (queueFacts, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return queueFacts{}, err
	}
	var facts queueFacts
	if seconds, err := strconv.Atoi(out.Attributes[string(types.QueueAttributeNameMessageRetentionPeriod)]); err == nil {
		facts.retention = time.Duration(seconds) * time.Second
	}
	facts.maxBytes, _ = strconv.Atoi(out.Attributes[string(types.QueueAttributeNameMaximumMessageSize)]) // 0 if it is missing
	facts.redrive, err = redrive.Parse(out.Attributes[string(types.QueueAttributeNameRedrivePolicy)])
	return facts, err
}

// sqsTrouble describes an error of SQS, with its remedy if there is one.
func sqsTrouble(err error) string {
	if _, missing := errors.AsType[*types.QueueDoesNotExist](err); missing {
		return "does not exist"
	}
	if isDenied(err) {
		return fmt.Sprintf("access denied; the worker needs sqs:GetQueueAttributes, ReceiveMessage, DeleteMessage, ChangeMessageVisibility, and SendMessage on the dead-letter queue (%v)", err)
	}
	return fmt.Sprintf("cannot be read: %v", err)
}

func isDenied(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.Contains(api.ErrorCode(), "AccessDenied")
}
