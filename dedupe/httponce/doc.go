// Package httponce is net/http middleware that gives all requests with one Idempotency-Key one
// answer. It uses a [dedupe.Guard], and follows the IETF draft "The Idempotency-Key HTTP Header
// Field", version 07:
// https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
//
// # Answers
//
// POST and PATCH are guarded, see [Config.Methods]. The name of a request in the store is its
// client, method, path and key: "POST /charges 8e03978e". The handler runs once per name, as
// package dedupe promises. It may use [dedupe.AttemptFrom] and [dedupe.AddEffect] with its
// request's context.
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
// All answers but the handler's are application/problem+json (RFC 9457).
//
// # Results and failures
//
// An answer below 500 is a result, for a declined payment as well as for a created charge. It is
// recorded, and every repeat gets it. A 5xx answer, a panic and a time-out are failures. Their
// attempt counts, and the next request with the key runs the handler again, until [dedupe.Config]
// MaxAttempts are used up. The client gets the handler's own 5xx answer, 500 after a panic, and 504
// after a time-out.
//
// A client that goes away does not stop the handler. Its repeat gets the answer.
//
// # Recorded answers
//
// A record has the status, the body, and the header fields in [Config.Headers] and
// [DefaultHeaders], as one JSON value of at most [dedupe.Config] MaxResult bytes. It never has
// Set-Cookie, Date and the fields of a connection. If the value would be too large, the body is
// left out; the first client still gets the whole answer.
//
// The answer is held in memory and sent after it is recorded. A handler therefore cannot stream:
// Flush does nothing, the connection cannot be hijacked, and trailers and informational (1xx)
// answers are dropped.
package httponce
