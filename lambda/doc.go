// Package sqsoncelambda runs the guard in an AWS Lambda function that SQS invokes: work is called
// once per name, with the same records as a worker keeps.
//
//	lambda.Start(sqsoncelambda.Handler(cfg, sqsoncelambda.Config{Table: "sqsonce"}, charge))
//
// The event source mapping must have the function response type ReportBatchItemFailures. Without
// it Lambda ignores the response and deletes all messages of an event, also those that failed.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
//
// # Messages of an event
//
// Messages of one name run one after the other, so that ten messages with three names call the work
// three times. Other messages run side by side, up to [Config.Concurrency]. The end of a message:
//
//   - Done now or earlier: SQS deletes it.
//   - The work failed, or another attempt holds the name: reported as a failure, and visible again
//     after a backoff or when the lease of the other attempt has ended. Later messages of the name
//     in the event wait as long.
//   - No retry can succeed, the attempts are used up, or it failed on its last receive: copied to
//     the dead-letter queue with the attributes that a worker sets, and deleted.
//
// On a FIFO queue messages of a group run in order. A group stops at its first failure, and its
// remaining messages are reported as failures, too. Other groups go on.
//
// # Time
//
// Lambda kills a function at the deadline of its invocation. The work's context ends twice
// [dedupe.Config.Skew] before, so that its outcome can be recorded, and no lease reaches past the
// deadline: names that a killed function leaves behind are free Skew after it. An invocation does
// not end before its work has returned. Lambda suspends a function between two invocations, and its
// monotonic clock with it; leases also go by the wall clock, before work begins and before its
// failure is recorded.
package sqsoncelambda
