package producerapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/redrive"
	"github.com/sqsonce/sqsonce/names"
)

const (
	maxPeek = 1_000
	// holdFor is how long messages of the dead-letter queue are kept from
	// others while they are looked at: longer than that may take.
	holdFor      = 60 * time.Second
	peekTimeout  = 30 * time.Second
	readsAtATime = 20
)

// DeadLetter is a message of the dead-letter queue, with what is recorded of
// its name.
type DeadLetter struct {
	MessageID    string    `json:"message_id"`
	OriginalID   string    `json:"original_id" doc:"The message it is a copy of; its own id where SQS has moved it."`
	Name         string    `json:"name,omitempty"`
	Reason       string    `json:"reason,omitempty" doc:"Absent: SQS moved it, after too many receives."`
	Error        string    `json:"error,omitempty"`
	Attempts     int       `json:"attempts,omitempty" minimum:"0"`
	SentAt       time.Time `json:"sent_at,omitzero"`
	ReceiveCount int       `json:"receive_count" minimum:"0"`
	Group        string    `json:"group,omitempty"`
	Body         string    `json:"body,omitempty" doc:"Only where it is asked for."`
	Record       *Record   `json:"record,omitempty" doc:"Absent: none that counts."`
}

// DeadLetters is what GET /dlq answers with.
type DeadLetters struct {
	Visible   int          `json:"visible" minimum:"0" doc:"Messages in the queue, approximately."`
	Originals int          `json:"originals" minimum:"0" doc:"Different original ids among those listed: copies are at least once."`
	Complete  bool         `json:"complete" doc:"No more than those listed were found."`
	Messages  []DeadLetter `json:"messages" nullable:"false"`
}

// peekInput is a request of GET /dlq.
type peekInput struct {
	Limit  int  `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many messages to look at, at most."`
	Bodies bool `query:"body" doc:"Show the messages' bodies."`
}

// getDeadLetters answers GET /dlq.
func (a *API) getDeadLetters(c *exchange, in *peekInput) (*response[DeadLetters], error) {
	dlq, err := a.deadLetterQueue(c.Context())
	if err != nil {
		return nil, err
	}
	out, held, err := a.peek(c.Context(), dlq, in.Limit)
	a.letGo(c.Context(), dlq, held)
	if err != nil {
		return nil, err
	}
	if !in.Bodies {
		for i := range out.Messages {
			out.Messages[i].Body = ""
		}
	}
	return answer(http.StatusOK, out), nil
}

// deadLetterQueue is the URL of the dead-letter queue, found out once.
func (a *API) deadLetterQueue(ctx context.Context) (string, error) {
	a.mu.Lock()
	known := a.dlqURL
	a.mu.Unlock()
	if known != "" {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	policy, err := redrive.Read(ctx, a.cfg.SQS, a.cfg.QueueURL)
	if err != nil {
		return "", unavailable("SQS did not answer", err)
	}
	if policy.TargetARN == "" {
		return "", newProblem(http.StatusNotFound, "", "no dead-letter queue is known: the queue has no redrive policy, and no --dlq-url was given")
	}
	found, err := policy.TargetURL(ctx, a.cfg.SQS)
	if err != nil {
		return "", unavailable("SQS did not say where the dead-letter queue is", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dlqURL = found
	return found, nil
}

// attribute reads one attribute of a queue; empty when it is not set.
func (a *API) attribute(ctx context.Context, queueURL string, name types.QueueAttributeName) (string, error) {
	out, err := a.cfg.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{name},
	})
	if err != nil {
		return "", unavailable("SQS did not answer", fmt.Errorf("read %s of %s: %w", name, queueURL, err))
	}
	return out.Attributes[string(name)], nil
}

// peek receives up to limit messages of the dead-letter queue and joins them
// with their records. What it returns as held stays invisible until it is let
// go, also when there is an error.
func (a *API) peek(ctx context.Context, dlq string, limit int) (out DeadLetters, held []types.Message, err error) {
	ctx, cancel := context.WithTimeout(ctx, peekTimeout)
	defer cancel()
	depth, err := a.depth(ctx, dlq)
	if err != nil {
		return out, nil, err
	}
	out.Visible = depth.Visible
	for len(held) < limit {
		got, err := a.receive(ctx, dlq, limit-len(held), len(held) < depth.Visible)
		if err != nil {
			return out, held, err
		}
		if len(got) == 0 {
			out.Complete = true
			break
		}
		held = append(held, got...)
	}
	out.Messages = make([]DeadLetter, len(held))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtATime)
	for i, m := range held {
		group.Go(func() (err error) {
			out.Messages[i], err = a.deadLetter(ctx, m)
			return err
		})
	}
	err = group.Wait()
	originals := make(map[string]bool, len(held))
	for _, m := range out.Messages {
		originals[m.OriginalID] = true
	}
	out.Originals = len(originals)
	return out, held, err
}

// receive takes up to ten messages; where some are expected it waits a moment
// for them, since SQS may have to ask around.
func (a *API) receive(ctx context.Context, queueURL string, limit int, expected bool) ([]types.Message, error) {
	in := &sqs.ReceiveMessageInput{
		QueueUrl: &queueURL, MaxNumberOfMessages: int32(min(limit, maxEntries)),
		VisibilityTimeout:           int32(holdFor / time.Second),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	}
	if expected {
		in.WaitTimeSeconds = 1
	}
	got, err := a.cfg.SQS.ReceiveMessage(ctx, in)
	if err != nil {
		return nil, unavailable("the dead-letter queue could not be read", err)
	}
	return got.Messages, nil
}

// letGo makes messages visible again. What fails comes back by itself.
func (a *API) letGo(ctx context.Context, queueURL string, held []types.Message) {
	ctx = context.WithoutCancel(ctx)
	for len(held) > 0 {
		n := min(len(held), maxEntries)
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, n)
		for i, m := range held[:n] {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
		}
		held = held[n:]
		call, cancel := context.WithTimeout(ctx, callDeadline)
		_, err := a.cfg.SQS.ChangeMessageVisibilityBatch(call, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &queueURL, Entries: entries})
		cancel()
		if err != nil {
			a.cfg.Logger.Warn("messages of the dead-letter queue stay invisible for a while", "queue", queueURL, "for", holdFor, "error", err)
		}
	}
}

// nameAttributes are a message's attributes as package names takes them.
func nameAttributes(m types.Message) map[string]names.Attribute {
	all := make(map[string]names.Attribute, len(m.MessageAttributes))
	for name, v := range m.MessageAttributes {
		all[name] = names.Attribute{Type: aws.ToString(v.DataType), Value: cmp.Or(aws.ToString(v.StringValue), string(v.BinaryValue))}
	}
	return all
}

// deadLetter joins a message with its record.
func (a *API) deadLetter(ctx context.Context, m types.Message) (DeadLetter, error) {
	text := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
	d := DeadLetter{
		MessageID: aws.ToString(m.MessageId), OriginalID: text(consumer.AttrOriginalID),
		Reason: text(consumer.AttrReason), Error: text(consumer.AttrError), Body: aws.ToString(m.Body),
		Group: m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)],
	}
	if d.OriginalID == "" {
		d.OriginalID = d.MessageID
	}
	d.Attempts, _ = strconv.Atoi(text(consumer.AttrAttempts)) // 0: not said
	d.ReceiveCount, _ = strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	if ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		d.SentAt = time.UnixMilli(ms).UTC()
	}
	named, err := a.cfg.Keys.Extract(names.Message{
		ID: d.OriginalID, Body: d.Body, Attributes: nameAttributes(m),
		DedupID: m.Attributes[string(types.MessageSystemAttributeNameMessageDeduplicationId)],
	})
	if bad, ok := errors.AsType[*names.FieldError](err); ok || err != nil {
		if d.Error == "" && bad != nil {
			d.Error = bad.Error()
		}
		return d, nil // a message without a name has no record
	}
	d.Name = named.Name
	r, err := a.record(ctx, named.Name)
	if err != nil {
		return d, err
	}
	if r.Name != "" {
		d.Record = new(view(r))
	}
	return d, nil
}

// purged is the answer to DELETE /dlq.
type purged struct {
	Purged int `json:"purged" minimum:"0" doc:"Approximately."`
}

// purgeDeadLetters answers DELETE /dlq.
func (a *API) purgeDeadLetters(c *exchange, _ *struct{}) (*response[purged], error) {
	dlq, err := a.deadLetterQueue(c.Context())
	if err != nil {
		return nil, err
	}
	depth, err := a.depth(c.Context(), dlq)
	if err != nil {
		return nil, err
	}
	_, err = a.cfg.SQS.PurgeQueue(c.Context(), &sqs.PurgeQueueInput{QueueUrl: &dlq})
	if _, busy := errors.AsType[*types.PurgeQueueInProgress](err); busy {
		p := newProblem(http.StatusConflict, "", "the queue was purged less than a minute ago")
		p.retryAfter = time.Minute
		return nil, p
	}
	if err != nil {
		return nil, unavailable("the dead-letter queue could not be purged", err)
	}
	c.outcome = fmt.Sprintf("purged %d", depth.Visible)
	return answer(http.StatusAccepted, purged{depth.Visible + depth.InFlight + depth.Delayed}), nil
}
