package sqstest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// system attributes of messages, in the order of the documentation.
var systemAttributes = []string{
	"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp",
	"SequenceNumber", "MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn",
}

func (in receiveMessageInput) check() error {
	if n := valueOr(in.MaxNumberOfMessages, 1); n < 1 || n > maxBatch {
		return invalid("MaxNumberOfMessages", n, "Must be between 1 and 10, if provided")
	}
	if n := valueOr(in.WaitTimeSeconds, 0); n < 0 || n > 20 {
		return invalid("WaitTimeSeconds", n, "Must be >= 0 and <= 20, if provided")
	}
	if n := valueOr(in.VisibilityTimeout, 0); n < 0 || n > maxVisibilitySeconds {
		return invalid("VisibilityTimeout", n, "Must be between 0 and 43200")
	}
	for _, name := range slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames) {
		if name != "All" && !slices.Contains(systemAttributes, name) && !isQueueAttribute(name) {
			return sender("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	if len(in.ReceiveRequestAttemptId) > 128 {
		return invalid("ReceiveRequestAttemptId", in.ReceiveRequestAttemptId, "1 to 128 in length")
	}
	return nil
}

// undo returns the function that reverts the delivery.
func (out receiveMessageOutput) undo() func() { return out.takeBack }

func (s *Server) receiveMessage(ctx context.Context, in receiveMessageInput, f Fault) (receiveMessageOutput, error) {
	var out receiveMessageOutput
	if err := in.check(); err != nil {
		return out, err
	}
	q, messages, err := s.poll(ctx, in, f.Duplicate)
	if err != nil {
		return out, err
	}
	// messages are copies, so rendering needs no lock.
	for i := range messages {
		out.Messages = append(out.Messages, s.render(q, &messages[i], in))
	}
	if len(messages) > 0 {
		out.takeBack = func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			at := now()
			for i := range slices.Backward(messages) {
				if m := q.messages[messages[i].key]; m != nil && m.delivery == messages[i].delivery {
					q.unreceive(m, at)
				}
			}
			q.wake()
		}
	}
	return out, nil
}

// poll receives messages, and waits for them up to the request's wait time. It returns copies. A
// poll whose context has ended receives none.
func (s *Server) poll(ctx context.Context, in receiveMessageInput, duplicate bool) (*queue, []message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	q, err := s.find(in.QueueUrl, at)
	if err != nil {
		return nil, nil, err
	}
	wait := q.settings.wait
	if in.WaitTimeSeconds != nil {
		wait = seconds(*in.WaitTimeSeconds)
	}
	deadline := at.add(wait)

	p := &poller{signal: make(chan struct{}, 1)}
	defer func() { q.quit(p) }()
	for again := false; ; again = true {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if q.deleted {
			return nil, nil, noQueue()
		}
		messages, err := s.receive(q, in, at, duplicate)
		if err != nil || len(messages) > 0 || at >= deadline {
			return q, messages, err
		}
		until := q.join(p, again, deadline)
		s.mu.Unlock()
		timer := time.NewTimer(at.until(until))
		select {
		case <-p.signal:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		s.mu.Lock()
		at = now()
		s.continueMoves(at)
		q.advance(at)
	}
}

// receive takes the available messages. s.mu is held.
func (s *Server) receive(q *queue, in receiveMessageInput, at instant, duplicate bool) ([]message, error) {
	visibility := q.settings.visibility
	if in.VisibilityTimeout != nil {
		visibility = seconds(*in.VisibilityTimeout)
	}
	taken := q.replay(in.ReceiveRequestAttemptId, at, visibility)
	if taken == nil {
		if q.fifo == nil && q.flying >= maxInFlight {
			return nil, sender("OverLimit", "The queue %s has the maximum of %d messages in flight.", q.name, maxInFlight)
		}
		taken = q.take(at, valueOr(in.MaxNumberOfMessages, 1), visibility, func(m *message) bool { return s.deadLetter(q, m, at) })
		q.remember(in.ReceiveRequestAttemptId, at, taken)
	}
	out := make([]message, len(taken))
	for i, m := range taken {
		out[i] = *m
	}
	if duplicate {
		for _, m := range slices.Backward(taken) {
			q.duplicate(m, at)
		}
	}
	return out, nil
}

// deadLetter moves m to the dead-letter queue of q and reports whether that is possible.
func (s *Server) deadLetter(q *queue, m *message, at instant) bool {
	target, ok := s.queues[q.settings.redrive.target]
	if !ok || target == q || (target.fifo == nil) != (q.fifo == nil) || !target.settings.allow.allows(q.name) {
		return false
	}
	q.remove(m)
	m.source, m.receivesHere = q.name, 0
	if target.fifo != nil {
		m.sent = at // a dead-letter queue restarts the retention period on FIFO queues only
	}
	target.put(m, at, 0)
	target.wake()
	return true
}

// duplicate makes a copy of m, which has just been received, the next message to be received.
func (q *queue) duplicate(m *message, at instant) {
	dup := *m
	dup.key = newUUID()
	dup.prev, dup.next, dup.index = nil, nil, -1
	q.messages[dup.key] = &dup
	q.enter(&dup, ready, at)
	if q.fifo == nil {
		q.ready.remove(&dup)
		q.ready.insertBefore(&dup, q.ready.head)
	}
}

// replay returns the messages of an earlier receive with the same attempt id, and restarts their
// visibility timeout. It returns nil if there is no such receive, or if one of its messages has
// been deleted, changed or received again.
func (q *queue) replay(attempt string, at instant, visibility time.Duration) []*message {
	if q.fifo == nil || attempt == "" {
		return nil
	}
	before, ok := q.fifo.attempts.get(attempt, at)
	if !ok {
		return nil
	}
	var out []*message
	for _, b := range before {
		m := q.messages[b.key]
		if m == nil || m.state != inFlight || m.delivery != b.delivery || m.changed {
			return nil
		}
		out = append(out, m)
	}
	for _, m := range out {
		m.visible = at.add(visibility)
		q.schedule(m)
	}
	return out
}

// remember stores the messages of a receive attempt for replay.
func (q *queue) remember(attempt string, at instant, taken []*message) {
	if q.fifo == nil || attempt == "" || len(taken) == 0 {
		return
	}
	var got []attempted
	for _, m := range taken {
		got = append(got, attempted{m.key, m.delivery})
	}
	q.fifo.attempts.set(attempt, got, at)
}

// render returns a message as the answer to a receive, with the requested attributes.
func (s *Server) render(q *queue, m *message, in receiveMessageInput) received {
	r := received{
		MessageId:     m.id.String(),
		ReceiptHandle: encodeHandle(q.nonce, m.key, m.delivery),
		MD5OfBody:     bodyMD5(m.body),
		Body:          m.body,
	}
	asked := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	all := slices.Contains(asked, "All")
	for _, name := range systemAttributes {
		if !all && !slices.Contains(asked, name) {
			continue
		}
		if v := s.systemAttribute(q, m, name); v != "" {
			if r.Attributes == nil {
				r.Attributes = map[string]string{}
			}
			r.Attributes[name] = v
		}
	}
	r.MessageAttributes = selectAttributes(m.attributes, in.MessageAttributeNames)
	r.MD5OfMessageAttributes = attributesMD5(r.MessageAttributes)
	return r
}

// systemAttribute returns a system attribute of the message, "" if it is unset.
func (s *Server) systemAttribute(q *queue, m *message, name string) string {
	switch name {
	case "SenderId":
		return s.cfg.AccountID
	case "SentTimestamp":
		return strconv.FormatInt(m.sent.millis(), 10)
	case "ApproximateReceiveCount":
		return strconv.Itoa(m.receives)
	case "ApproximateFirstReceiveTimestamp":
		return strconv.FormatInt(m.firstReceived.millis(), 10)
	case "SequenceNumber":
		if q.fifo != nil {
			return formatSequence(m.sequence)
		}
	case "MessageDeduplicationId":
		return m.dedup
	case "MessageGroupId":
		return m.group
	case "AWSTraceHeader":
		return m.trace
	case "DeadLetterQueueSourceArn":
		if m.source != "" {
			return s.arn(m.source)
		}
	}
	return ""
}

// selectAttributes returns the attributes that match one of the names: All, "*", a name, or a
// prefix followed by ".*".
func selectAttributes(attributes map[string]attribute, names []string) map[string]attribute {
	if len(attributes) == 0 || len(names) == 0 {
		return nil
	}
	out := map[string]attribute{}
	for _, asked := range names {
		if asked == "All" || asked == ".*" || asked == "*" {
			return maps.Clone(attributes)
		}
		prefix, wild := strings.CutSuffix(asked, ".*")
		for name, a := range attributes {
			if name == asked || wild && strings.HasPrefix(name, prefix) {
				out[name] = a
			}
		}
	}
	return out
}
