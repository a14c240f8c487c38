// Package consumer is a long-polling SQS worker pool that strands no message
// and burns no receives.
//
// A message is deleted only when its [Handler] has returned nil, or when its
// copy stands in the dead-letter queue with the reason on it. While a handler
// works, however long, the message stays invisible to others. Delivery is at
// least once: package dedupe, which knows nothing of this one, makes it once
// per name.
//
// # The life of a message
//
//  1. It is received only into a free slot ([Config.Concurrency]), by a long
//     poll; nothing piles up in memory with its visibility timeout running.
//  2. From here on a heartbeat extends its visibility timeout until its end is
//     answered by SQS.
//  3. The handler runs. Its error is judged by [Decide], a pure function.
//  4. Done: deleted. Failed: made visible again after a backoff. Failed for
//     good, or on the last receive before SQS would move it: copied to the
//     dead-letter queue with the reason as attributes, then deleted. In
//     progress elsewhere: made visible when the other's lease has ended, or, on
//     its last receive, parked here and looked at again.
//  5. Deletes and visibility changes are batched ten to a call; each entry is
//     answered for itself, and failed ones are sent again under the heartbeat.
//
// On FIFO queues the messages of a group that came with one receive form a
// lane: one after the other, a retry in place, so that none is overtaken.
//
// # Stopping
//
// When the context of [Consumer.Run] ends, receiving stops, what has not
// started is made visible at once, and handlers may finish for
// [Config.DrainTimeout]. See Run.
package consumer
