package sqstest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
)

func (s *Server) sendMessage(ctx context.Context, in sendMessageInput, _ Fault) (accepted, error) {
	if err := in.check(); err != nil {
		return accepted{}, err
	}
	sums := in.sums()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	q, err := s.find(in.QueueUrl, at)
	if err != nil {
		return accepted{}, err
	}
	trace, _ := ctx.Value(traceKey{}).(string)
	return q.send(in.outgoing, sums, trace, "are invalid", at)
}

func (s *Server) sendMessageBatch(_ context.Context, in batchInput[sendEntry], f Fault) (batchOutput[sendResult], error) {
	var out batchOutput[sendResult]
	if err := checkBatch(in.Entries); err != nil {
		return out, err
	}
	total := 0
	for _, e := range in.Entries {
		total += e.size()
	}
	if total > maxMessageSize {
		return out, sender("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessageSize, total)
	}
	// Checksums and checks need no lock.
	errs := make([]error, len(in.Entries))
	sums := make([]accepted, len(in.Entries))
	for i, e := range in.Entries {
		if err := f.entryError(i); err != nil {
			errs[i] = err
		} else if errs[i] = e.check(); errs[i] == nil {
			sums[i] = e.sums()
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	q, err := s.find(in.QueueUrl, at)
	if err != nil {
		return out, err
	}
	for _, e := range in.Entries {
		if err := e.checkFIFO(q); err != nil {
			err.Code = codeInvalidParameter // also for a missing group id
			return out, err
		}
	}
	for i, e := range in.Entries {
		var sent accepted
		err := errs[i]
		if err == nil {
			sent, err = q.send(e.outgoing, sums[i], "", "cannot be validated", at)
		}
		if err != nil {
			out.Failed = append(out.Failed, failed(e.ID, err))
			continue
		}
		out.Successful = append(out.Successful, sendResult{e.ID, sent})
	}
	return out, nil
}

// sums returns the checksums of the answer.
func (o outgoing) sums() accepted {
	return accepted{
		MD5OfMessageBody:             bodyMD5(o.MessageBody),
		MD5OfMessageAttributes:       attributesMD5(o.MessageAttributes),
		MD5OfMessageSystemAttributes: attributesMD5(o.MessageSystemAttributes),
	}
}

// checkFor fails if this queue does not accept the message. tooLong is the wording for a message
// that is too long: SQS says that parameters "are invalid" or, in a batch, "cannot be validated".
func (o outgoing) checkFor(q *queue, tooLong string) error {
	const notHere = "The request include parameter that is not valid for this queue type"
	switch {
	case o.size() > q.settings.maxSize:
		return sender(codeInvalidParameter, "One or more parameters %s. Reason: Message must be shorter than %d bytes.", tooLong, q.settings.maxSize)
	case q.fifo == nil && o.MessageDeduplicationId != nil:
		return invalid("MessageDeduplicationId", *o.MessageDeduplicationId, notHere)
	case q.fifo != nil && valueOr(o.DelaySeconds, 0) != 0:
		return invalid("DelaySeconds", *o.DelaySeconds, notHere)
	}
	if err := o.checkFIFO(q); err != nil {
		return err
	}
	return nil
}

// checkFIFO fails if a FIFO queue needs an id that the message lacks. In a batch that fails the
// whole call. Recorded: test_send_batch_missing_deduplication_id_for_fifo_queue,
// test_send_batch_missing_message_group_id_for_fifo_queue.
func (o outgoing) checkFIFO(q *queue) *Error {
	switch {
	case q.fifo == nil:
		return nil
	case o.MessageGroupId == nil:
		return missing("MessageGroupId")
	case o.MessageDeduplicationId == nil && !q.settings.contentDedup:
		return sender(codeInvalidParameter, "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// send adds one message to the queue, unless it is a duplicate. A message without a trace header
// gets that of the request. Recorded: test_aws_trace_header_propagation.
func (q *queue) send(o outgoing, answer accepted, trace, tooLong string, at instant) (accepted, error) {
	if err := o.checkFor(q, tooLong); err != nil {
		return accepted{}, err
	}
	m := &message{
		id:         newUUID(),
		body:       o.MessageBody,
		attributes: maps.Clone(o.MessageAttributes),
		group:      text(o.MessageGroupId),
		dedup:      text(o.MessageDeduplicationId),
		trace:      cmp.Or(o.MessageSystemAttributes["AWSTraceHeader"].text(), trace),
		sent:       at,
	}
	m.key = m.id
	delay := q.settings.delay
	if o.DelaySeconds != nil && q.fifo == nil {
		delay = seconds(*o.DelaySeconds)
	}
	if q.fifo == nil {
		q.put(m, at, delay)
	} else {
		if m.dedup == "" {
			sum := sha256.Sum256([]byte(m.body))
			m.dedup = hex.EncodeToString(sum[:])
		}
		key := m.dedup
		if q.fifo.groupDedup {
			key = m.group + "\x00" + m.dedup
		}
		first, ok := q.fifo.sent.get(key, at)
		if !ok {
			q.put(m, at, delay)
			first = sentMessage{m.id, m.sequence}
			q.fifo.sent.set(key, first, at)
		}
		m.id = first.id
		answer.SequenceNumber = formatSequence(first.sequence)
	}
	q.wake()
	answer.MessageId = m.id.String()
	return answer, nil
}
