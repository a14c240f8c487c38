// Package sqstest is a queue server in memory that answers as Amazon SQS does,
// for tests and local work. A test has the real client, and needs neither
// containers nor a network:
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
// Inside a testing/synctest bubble the server goes by the bubble's time:
// visibility timeouts, delays, long polls and retention periods of hours pass
// in microseconds. Start the server inside the bubble. [Server.Listen] is for
// real time only, because network connections are not of the bubble.
//
// # Faults
//
// [Server.Control] sets a hook that is asked about every call, and returns how
// the server misbehaves on it ([Fault]):
//
//   - Error answers with an error of SQS, by either of its names: throttling,
//     KMS trouble, access denied, or a status of its own.
//   - FailEntries and EntryError fail single entries of a batch.
//   - Duplicate delivers messages twice, as a standard queue may.
//   - LoseAnswer does the work and breaks the connection, so that the client
//     tries again.
//   - Delay and DelayAfter hold a call up before and after its effect.
//
// A hook can count calls, block until the test goes on, and look at the
// operation, the queue and the number of entries ([Call]). The SDK's client
// tries again three times by itself: give it aws.NopRetryer to see the first
// answer. [Server.Client] takes such options.
//
// # Protocols
//
// The server speaks SQS's JSON protocol and the older Query protocol, which
// Debian's AWS CLI and SDKs of before November 2023 use. [Server.Listen] opens a
// port for one test; [Server] is an [http.Handler] for other uses.
//
// Requests are not authenticated. Those that a page of another site has caused
// are refused, and so are those over the loopback interface under a foreign
// host name: a browser is no way in.
//
// # What it is held to
//
// TestServersDoAsSQS holds the server against 173 answers that LocalStack
// recorded from SQS (github.com/localstack/localstack, Apache-2.0), by
// operation, in memory and over TCP. It agrees in 165. It does otherwise here:
//
//   - A standard queue delivers in the order of sending; a message that is
//     visible again goes to the end. SQS promises no order.
//   - A standard queue always deletes by the handle of an earlier delivery. The
//     documentation says that SQS may not.
//   - A move task without a rate is over at once.
//   - The name of a deleted queue is free at once, not after a minute.
//   - A server has one Region and one account, and no permissions. Encryption
//     attributes are kept and have no effect.
//
// Nothing survives the process.
package sqstest
