package console

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
)

const (
	redriveVisibility = 120    // s that what is not wanted stays hidden from the scan itself
	redriveLimit      = 10_000 // messages looked at in one go
	maxRefused        = 10     // letters in a row that cannot be sent: then it is not the letter
	maxAttributes     = 10     // of a message
)

// Redrive says which dead letters go back to the queue: those with the given
// ids, those of one reason, or all.
type Redrive struct {
	IDs    []string `json:"ids,omitempty"`
	Reason string   `json:"reason,omitempty"`
	All    bool     `json:"all,omitempty"`
}

// RedriveStep says how far a redrive is.
type RedriveStep struct {
	Seen     int    `json:"seen"`            // messages looked at
	Moved    int    `json:"moved"`           // sent to the queue and deleted here
	Doubly   int    `json:"doubly"`          // sent, but not deleted: they may be sent again
	Refused  int    `json:"refused"`         // could not be sent, and are still here
	Returned int    `json:"returned"`        // given up again by the worker meanwhile; not sent a second time
	More     bool   `json:"more"`            // it has ended, but there may be others of them
	Done     bool   `json:"done"`            // it has ended, and all there were have been looked at
	Error    string `json:"error,omitempty"` // why it ended early, or why the last one was refused
}

// wants returns which messages are meant, and false unless exactly one way of
// choosing is used.
func (r Redrive) wants() (func(types.Message) bool, bool) {
	switch {
	case r.All && r.Reason == "" && len(r.IDs) == 0:
		return func(types.Message) bool { return true }, true
	case !r.All && r.Reason != "" && len(r.IDs) == 0:
		return func(m types.Message) bool { return clip(reasonOf(m), maxReasonShown) == r.Reason }, true
	case !r.All && r.Reason == "" && len(r.IDs) > 0:
		return func(m types.Message) bool { return slices.Contains(r.IDs, aws.ToString(m.MessageId)) }, true
	default:
		return nil, false
	}
}

// postRedrive moves dead letters back, with a line of progress for each batch.
// It ends early when the page goes away. Each message is sent before it is
// deleted, so that none can be lost; one that is sent twice is a duplicate like
// any other.
func (c *panel) postRedrive(w http.ResponseWriter, r *http.Request, log actionLog) {
	var in Redrive
	if !read(w, r, &in) {
		return
	}
	wanted, ok := in.wants()
	if !ok || len(in.IDs) > peekLimit {
		problem(w, http.StatusBadRequest, "give ids (at most "+strconv.Itoa(peekLimit)+"), or reason, or all")
		return
	}
	log(r.Context(), acted, "queue", c.queue.DLQURL, "ids", in.IDs, "reason", in.Reason, "all", in.All)
	p := newProgress(w)
	step, err := c.redrive(r.Context(), wanted, len(in.IDs), func(s RedriveStep) { p.step(s) })
	if err != nil {
		step.Error = clip(err.Error(), maxErrorKept)
	}
	log(r.Context(), "console redrive ended",
		"moved", step.Moved, "seen", step.Seen, "refused", step.Refused, "returned", step.Returned, "more", step.More, "error", err)
	p.step(step)
}

// redrive moves the wanted messages; expected, unless 0, is how many there are.
// What the worker gives up again while it runs is not sent a second time: with
// a handler that always fails that would go round for ever.
func (c *panel) redrive(ctx context.Context, wanted func(types.Message) bool, expected int, tell func(RedriveStep)) (RedriveStep, error) {
	var step RedriveStep
	var others []types.Message
	var failure error
	inRow := 0                      // refused one after the other
	sentAs := make(map[string]bool) // message ids under which letters were sent
	more, err := c.scanDead(ctx, redriveVisibility, redriveLimit, func(batch []types.Message) bool {
		step.Seen += len(batch)
		var sent []types.Message
		for _, m := range batch {
			// A copy names its message; one that SQS has moved is that message.
			returned := sentAs[aws.ToString(m.MessageId)] || sentAs[textOf(m, consumer.AttrOriginalID)]
			if returned {
				step.Returned++
			}
			if returned || inRow == maxRefused || !wanted(m) {
				others = append(others, m)
				continue
			}
			id, err := c.sendBack(ctx, m)
			if err != nil {
				failure, inRow = err, inRow+1
				step.Refused, step.Error = step.Refused+1, clip(err.Error(), maxErrorKept)
				others = append(others, m)
				continue
			}
			inRow, sentAs[id] = 0, true
			sent = append(sent, m)
		}
		deleted := c.deleteDead(ctx, sent)
		step.Moved += deleted
		step.Doubly += len(sent) - deleted
		tell(step)
		return inRow < maxRefused && (expected == 0 || step.Moved+step.Doubly+step.Refused < expected)
	})
	c.showAgain(ctx, others)
	if err == nil && inRow == maxRefused {
		err = failure
	}
	step.More = more && (expected == 0 || step.Moved+step.Doubly+step.Refused < expected)
	step.Done = err == nil && !step.More
	return step, err
}

// sendBack sends a dead letter to the queue again, and returns its message id
// there. Its reason stays on it: to
// the worker that is an order to try a rejected name once more.
func (c *panel) sendBack(ctx context.Context, m types.Message) (id string, err error) {
	attributes := maps.Clone(m.MessageAttributes)
	if attributes == nil {
		attributes = make(map[string]types.MessageAttributeValue, 1)
	}
	if _, there := attributes[consumer.AttrReason]; !there && len(attributes) < maxAttributes {
		attributes[consumer.AttrReason] = text(movedBySQS)
	}
	in := &sqs.SendMessageInput{QueueUrl: &c.queue.QueueURL, MessageBody: m.Body, MessageAttributes: attributes}
	if group := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]; group != "" {
		in.MessageGroupId = &group
	}
	if strings.HasSuffix(c.queue.QueueURL, ".fifo") {
		in.MessageDeduplicationId = m.MessageId // a letter that is sent back twice is one
	}
	if trace := m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]; trace != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &trace},
		}
	}
	ctx, cancel := context.WithTimeout(ours(ctx), queueCallTime)
	defer cancel()
	out, err := c.queue.Queue.SendMessage(ctx, in)
	if err != nil {
		return "", fmt.Errorf("send %s back to %s: %w", aws.ToString(m.MessageId), c.queue.QueueURL, err)
	}
	return aws.ToString(out.MessageId), nil
}

// deleteDead deletes what has been sent back, also when ctx has ended
// meanwhile, and returns how many are gone.
func (c *panel) deleteDead(ctx context.Context, sent []types.Message) int {
	if len(sent) == 0 {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ours(ctx)), queueCallTime)
	defer cancel()
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &c.queue.DLQURL}
	for i, m := range sent {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: new(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	out, err := c.queue.Queue.DeleteMessageBatch(ctx, in)
	if err != nil {
		c.cfg.Logger.WarnContext(ctx, "dead letters sent back but not deleted", "messages", len(sent), "error", err)
		return 0
	}
	return len(out.Successful)
}

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}
