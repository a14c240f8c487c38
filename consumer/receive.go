package consumer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/stack"
)

// systemAttributes are asked for by name; "All" would bring more than is used.
var systemAttributes = []types.MessageSystemAttributeName{
	types.MessageSystemAttributeNameApproximateReceiveCount,
	types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
	types.MessageSystemAttributeNameSentTimestamp,
	types.MessageSystemAttributeNameMessageGroupId,
	types.MessageSystemAttributeNameMessageDeduplicationId,
	types.MessageSystemAttributeNameSequenceNumber,
	types.MessageSystemAttributeNameAWSTraceHeader,
}

// kick starts the polls that are due and tells of a new state. It is called
// after everything that may make one due.
func (c *Consumer) kick() {
	for {
		n := c.floor.planPoll()
		if n == 0 {
			break
		}
		c.workers.start(func() {
			stack.ForCall()
			c.poll(n)
		})
	}
	if state, fresh := c.floor.news(); fresh && c.cfg.Hooks.State != nil {
		c.cfg.Hooks.State(state)
	}
}

// poll makes one receive for up to n messages and sets them going. It asks for
// more when others give their slots back within the same moments, as those do
// that one call has answered.
func (c *Consumer) poll(n int) {
	if n < batchSize {
		c.cfg.Yield("ReceiveMessage")
		n += c.floor.topUp(n)
	}
	attempt := randomID()
	messages, err := c.receive(n, attempt)
	for try := 0; err != nil; try++ {
		// The poll stays out while it backs off, so that trouble is not met with more polls.
		if c.polls.Err() == nil { // not cut off by the stop
			c.failed("ReceiveMessage", err)
		}
		if !c.sleepUntilStop(c.backoff(try, time.Second, maxPollBackoff)) {
			c.floor.answered(n, nil, false)
			return
		}
		c.floor.sign()
		messages, err = c.receive(n, attempt)
	}
	received := time.Now()
	tasks := make([]*task, len(messages))
	for i, m := range messages {
		tasks[i] = newTask(c.toMessage(m), received, c.cfg.Visibility)
		c.beats.add(tasks[i], c.beatInterval())
	}
	entered := c.lanes.enter(tasks, c.cfg.fifo(), &c.floor)
	c.floor.answered(n, turnsOf(entered), len(messages) == 0)
	for _, l := range entered {
		c.workers.start(func() {
			stack.ForMessage()
			c.runLane(l)
		})
	}
	c.kick()
}

// receive makes one long poll. It has a deadline of its own, so that a
// connection that hangs cannot hang the loop.
func (c *Consumer) receive(n int, attempt string) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(c.polls, c.cfg.PollWait+pollGrace)
	defer cancel()
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &c.cfg.QueueURL,
		MaxNumberOfMessages:         int32(n),
		VisibilityTimeout:           seconds(c.cfg.Visibility),
		WaitTimeSeconds:             seconds(c.cfg.PollWait),
		MessageSystemAttributeNames: systemAttributes,
		MessageAttributeNames:       []string{"All"},
	}
	if c.cfg.fifo() {
		// A retry then gets the answer that was lost, instead of leaving its
		// messages, and their groups, behind for a visibility timeout.
		in.ReceiveRequestAttemptId = &attempt
	}
	start := time.Now()
	out, err := c.queue.ReceiveMessage(ctx, in)
	if err != nil {
		return nil, err
	}
	if c.cfg.Hooks.Received != nil {
		c.cfg.Hooks.Received(len(out.Messages), time.Since(start))
	}
	return out.Messages, nil
}

// toMessage reads what SQS sent. An attribute that is missing or malformed
// leaves its zero value; a receive count is at least 1.
func (c *Consumer) toMessage(m types.Message) Message {
	count, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	count = max(1, count)
	return Message{
		ID:             aws.ToString(m.MessageId),
		Body:           aws.ToString(m.Body),
		ReceiptHandle:  aws.ToString(m.ReceiptHandle),
		ReceiveCount:   count,
		LastReceive:    c.facts.maxReceives > 0 && count >= c.facts.maxReceives,
		SentAt:         epochMillis(m.Attributes["SentTimestamp"]),
		FirstReceived:  epochMillis(m.Attributes["ApproximateFirstReceiveTimestamp"]),
		GroupID:        m.Attributes["MessageGroupId"],
		DedupID:        m.Attributes["MessageDeduplicationId"],
		SequenceNumber: m.Attributes["SequenceNumber"],
		TraceHeader:    m.Attributes["AWSTraceHeader"],
		QueueURL:       c.cfg.QueueURL,
		Attributes:     m.MessageAttributes,
	}
}

func epochMillis(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// seconds is d in SQS's unit, rounded up.
func seconds(d time.Duration) int32 {
	return int32(min(math.MaxInt32, (d+time.Second-1)/time.Second))
}

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}

// backoff returns base doubled try times, at most limit, with full jitter over
// its upper half.
func (c *Consumer) backoff(try int, base, limit time.Duration) time.Duration {
	d := doubled(base, try, limit)
	return d/2 + time.Duration(c.cfg.Random()*float64(d/2))
}

// sleep waits for d and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// sleepUntilStop waits for d and reports whether the stop has not begun.
func (c *Consumer) sleepUntilStop(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return !c.isStopping()
	case <-c.stopping:
		return false
	}
}
