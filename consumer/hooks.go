package consumer

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Hooks observe a consumer, for metrics and consoles. Each may be nil. They are called
// synchronously, from several goroutines at a time and without locks. They must not block, because
// the work waits for them. A panic of a hook is logged as an error. A panic of Handled is also a
// failure of its message.
type Hooks struct {
	// Received is called after each answered receive, with the number of messages and the duration
	// of the call.
	Received func(n int, took time.Duration)

	// Handled is called after each call of the handler, with the decision and the duration. A
	// message that is parked or held is handled several times.
	Handled func(m Message, d Disposition, took time.Duration)

	// Overdue is called when a handler has not returned 10 seconds after [Config].HandlerTimeout
	// has cancelled its context, and then every minute until it returns. running is the time since
	// its start. Its slot stays taken.
	Overdue func(m Message, running time.Duration)

	// Parked is called when a message begins to wait without a slot (parked, held, or a FIFO head
	// between two tries), and when that wait ends.
	Parked func(m Message, parked bool)

	// Extended is called after each heartbeat that SQS accepted. visibleAt is the end of the new
	// visibility timeout.
	Extended func(m Message, visibleAt time.Time)

	// Answered is called after each batch call that settles or extends messages
	// (DeleteMessageBatch, ChangeMessageVisibilityBatch), with its number of entries, the number of
	// failed ones, and its duration.
	Answered func(operation string, entries, failed int, took time.Duration)

	// DeadLettered is called when a message's copy is in the dead-letter queue. d has the reason.
	DeadLettered func(m Message, d Disposition)

	// CopyFailed is called when a message that should be dead-lettered stays in its queue, because
	// the copy failed. d has the reason for the dead letter, err the cause of the failure.
	CopyFailed func(m Message, d Disposition, err error)

	// Ended is called when a message has left this worker: its delete or release was answered, or
	// it was left to its visibility timeout.
	Ended func(m Message, d Disposition)

	// State is called with each new state of the consumer.
	State func(State)

	// Failed is called when a call to SQS, or an entry of a batch, failed.
	Failed func(operation string, err error)
}

// hooks calls the user's hooks and recovers from their panics.
type hooks struct {
	Hooks
	log *slog.Logger
}

// recovered recovers from the panic of a hook. It must be deferred directly.
func (h hooks) recovered(hook, messageID string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	failure := fmt.Errorf("hook %s panicked: %v", hook, p)
	h.log.Error("a hook of the pool panicked", "hook", hook, "message_id", messageID, "panic", p, "stack", string(debug.Stack()))
	if err != nil {
		*err = failure
	}
}

func (h hooks) received(n int, took time.Duration) {
	if h.Received != nil {
		defer h.recovered("Received", "", nil)
		h.Received(n, took)
	}
}

func (h hooks) handled(m Message, d Disposition, took time.Duration) (err error) {
	if h.Handled != nil {
		defer h.recovered("Handled", m.ID, &err)
		h.Handled(m, d, took)
	}
	return nil
}

func (h hooks) overdue(m Message, running time.Duration) {
	if h.Overdue != nil {
		defer h.recovered("Overdue", m.ID, nil)
		h.Overdue(m, running)
	}
}

func (h hooks) parked(m Message, parked bool) {
	if h.Parked != nil {
		defer h.recovered("Parked", m.ID, nil)
		h.Parked(m, parked)
	}
}

func (h hooks) extended(m Message, visibleAt time.Time) {
	if h.Extended != nil {
		defer h.recovered("Extended", m.ID, nil)
		h.Extended(m, visibleAt)
	}
}

func (h hooks) answered(operation string, entries, failed int, took time.Duration) {
	if h.Answered != nil {
		defer h.recovered("Answered", "", nil)
		h.Answered(operation, entries, failed, took)
	}
}

func (h hooks) deadLettered(m Message, d Disposition) {
	if h.DeadLettered != nil {
		defer h.recovered("DeadLettered", m.ID, nil)
		h.DeadLettered(m, d)
	}
}

func (h hooks) copyFailed(m Message, d Disposition, err error) {
	if h.CopyFailed != nil {
		defer h.recovered("CopyFailed", m.ID, nil)
		h.CopyFailed(m, d, err)
	}
}

func (h hooks) ended(m Message, d Disposition) {
	if h.Ended != nil {
		defer h.recovered("Ended", m.ID, nil)
		h.Ended(m, d)
	}
}

func (h hooks) state(s State) {
	if h.State != nil {
		defer h.recovered("State", "", nil)
		h.State(s)
	}
}

func (h hooks) failed(operation string, err error) {
	if h.Failed != nil {
		defer h.recovered("Failed", "", nil)
		h.Failed(operation, err)
	}
}
