package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
)

const (
	// SQS cannot show a message without receiving it: each look counts as a
	// receive. So a look hides messages only as long as it takes, and makes them
	// visible again itself.
	peekVisibility = 15 // s
	peekLimit      = 100
	maxBodyShown   = 2 << 10
	maxReasonShown = 160 // bytes
	// movedBySQS stands for the reason of a message that SQS itself has moved.
	movedBySQS = "moved by SQS: received too often"
)

// DeadLetters is what a look into the dead-letter queue has found.
type DeadLetters struct {
	Groups []DeadGroup `json:"groups"`
	Seen   int         `json:"seen"`
	More   bool        `json:"more"` // there may be others
	// Counted says that looking can move messages on: the queue has a redrive
	// policy of its own, which counts receives.
	Counted bool `json:"counted"`
	// Unreleased says how many could not be made visible again at once.
	Unreleased int `json:"unreleased,omitempty"`
}

// DeadGroup is the dead letters of one reason.
type DeadGroup struct {
	Reason   string       `json:"reason"`
	Count    int          `json:"count"`
	First    int64        `json:"first"` // epoch ms of sending
	Last     int64        `json:"last"`
	Messages []DeadLetter `json:"messages"` // the newest first
}

// DeadLetter is one message of the dead-letter queue.
type DeadLetter struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Error      string `json:"error,omitempty"`
	Attempts   string `json:"attempts,omitempty"`
	OriginalID string `json:"original_id,omitempty"`
	Sent       int64  `json:"sent"` // epoch ms
	Receives   string `json:"receives"`
	Body       string `json:"body"` // cut
	Bytes      int    `json:"bytes"`
}

func (c *panel) postPeek(w http.ResponseWriter, r *http.Request, log actionLog) {
	log(r.Context(), acted, "queue", c.queue.DLQURL)
	var seen []types.Message
	more, err := c.scanDead(r.Context(), peekVisibility, peekLimit, func(batch []types.Message) bool {
		seen = append(seen, batch...)
		return true
	})
	unreleased := c.showAgain(r.Context(), seen)
	if err != nil {
		problem(w, http.StatusBadGateway, clip(err.Error(), maxErrorKept))
		return
	}
	found := DeadLetters{Groups: groupDead(seen), Seen: len(seen), More: more, Unreleased: unreleased}
	found.Counted, err = c.countsReceives(r.Context())
	if err != nil {
		c.cfg.Logger.WarnContext(r.Context(), "dead-letter queue's own redrive policy is not known", "error", err)
	}
	answer(w, found)
}

// groupDead groups messages by reason, the largest group first.
func groupDead(messages []types.Message) []DeadGroup {
	byReason := make(map[string]*DeadGroup)
	for _, m := range messages {
		reason := clip(reasonOf(m), maxReasonShown)
		g := byReason[reason]
		if g == nil {
			g = &DeadGroup{Reason: reason}
			byReason[reason] = g
		}
		g.Count++
		g.Messages = append(g.Messages, shownDead(m))
	}
	groups := make([]DeadGroup, 0, len(byReason))
	for _, g := range byReason {
		slices.SortFunc(g.Messages, func(a, b DeadLetter) int {
			return cmp.Or(cmp.Compare(b.Sent, a.Sent), cmp.Compare(a.ID, b.ID))
		})
		g.Last, g.First = g.Messages[0].Sent, g.Messages[len(g.Messages)-1].Sent
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b DeadGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return groups
}

func shownDead(m types.Message) DeadLetter {
	body := aws.ToString(m.Body)
	return DeadLetter{
		ID: aws.ToString(m.MessageId), Name: clip(textOf(m, consumer.AttrName), maxNameKept),
		Error: clip(textOf(m, consumer.AttrError), maxErrorKept), Attempts: clip(textOf(m, consumer.AttrAttempts), 20),
		OriginalID: clip(textOf(m, consumer.AttrOriginalID), maxIDShown), Sent: millisOf(m, types.MessageSystemAttributeNameSentTimestamp),
		Receives: m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)],
		Body:     clip(body, maxBodyShown), Bytes: len(body),
	}
}

func reasonOf(m types.Message) string { return cmp.Or(textOf(m, consumer.AttrReason), movedBySQS) }

func textOf(m types.Message, attribute string) string {
	return aws.ToString(m.MessageAttributes[attribute].StringValue)
}

func millisOf(m types.Message, attribute types.MessageSystemAttributeName) int64 {
	n, err := strconv.ParseInt(m.Attributes[string(attribute)], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// scanDead receives messages of the dead-letter queue, hidden for a number of
// seconds, and hands each on once, until each returns false, limit have been
// seen, or a receive brings nothing new. It reports whether there may be more:
// an empty receive says no, one that brings only what was seen before (the scan
// has taken longer than that was hidden) does not.
// What it hands on is to be shown again or deleted by the caller, in case of an
// error too.
func (c *panel) scanDead(
	ctx context.Context, visibility int32, limit int, each func(batch []types.Message) bool,
) (more bool, err error) {
	seen := make(map[string]bool)
	for len(seen) < limit {
		out, err := c.receiveDead(ctx, visibility)
		if err != nil {
			return true, err
		}
		fresh := slices.DeleteFunc(out, func(m types.Message) bool {
			id := aws.ToString(m.MessageId)
			again := seen[id]
			seen[id] = true
			return again
		})
		if len(fresh) == 0 {
			return len(out) > 0, nil
		}
		if !each(fresh) {
			return true, nil
		}
	}
	return true, nil
}

func (c *panel) receiveDead(ctx context.Context, visibility int32) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(ours(ctx), queueCallTime)
	defer cancel()
	out, err := c.queue.Queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &c.queue.DLQURL, MaxNumberOfMessages: batchSize, VisibilityTimeout: visibility,
		WaitTimeSeconds:             1, // not 0: a short poll asks only some of SQS's servers
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", c.queue.DLQURL, err)
	}
	return out.Messages, nil
}

// showAgain makes messages visible, also when ctx has ended, and returns how
// many of them it could not.
func (c *panel) showAgain(ctx context.Context, messages []types.Message) (unreleased int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ours(ctx)), queueCallTime)
	defer cancel()
	for batch := range slices.Chunk(messages, batchSize) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &c.queue.DLQURL}
		for i, m := range batch {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: new(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
			})
		}
		out, err := c.queue.Queue.ChangeMessageVisibilityBatch(ctx, in)
		switch {
		case err != nil:
			unreleased += len(batch)
		default:
			unreleased += len(out.Failed)
		}
	}
	return unreleased
}

// countsReceives reports whether the dead-letter queue has a redrive policy.
func (c *panel) countsReceives(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ours(ctx), queueCallTime)
	defer cancel()
	out, err := c.queue.Queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &c.queue.DLQURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		return false, fmt.Errorf("attributes of queue %s: %w", c.queue.DLQURL, err)
	}
	return out.Attributes[string(types.QueueAttributeNameRedrivePolicy)] != "", nil
}
