// Package sqstest is an in-memory server with the API of Amazon SQS, for tests and local work.
// Tests use the real client of the SDK, and need neither containers nor a network:
//
//	func TestShip(t *testing.T) {
//		s := sqstest.Start(t)
//		orders := s.Queue(t, "orders", nil)
//		ship(s.Client(), orders) // the code under test sends a message
//		want(t, receive(s.Client(), orders), "order-17")
//	}
//
// # Time
//
// Inside a testing/synctest bubble the server uses the bubble's clock: visibility timeouts, delays,
// long polls and retention periods of hours pass in microseconds. Start the server inside the
// bubble. [Server.Listen] works in real time only, because a bubble cannot contain network
// connections.
//
// # Faults
//
// [Server.Control] sets a hook. The server calls the hook for every request, and applies the
// [Fault] that it returns:
//
//   - Error answers with an SQS error, by either of its names, or with an HTTP status: throttling,
//     KMS errors, access denied.
//   - FailEntries and EntryError fail single entries of a batch.
//   - Duplicate delivers messages twice, as a standard queue may.
//   - LoseAnswer carries out the request and breaks the connection, so that the client retries.
//   - Delay and DelayAfter delay a call before and after its effect.
//
// A hook can count calls, block until the test goes on, and read the operation, the queue and the
// number of entries ([Call]). The SDK's client makes up to three attempts: with aws.NopRetryer, an
// option of [Server.Client], a test sees the first answer.
//
// # Protocols
//
// The server speaks SQS's JSON protocol and the older Query protocol, which Debian's AWS CLI and
// SDKs from before November 2023 use. [Server.Listen] opens a port for one test; [Server] is an
// [http.Handler] for other uses.
//
// Requests are not authenticated. To keep browsers out, the server refuses requests caused by a
// page of another site, and requests over the loopback interface under a foreign host name.
//
// # Conformance
//
// TestServersDoAsSQS compares the server with 173 answers that LocalStack recorded from SQS
// (github.com/localstack/localstack, Apache-2.0), by operation, in memory and over HTTP. 165 agree.
// The differences:
//
//   - A standard queue delivers in the order of sending; a message that becomes visible again goes
//     to the end. SQS promises no order.
//   - A standard queue with message groups is fair by the groups' messages in flight alone, and at
//     the exact thresholds. SQS also measures their processing time, and calls its thresholds
//     approximate.
//   - A standard queue always deletes by the receipt handle of an earlier delivery. According to
//     its documentation SQS may not.
//   - A move task without a rate completes at once.
//   - The name of a deleted queue is free at once, not after a minute.
//   - A server has one Region, one account, and no permissions. Encryption attributes are stored
//     without effect.
//
// All data ends with the process.
package sqstest
