package sqstest

import (
	"context"
	"time"
)

// Call describes one request to the hook set by [Server.Control].
type Call struct {
	Operation string // of SQS's API, such as "ReceiveMessage"
	Queue     string // queue name; empty for operations on no particular queue
	Entries   int    // entries of a batch, messages asked for by a receive, 1 for other calls
}

// Fault says how the server misbehaves on one call. The zero value is a call
// that goes as it should.
type Fault struct {
	// Delay is waited before the call has any effect. A request whose
	// context ends meanwhile has none. 0 or less does not wait.
	Delay time.Duration

	// Error is answered instead of doing the work; nil does the work.
	Error *Error

	// FailEntries are the positions (from 0) of batch entries that fail one
	// by one without having an effect, while the others succeed. Positions
	// that the batch does not have are ignored.
	FailEntries []int

	// EntryError is what FailEntries fail with; nil means InternalError,
	// which is no fault of the sender.
	EntryError *Error

	// Duplicate makes a receive leave a second copy of each message it
	// delivers, to be received at once by the next one. Both copies have the
	// same message id, each has a receipt handle of its own, and deleting
	// one leaves the other. On a FIFO queue the copy is blocked while the
	// first is in flight.
	Duplicate bool

	// LoseAnswer breaks the connection instead of answering. The effect of
	// the call stands.
	LoseAnswer bool

	// DelayAfter holds the answer back after the call has had its effect. The
	// effect stands when the caller goes away meanwhile. 0 or less does not wait.
	DelayAfter time.Duration
}

// entryError returns what batch entry i has to fail with, or nil.
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

// Control sets the hook that is asked, for every well-formed call to a known
// operation, how to misbehave. It runs on the goroutine of the call with no
// lock held: it may block (until its context ends) and it may call the
// server. A nil hook ends all misbehaviour.
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
