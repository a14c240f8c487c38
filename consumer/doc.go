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
//  1. It is received only into a free slot ([Config.Concurrency]), by a long
//     poll; nothing piles up in memory with its visibility timeout running. One
//     poll is out on a quiet queue, one per ten slots on a busy one.
//  2. From here on a heartbeat extends its visibility timeout until its end is
//     answered by SQS.
//  3. The handler runs. Its error is judged by [Decide], a pure function, by the
//     methods that the error has; nobody needs to import this package for that.
//  4. Done: deleted. Failed: made visible again after a backoff. Failed for
//     good, or on the last receive before SQS would move it: copied to the
//     dead-letter queue with the reason as attributes, then deleted. In
//     progress elsewhere: made visible when the other's lease has ended, or, on
//     its last receive, parked here without a slot and looked at again.
//  5. Deletes, visibility changes and dead letters are batched ten to a call by
//     one rule without timers: a full batch goes at once, a partial one when
//     none is out. Each entry is answered for itself, and failed ones are sent
//     again under the heartbeat.
//
// # Groups
//
// On FIFO queues the messages of a group that came with one receive form a
// lane: one after the other, a retry in place, so that none is overtaken. Head
// and followers hold no slot while they wait. On standard queues a message
// group (fair queues) is kept on dead letters; a parked message counts as in
// flight for its tenant.
//
// # When something is down
//
// A handler says so by an error with Unavailable() bool, others by
// [Consumer.Report]. Messages are then held in their slots, which stops the
// receiving by itself, and one at a time is received and tried as a probe, each
// time another one. No attempt, no receive, no dead letter is spent.
//
// # Stopping
//
// When the context of [Consumer.Run] ends, receiving stops, what has not
// started is made visible at once, and handlers may finish for
// [Config.DrainTimeout]. See Run.
package consumer
