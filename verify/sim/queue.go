package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/internal/backoff"
)

// queue is one process's connection to SQS, with faults.
type queue struct{ p *process }

var _ consumer.Queue = queue{}

// duplicate is the context key of a receive that leaves copies in the queue.
type duplicate struct{}

// tries is the number of times that the SDK's client sends a request.
const tries = 3

// do makes a call with the retries of the SDK's client.
func (q queue) do(ctx context.Context, c call) error {
	c.rates, c.down = q.p.w.queueRates(), q.p.w.isDown(queueDown)
	if c.op == "delete" {
		c.rates.Refuse += q.p.w.now(q.p.w.plan.NoDelete)
	}
	met := c.met
	c.met = func(f fate) {
		q.p.w.watch.queueFault(q.p, c.op)
		if met != nil {
			met(f)
		}
	}
	for try := 1; ; try++ {
		err := q.p.do(ctx, c)
		if try == tries || ctx.Err() != nil || !transient(err) {
			return err
		}
		r := q.p.w.dice.roll(q.p.label+" retry "+c.op, c.key, q.p.count("retry "+c.op+c.key))
		if backoff.Sleep(ctx, between(r, time.Millisecond, time.Second)) != nil {
			time.Sleep(between(r, time.Microsecond, time.Millisecond)) // as in do
			return err
		}
	}
}

func transient(err error) bool {
	return errors.Is(err, errRefused) || errors.Is(err, errThrottled) || errors.Is(err, errLost)
}

// ReceiveMessage implements [consumer.Queue].
func (q queue) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	w := q.p.w
	r := w.dice.roll(q.p.label+" delivery", "", q.p.count("delivery"))
	asked := ctx
	if chance(r, w.now(w.plan.Duplicate)) {
		asked = context.WithValue(ctx, duplicate{}, true)
		w.watch.fault("receive", "duplicate")
	}
	out := &sqs.ReceiveMessageOutput{}
	unheard := false
	err := q.do(asked, call{op: "receive", met: func(fate) { unheard = true }, apply: func(ctx context.Context) error {
		*out = sqs.ReceiveMessageOutput{}
		if err := w.wire.call(ctx, "ReceiveMessage", in, out); err != nil {
			return err
		}
		w.watch.received(q.p, out.Messages, ctx.Value(duplicate{}) != nil)
		if unheard {
			w.watch.unheard(q.p, out.Messages)
		}
		unheard = false
		for _, m := range out.Messages {
			q.early(r, m)
		}
		return nil
	}})
	if err != nil {
		w.watch.unheard(q.p, out.Messages)
		return nil, err
	}
	return out, nil
}

// early sometimes makes a message visible while it is being handled.
func (q queue) early(r *rand.Rand, m types.Message) {
	w := q.p.w
	if !chance(r, w.now(w.plan.Early)) {
		return
	}
	w.watch.fault("receive", "early")
	w.watch.excuse(*m.MessageId, "delivered early")
	w.later(between(r, 0, 30*time.Second), func() {
		_ = w.wire.call(context.Background(), "ChangeMessageVisibility", &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &w.queueURL, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
		}, &struct{}{}) // fails if the message is deleted or visible
	})
}

// DeleteMessageBatch implements [consumer.Queue].
func (q queue) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	w := q.p.w
	receipts := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		receipts[i] = *e.ReceiptHandle
	}
	out := &sqs.DeleteMessageBatchOutput{}
	err := q.do(ctx, call{op: "delete", key: w.watch.keyOf(receipts), met: w.watch.faulty(receipts, onDelete), apply: func(ctx context.Context) error {
		*out = sqs.DeleteMessageBatchOutput{}
		rest := &sqs.DeleteMessageBatchInput{QueueUrl: in.QueueUrl}
		for i, e := range in.Entries {
			r := w.dice.roll(q.p.label+" delete entry", w.watch.label(receipts[i]), q.p.count("delete "+receipts[i]))
			switch {
			case chance(r, w.queueRates().Entry):
				out.Failed = append(out.Failed, q.failed(e.Id, receipts[i], onDelete))
			case chance(r, w.now(w.plan.DeleteLost)):
				w.watch.fault("delete", "forgotten")
				w.watch.excuseReceipt(receipts[i], "delete forgotten")
				out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
			default:
				rest.Entries = append(rest.Entries, e)
			}
			w.watch.deleting(q.p, receipts[i])
		}
		if len(rest.Entries) == 0 {
			return nil
		}
		var answer sqs.DeleteMessageBatchOutput
		err := w.watch.deleted(q.p, func() ([]string, error) {
			if err := w.wire.call(ctx, "DeleteMessageBatch", rest, &answer); err != nil {
				return nil, err
			}
			var gone []string
			for _, s := range answer.Successful {
				gone = append(gone, receipts[position(in.Entries, s.Id)])
			}
			return gone, nil
		})
		out.Successful, out.Failed = slices.Concat(out.Successful, answer.Successful), slices.Concat(out.Failed, answer.Failed)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func position(entries []types.DeleteMessageBatchRequestEntry, id *string) int {
	return slices.IndexFunc(entries, func(e types.DeleteMessageBatchRequestEntry) bool { return *e.Id == *id })
}

func (q queue) failed(id *string, receipt, on string) types.BatchResultErrorEntry {
	q.p.w.watch.fault("entry", refused)
	q.p.w.watch.excuseReceipt(receipt, on+"entry failed")
	return types.BatchResultErrorEntry{Id: id, Code: aws.String("InternalError")}
}

// ChangeMessageVisibilityBatch implements [consumer.Queue].
func (q queue) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	w := q.p.w
	receipts := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		receipts[i] = *e.ReceiptHandle
	}
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	err := q.do(ctx, call{op: "change", key: w.watch.keyOf(receipts), met: w.watch.faulty(receipts, ""), apply: func(ctx context.Context) error {
		*out = sqs.ChangeMessageVisibilityBatchOutput{}
		rest := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: in.QueueUrl}
		for i, e := range in.Entries {
			r := w.dice.roll(q.p.label+" change entry", w.watch.label(receipts[i]), q.p.count("change "+receipts[i]))
			if chance(r, w.queueRates().Entry) {
				out.Failed = append(out.Failed, q.failed(e.Id, receipts[i], ""))
				continue
			}
			rest.Entries = append(rest.Entries, e)
			w.watch.changing(q.p, receipts[i], time.Duration(e.VisibilityTimeout)*time.Second)
		}
		if len(rest.Entries) == 0 {
			return nil
		}
		var answer sqs.ChangeMessageVisibilityBatchOutput
		if err := w.wire.call(ctx, "ChangeMessageVisibilityBatch", rest, &answer); err != nil {
			return err
		}
		out.Successful, out.Failed = answer.Successful, slices.Concat(out.Failed, answer.Failed)
		return nil
	}})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// SendMessageBatch implements [consumer.Queue]: these are dead-letter copies.
func (q queue) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	w := q.p.w
	originals := make(map[string]string, len(in.Entries)) // by entry
	for _, e := range in.Entries {
		originals[*e.Id] = aws.ToString(e.MessageAttributes[attributes.OriginalID].StringValue)
	}
	out := &sqs.SendMessageBatchOutput{}
	met := func(f fate) {
		for _, id := range originals {
			w.watch.excuse(id, string(f))
		}
	}
	err := q.do(ctx, call{op: "copy", key: w.watch.labelsOf(originals), met: met, apply: func(ctx context.Context) error {
		*out = sqs.SendMessageBatchOutput{}
		if w.plan.Trouble.NoKey && !w.isCalm() {
			met("no key")
			w.watch.fault("copy", "no key")
			return noKey()
		}
		rest := &sqs.SendMessageBatchInput{QueueUrl: in.QueueUrl}
		for _, e := range in.Entries {
			original := originals[*e.Id]
			r := w.dice.roll(q.p.label+" copy entry", w.watch.labelOf(original), q.p.count("copy "+original))
			if chance(r, w.queueRates().Entry) {
				w.watch.fault("entry", refused)
				w.watch.excuse(original, "entry failed")
				out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
				continue
			}
			rest.Entries = append(rest.Entries, e)
		}
		if len(rest.Entries) == 0 {
			return nil
		}
		var answer sqs.SendMessageBatchOutput
		if err := w.wire.call(ctx, "SendMessageBatch", rest, &answer); err != nil {
			return err
		}
		out.Successful, out.Failed = answer.Successful, slices.Concat(out.Failed, answer.Failed)
		for _, e := range rest.Entries {
			w.watch.copied(q.p, originals[*e.Id], aws.ToString(e.MessageAttributes[consumer.AttrReason].StringValue))
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// GetQueueAttributes implements [consumer.Queue].
func (q queue) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	out := &sqs.GetQueueAttributesOutput{}
	err := q.do(ctx, call{op: "attributes", apply: func(ctx context.Context) error {
		return q.p.w.wire.call(ctx, "GetQueueAttributes", in, out)
	}})
	return out, err
}

// GetQueueUrl implements [consumer.Queue].
func (q queue) GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput, _ ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) {
	out := &sqs.GetQueueUrlOutput{}
	err := q.do(ctx, call{op: "url", apply: func(ctx context.Context) error {
		return q.p.w.wire.call(ctx, "GetQueueUrl", in, out)
	}})
	return out, err
}
