// Package chaos runs workers as processes on local servers of SQS and DynamoDB, injects faults from
// outside, and counts the calls of the target.
//
// A [Proxy] between workers and servers drops answers after their effect, delays, breaks and
// throttles requests. At random times workers are killed with SIGKILL, stopped with SIGSTOP for
// longer than a lease, and ended with SIGTERM. A [Ledger] is their HTTP target, which records every
// call with its fence. At the end [Report.Judge] checks that every repeated call has an allowed
// cause.
package chaos
