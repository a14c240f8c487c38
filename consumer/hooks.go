package consumer

import "time"

// Hooks observe a consumer, for metrics and consoles. Each may be nil. They
// are called synchronously, from several goroutines at a time and with no lock
// held, and must not block: the work waits for them.
type Hooks struct {
	// Received is called after each answered receive, with the number of
	// messages and how long the call took.
	Received func(n int, took time.Duration)

	// Handled is called after each run of the handler, with what was decided
	// and how long the handler took. A message is handled several times when it
	// is parked or held.
	Handled func(m Message, d Disposition, took time.Duration)

	// Parked is called when a message begins to wait here without a slot (parked,
	// or a lane's head between two tries), and when that is over.
	Parked func(m Message, parked bool)

	// Extended is called after each heartbeat that SQS took, with the time at
	// which the message would be visible to others without the next.
	Extended func(m Message, visibleAt time.Time)

	// Answered is called after each batch call that ends or extends messages
	// (DeleteMessageBatch, ChangeMessageVisibilityBatch), with the entries that
	// it carried, how many of them failed, and how long it took.
	Answered func(operation string, entries, failed int, took time.Duration)

	// DeadLettered is called when a message's copy stands in the dead-letter
	// queue; d has the reason.
	DeadLettered func(m Message, d Disposition)

	// Ended is called when a message is done with in this worker: its delete or
	// release was answered, or it was left to its visibility timeout.
	Ended func(m Message, d Disposition)

	// State is called when the consumer's state has changed.
	State func(State)

	// Failed is called when a call to SQS failed, or an entry of one.
	Failed func(operation string, err error)
}
