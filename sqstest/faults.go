package sqstest

import (
	"context"
	"time"
)

// Call describes one request to the hook of [Server.Control].
type Call struct {
	Operation string // of SQS's API, such as "ReceiveMessage"
	Queue     string // queue name; empty for operations without a queue
	Entries   int    // entries of a batch, maximum number of messages of a receive, 1 for other calls
}

// Fault is the misbehaviour of the server on one call. The zero value is no fault.
type Fault struct {
	// Delay is the wait before the call takes effect. If the request's context ends meanwhile, the
	// call has no effect. 0 or less: none.
	Delay time.Duration

	// Error is the answer. The call then has no effect. Nil: none.
	Error *Error

	// FailEntries are the positions (from 0) of batch entries that fail without effect. Positions
	// beyond the batch are ignored.
	FailEntries []int

	// EntryError is the error of FailEntries. Nil: InternalError without SenderFault.
	EntryError *Error

	// Duplicate makes a receive leave a second copy of each delivered message, which the next
	// receive gets at once. Both copies have the same message id and different receipt handles, and
	// deleting one leaves the other. On a FIFO queue the copy is blocked while the first is in
	// flight.
	Duplicate bool

	// LoseAnswer breaks the connection after the call has taken effect.
	LoseAnswer bool

	// DelayAfter is the wait between the effect of the call and its answer. If the caller goes away
	// meanwhile, the effect stands. 0 or less: none.
	DelayAfter time.Duration
}

// entryError returns the error of batch entry i, nil if it does not fail.
func (f Fault) entryError(i int) *Error {
	for _, n := range f.FailEntries {
		if n != i {
			continue
		}
		if f.EntryError != nil {
			return f.EntryError
		}
		return &Error{Code: "InternalError", Message: "The request could not be processed."}
	}
	return nil
}

// Control sets the hook that returns the fault of every well-formed call to a known operation. The
// hook runs on the goroutine of the call without a lock: it may block until ctx ends, and it may
// call the server. A nil hook ends all faults.
func (s *Server) Control(hook func(ctx context.Context, c Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

func (s *Server) fault(ctx context.Context, c Call) Fault {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		return Fault{}
	}
	return hook(ctx, c)
}
