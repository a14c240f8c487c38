package sqstest

import "context"

func (s *Server) deleteMessage(in deleteMessageInput) (empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl, now())
	if err != nil {
		return empty{}, err
	}
	return empty{}, q.deleteOne(in.ReceiptHandle)
}

func (s *Server) changeVisibility(in changeVisibilityInput) (empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	q, err := s.find(in.QueueUrl, at)
	if err != nil {
		return empty{}, err
	}
	return empty{}, q.changeOne(in.ReceiptHandle, in.VisibilityTimeout, at)
}

func (s *Server) deleteMessageBatch(_ context.Context, in batchInput[deleteEntry], f Fault) (batchOutput[succeeded], error) {
	return settleBatch(s, in, f, func(q *queue, e deleteEntry, _ instant) error {
		return q.deleteOne(e.ReceiptHandle)
	})
}

func (s *Server) changeVisibilityBatch(_ context.Context, in batchInput[changeVisibilityEntry], f Fault) (batchOutput[succeeded], error) {
	return settleBatch(s, in, f, func(q *queue, e changeVisibilityEntry, at instant) error {
		return q.changeOne(e.ReceiptHandle, e.VisibilityTimeout, at)
	})
}

// settleBatch calls one for each entry that the fault does not fail.
func settleBatch[E identified](s *Server, in batchInput[E], f Fault, one func(*queue, E, instant) error) (batchOutput[succeeded], error) {
	var out batchOutput[succeeded]
	if err := checkBatch(in.Entries); err != nil {
		return out, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	q, err := s.find(in.QueueUrl, at)
	if err != nil {
		return out, err
	}
	for i, e := range in.Entries {
		var err error
		if refused := f.entryError(i); refused != nil {
			err = refused
		} else {
			err = one(q, e, at)
		}
		if err != nil {
			out.Failed = append(out.Failed, failed(e.entryID(), err))
			continue
		}
		out.Successful = append(out.Successful, succeeded{e.entryID()})
	}
	return out, nil
}

// lookup returns the message of a receipt handle, nil if it has been deleted, and whether the
// handle is that of its latest delivery.
func (q *queue) lookup(handle string) (m *message, latest bool, err error) {
	if handle == "" {
		return nil, false, missing("ReceiptHandle")
	}
	key, delivery, ok := decodeHandle(q.nonce, handle)
	if !ok {
		return nil, false, sender("ReceiptHandleIsInvalid", "The input receipt handle %q is not a valid receipt handle.", handle)
	}
	m = q.messages[key]
	return m, m != nil && m.delivery == delivery, nil
}

// expired returns the error for a handle that a FIFO queue refuses because the visibility timeout
// has ended or the message was received again. A standard queue accepts every handle of a stored
// message. Recorded by LocalStack (Apache-2.0, tests/aws/services/sqs/test_sqs.snapshot.json):
// test_fifo_delete_after_visibility_timeout, and for standard queues
// test_delete_after_visibility_timeout, test_terminate_visibility_timeout_after_receive.
func (q *queue) expired(m *message, latest bool, handle string) error {
	if q.fifo == nil || m == nil || latest && m.state == inFlight {
		return nil
	}
	return invalid("ReceiptHandle", handle, "The receipt handle has expired")
}

// deleteOne deletes a message. It succeeds if the message is already deleted.
//
// With the handle of an earlier delivery SQS "might not" delete from a standard queue. This server
// always deletes, which is the harder case for a consumer: a stale handle deletes the message.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
func (q *queue) deleteOne(handle string) error {
	m, latest, err := q.lookup(handle)
	if err != nil {
		return err
	}
	if err := q.expired(m, latest, handle); err != nil {
		return err
	}
	if m != nil {
		q.remove(m)
		q.wake() // messages that it blocked may be received now
	}
	return nil
}

// changeOne changes the visibility timeout of a message. On a standard queue the handle may be that
// of an earlier delivery, and the message may be visible.
func (q *queue) changeOne(handle string, timeout *int, at instant) error {
	m, latest, err := q.lookup(handle)
	if err != nil {
		return err
	}
	if timeout == nil {
		return missing("VisibilityTimeout")
	}
	if *timeout < 0 || *timeout > maxVisibilitySeconds {
		return invalid("VisibilityTimeout", *timeout, "Must be between 0 and 43200, if provided")
	}
	if err := q.expired(m, latest, handle); err != nil {
		return err
	}
	switch {
	case m == nil:
		return invalid("ReceiptHandle", handle, "Message does not exist or is not available for visibility timeout change")
	case at.add(seconds(*timeout)) > m.received.add(maxVisibility):
		return invalid("VisibilityTimeout", *timeout, "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	}
	q.hide(m, at, seconds(*timeout))
	q.wake()
	return nil
}
