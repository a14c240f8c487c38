package httponce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

// Problem is an error of the middleware, an RFC 9457 problem.
type Problem struct {
	Type   string `json:"type"` // [Config.Docs], or "about:blank"
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`

	// Answer is a recorded answer without its body. It is nil in all other cases.
	Answer *Answer `json:"answer,omitempty"`

	retry bool // the same request may succeed later
}

func writeProblem(w http.ResponseWriter, _ *http.Request, p Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Language", "en")
	w.Header().Set("Cache-Control", "no-store")
	body, err := json.Marshal(p)
	if err != nil { // strings, numbers and a header always encode
		body = []byte("{}")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // fails if the client has gone away
}

// problem answers with p.
func (m *middleware) problem(w http.ResponseWriter, r *http.Request, p Problem) {
	p.Type = "about:blank"
	if m.cfg.Docs != "" {
		p.Type = m.cfg.Docs
		w.Header().Add("Link", "<"+m.cfg.Docs+`>; rel="describedby"; type="text/html"`)
	}
	if p.retry {
		w.Header().Set("Retry-After", strconv.Itoa(seconds(m.cfg.RetryAfter)))
	}
	m.cfg.WriteProblem(w, r, p)
}

// seconds returns d in whole seconds, rounded up, at least one.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

const again = "Repeat it under the same key."

var errTimedOut = errors.New("the handler has timed out")

// problemOf returns the answer for an error of [dedupe.Guard.Do], except failures that the handler
// has answered itself.
func problemOf(err error) Problem {
	rejected, _ := errors.AsType[*dedupe.RejectedError](err)
	unknown, _ := errors.AsType[*dedupe.UnknownOutcomeError](err)
	switch {
	case errors.As(err, new(*dedupe.MismatchError)):
		return Problem{
			Status: http.StatusUnprocessableEntity, Title: "Idempotency-Key is already used",
			Detail: "The key was sent before with another request. Send each request under a key of its own.",
		}
	case errors.As(err, new(*dedupe.InProgressError)), errors.Is(err, dedupe.ErrLeaseLost):
		return Problem{
			Status: http.StatusConflict, Title: "A request is outstanding for this Idempotency-Key",
			Detail: "A request with this key is in progress. Repeat it to get its answer.", retry: true,
		}
	case rejected != nil:
		return Problem{
			Status: statusOf(rejected.Err), Title: "The request has failed for good",
			Detail: fmt.Sprintf("Attempts: %d. It is not run again. Send another request under a new key.", rejected.Attempts),
		}
	case unknown != nil:
		return Problem{
			Status: statusOf(unknown.Err), Title: "The outcome of the request is unknown",
			Detail: "It may have been carried out. It is not run again before an operator has looked at it.",
		}
	case errors.Is(err, errTimedOut):
		return Problem{Status: statusOf(err), Title: "The request has timed out", Detail: again, retry: true}
	case errors.Is(err, dedupe.ErrUnavailable), errors.Is(err, dedupe.ErrUnreadable),
		errors.Is(err, context.Canceled), failure.Is(err, failure.Deferred.Deferred):
		return Problem{Status: http.StatusServiceUnavailable, Title: "The request cannot be answered now", Detail: again, retry: true}
	case errors.Is(err, protocol.ErrBadName):
		return Problem{Status: http.StatusBadRequest, Title: "Idempotency-Key is not valid", Detail: "Client and key together are too long."}
	default:
		return Problem{Status: http.StatusInternalServerError, Title: "The request has failed", Detail: again}
	}
}

// statusOf returns the status for the error of an attempt that has just failed, or, with nil, for a
// request whose attempts had already been used up.
func statusOf(failed error) int {
	switch {
	case failed == nil:
		return http.StatusConflict
	case errors.Is(failed, errTimedOut):
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}
