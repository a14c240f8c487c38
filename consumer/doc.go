// Package consumer is a long-polling SQS worker pool that strands no message
// and burns no receives.
//
// A message is deleted only when its [Handler] has returned nil, or when its
// copy stands in the dead-letter queue with the reason on it. While a handler
// works, however long (SQS allows 12 hours), the message stays invisible to
// others. Delivery is at least once: package dedupe, which knows nothing of
// this one, makes it once per name.
//
// Not promised: on a standard queue a receive whose answer is lost cannot be
// fetched again. Its messages come back after their visibility timeout, with
// one receive gone; with a maxReceiveCount of 1 they are dead-lettered.
//
// # The life of a message
//
// The files are its stations, in this order:
//
//  1. receive.go: one goroutine starts long polls when they are due. A message is received
//     into a free slot ([Config.Concurrency]); one poll is out on a quiet queue, one per ten
//     slots on a busy one. From here on heartbeat.go extends its visibility timeout until
//     its end is answered by SQS.
//  2. fifo.go: on FIFO queues the messages of a group form a lane, one after the other; a
//     retry happens in place, so that none is overtaken.
//  3. admission.go: the message asks for a slot and gets one answer. Slots, outages, pauses
//     and rates are reasons why it is not admitted yet.
//  4. handle.go: the handler runs. Its error is judged by [Decide], a pure function, by the
//     methods that the error has (package failure); nobody needs to import this package for
//     that.
//  5. settle.go: done: deleted. Failed: visible again after a backoff. Failed for good, or on
//     the last receive before SQS would move it: copied to the dead-letter queue with the
//     reason as attributes (deadletter.go), then deleted. These calls are batched ten to one;
//     each entry is answered for itself, and failed ones are sent again under the heartbeat.
//
// Between two calls of its handler a message waits here, without a slot, or in the queue,
// which costs a receive. What waits here is bounded by count and bytes.
//
// On standard queues a message group (fair queues) is kept on dead letters; a message that
// waits here counts as in flight for its tenant.
//
// # When something is down
//
// A handler says so by an error with Unavailable() bool, others by [Consumer.Report].
// Messages then wait here, and are tried one by one, as probes: an untried one, and the one
// that was held longest, in turns. No attempt, no receive, no dead letter is spent.
//
// # Stopping
//
// When the context of [Consumer.Run] ends, receiving stops, what has not started is made
// visible at once, and handlers may finish for [Config.DrainTimeout]. See Run.
package consumer
