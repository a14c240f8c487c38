package producerapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// problem is an answer other than the one that was hoped for, as RFC 9457
// describes it.
type problem struct {
	Type      string   `json:"type"` // about:blank: the status says it all
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail"`
	Field     string   `json:"field,omitempty"` // what is wrong: a member of the body, a header, a parameter
	RequestID string   `json:"request_id,omitempty"`
	Names     []string `json:"names,omitempty"` // names it is about

	retryAfter time.Duration // zero: not sent
	header     http.Header   // further headers; may be nil
	cause      error         // for the log, never for the client; may be nil
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// Unwrap returns what is behind the problem, or nil.
func (p *problem) Unwrap() error { return p.cause }

// newProblem returns a problem whose detail begins with the field, if there is one.
func newProblem(status int, field, detail string) *problem {
	if field != "" {
		detail = field + ": " + detail
	}
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Field: field}
}

// badRequest is what the client can mend.
func badRequest(field, detail string) *problem {
	return newProblem(http.StatusBadRequest, field, detail)
}

// retryPause is how long a client should wait before it asks again after a 503.
const retryPause = 2 * time.Second

// unavailable says that something behind the API does not answer.
func unavailable(detail string, cause error) *problem {
	p := newProblem(http.StatusServiceUnavailable, "", detail)
	p.retryAfter, p.cause = retryPause, cause
	return p
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter, requestID string) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", seconds(p.retryAfter))
	}
	shown := *p
	shown.RequestID = requestID
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, p.Status, "application/problem+json", shown)
}

// seconds is d as a number of whole seconds, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// writeJSON sends v. A client that has gone needs no answer.
func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // every v here encodes
}
