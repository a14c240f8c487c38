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

// settleBatch does one thing to each entry that the fault spares.
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

// lookup finds the message of a receipt handle, which may be gone (nil), and
// tells whether the handle is that of its latest delivery.
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

// deleteOne removes a message. With the handle of an earlier delivery it
// succeeds and does nothing, as SQS may.
func (q *queue) deleteOne(handle string) error {
	m, latest, err := q.lookup(handle)
	if err != nil {
		return err
	}
	if latest {
		q.remove(m)
		q.wake() // its group may be open now
	}
	return nil
}

func (q *queue) changeOne(handle string, timeout *int, at instant) error {
	m, latest, err := q.lookup(handle)
	if err != nil {
		return err
	}
	if timeout == nil {
		return missing("VisibilityTimeout")
	}
	if *timeout < 0 || *timeout > maxVisibilitySeconds {
		return invalid("VisibilityTimeout", *timeout, "Must be between 0 and 43200")
	}
	switch {
	case m == nil || m.state != inFlight:
		return sender("MessageNotInflight", "The message referred to isn't in flight.")
	case !latest:
		return sender("ReceiptHandleIsInvalid", "The receipt handle %q has expired: the message has been received again.", handle)
	case at.add(seconds(*timeout)) > m.received.add(maxVisibility):
		return invalid("VisibilityTimeout", *timeout, "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	}
	q.hide(m, at, seconds(*timeout))
	q.wake()
	return nil
}
