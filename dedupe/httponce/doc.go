// Package httponce answers requests that carry one Idempotency-Key with one answer: a
// net/http middleware over a [dedupe.Guard]. It follows the IETF draft "The
// Idempotency-Key HTTP Header Field", version 07:
// https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
//
// # What becomes of a request
//
// POST and PATCH are guarded, see [Config.Methods]. The name of a request in the store
// is its client, method, path and key: "POST /charges 8e03978e". The handler runs once a
// name, as package dedupe promises, and may use [dedupe.AttemptFrom] and
// [dedupe.AddEffect] with its request's context.
//
//	request                                     answer
//	the first with its key                      the handler's
//	a repeat, after it was answered             the recorded answer, with Idempotent-Replayed: true
//	a repeat, while it is in progress           409 with Retry-After; [dedupe.Config] Wait: the answer
//	a repeat, after an answer that was not kept 409 with the answer's status and header
//	a repeat, after it has failed for good      409
//	another body or query under the same key    422
//	no key, or a malformed one                  400
//	a body larger than [Config.MaxBody]         413
//	the store does not answer                   503 with Retry-After
//
// These answers, the handler's apart, are application/problem+json (RFC 9457).
//
// # Results and failures
//
// An answer below 500 is a result, a declined payment as well as a created charge: it is
// recorded, and every repeat gets it. A 5xx answer, a panic and a time-out are failures:
// their attempt counts, and the next request with the key runs the handler again, until
// [dedupe.Config] MaxAttempts are used up. The client gets the handler's own 5xx answer.
// After a panic it gets 500, and after a time-out 504.
//
// A client that goes away does not stop the handler. Its repeat gets the answer.
//
// # What is kept
//
// The status, the body, and the header fields of [Config.Headers] and [DefaultHeaders],
// as one JSON value of at most [dedupe.Config] MaxResult bytes. Set-Cookie, Date and the
// fields of a connection are never kept. If the value would be too large, the body is
// left out of it; the first client still gets the whole answer.
//
// The answer is held in memory, and sent when it is recorded. So a handler cannot stream:
// Flush does nothing, the connection cannot be hijacked, and trailers and informational
// (1xx) answers are dropped.
package httponce
