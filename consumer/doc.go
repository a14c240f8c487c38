// Package consumer is a long-polling SQS worker pool that does not strand messages or waste
// receives.
//
// A message is deleted only after its [Handler] has returned nil, or after a copy with the reason
// has been sent to the dead-letter queue. While a handler runs, up to the 12 hours that SQS allows,
// the message stays invisible to other receivers. Delivery is at least once. Package dedupe, which
// does not depend on this package, runs the work once per name.
//
// One case is not covered: on a standard queue the answer of a receive that was lost cannot be
// fetched again. Its messages become visible after their visibility timeout and have used up one
// receive. With a maxReceiveCount of 1, SQS dead-letters them.
//
// # The life of a message
//
// The files follow the life of a message in this order:
//
//  1. receive.go: one goroutine starts long polls when they are due. Each message is received into
//     a free slot ([Config.Concurrency]). A quiet queue has one open poll, a busy one has one per
//     ten slots. From then on heartbeat.go extends the visibility timeout until SQS has answered
//     the call that settles the message.
//  2. fifo.go: on FIFO queues the messages of a group form a lane and are handled one after the
//     other. A retry happens in place, so that no message of the group overtakes another.
//  3. admission.go: the message asks for a slot and gets one answer. It waits while no slot is
//     free, during an outage or a pause, and for the rate.
//  4. handle.go: the handler runs. [Decide], a pure function, judges its error by the methods of
//     the error; see package failure. Handlers need not import this package for that.
//  5. settle.go: a finished message is deleted. A failed one becomes visible again after a backoff.
//     A message that failed for good, or on its last receive, is copied to the dead-letter queue
//     with the reason as attributes (deadletter.go) and then deleted. The calls carry up to ten
//     messages, each with its own answer. Failed entries are sent again under the heartbeat.
//
// Between two calls of its handler a message waits in this worker without a slot, or in the queue,
// which costs a receive. The messages that wait in this worker are bounded in number and bytes.
//
// On standard queues dead-letter copies keep the message group (fair queues). A message that waits
// in this worker counts as in flight for its group.
//
// # Outages
//
// A handler reports an outage with an error whose Unavailable() is true. Other parts of a program
// call [Consumer.Report]. During an outage messages wait in this worker. Single messages are tried
// as probes, alternately an untried one and the one that has waited longest. The outage uses up no
// attempts and no receives, and causes no dead letters.
//
// # Stopping
//
// When the context of [Consumer.Run] ends, receiving stops. Messages that have not started become
// visible at once. Running handlers may finish within [Config.DrainTimeout]; see Run.
package consumer
