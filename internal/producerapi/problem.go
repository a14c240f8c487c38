package producerapi

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// problem is an RFC 9457 error response.
type problem struct {
	Type      string   `json:"type" format:"uri-reference" doc:"Always about:blank: the status defines the problem."`
	Title     string   `json:"title"`
	Status    int      `json:"status" minimum:"400" maximum:"599"`
	Detail    string   `json:"detail"`
	Field     string   `json:"field,omitempty" doc:"The field at fault: a member of the body, a header, or a parameter."`
	RequestID string   `json:"request_id,omitempty"`
	Names     []string `json:"names,omitempty" nullable:"false" doc:"The names that the problem is about."`

	retryAfter time.Duration // 0: not sent
	header     http.Header   // further headers; may be nil
	cause      error         // for the log; clients do not see it; may be nil
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// Unwrap returns the cause, or nil.
func (p *problem) Unwrap() error { return p.cause }

// GetStatus implements [huma.StatusError].
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders implements [huma.HeadersError].
func (p *problem) GetHeaders() http.Header {
	h := http.Header{"Cache-Control": {"no-store"}}
	for name, values := range p.header {
		h[name] = values
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", seconds(p.retryAfter))
	}
	return h
}

// ContentType implements [huma.ContentTypeFilter].
func (p *problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// newProblem returns a problem whose detail begins with the field, if there is one.
func newProblem(status int, field, detail string) *problem {
	if field != "" {
		detail = field + ": " + detail
	}
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Field: field}
}

// badRequest returns a problem that the client can fix.
func badRequest(field, detail string) *problem {
	return newProblem(http.StatusBadRequest, field, detail)
}

// retryPause is the Retry-After of a 503.
const retryPause = 2 * time.Second

// unavailable returns the problem of a service behind the API that does not answer.
func unavailable(detail string, cause error) *problem {
	p := newProblem(http.StatusServiceUnavailable, "", detail)
	p.retryAfter, p.cause = retryPause, cause
	return p
}

// asProblem returns the problem in err, or a 500 with err as its cause.
func asProblem(err error) *problem {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = newProblem(http.StatusInternalServerError, "", "internal error; see the server's log")
		p.cause = err
	}
	return p
}

// seconds returns d in whole seconds, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// These variables are huma's only settings for the case of members, which is part of their names,
// and for the form of its own errors.
func init() {
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, text string, errs ...error) huma.StatusError {
		return humaProblem(status, text, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, text string, errs ...error) huma.StatusError {
		p := humaProblem(status, text, errs)
		if c := exchangeOf(ctx.Context()); c != nil {
			p = c.problem(p)
			c.drain()
			for name, values := range p.GetHeaders() {
				ctx.SetHeader(name, values[0])
			}
		}
		return p
	}
}

// humaProblem returns the problem for an error of huma about an invalid request.
func humaProblem(status int, text string, errs []error) *problem {
	for _, err := range errs {
		if p, ok := errors.AsType[*problem](err); ok {
			return p // from bodyReader
		}
	}
	if status == http.StatusRequestTimeout {
		return closing(newProblem(status, "body", fmt.Sprintf("must arrive within %s", bodyTimeout)))
	}
	if len(errs) == 0 {
		return badRequest("body", strings.TrimPrefix(text, "request body "))
	}
	detail, ok := errors.AsType[*huma.ErrorDetail](errs[0])
	if !ok {
		return asProblem(fmt.Errorf("%d %s: %w", status, text, errors.Join(errs...)))
	}
	return misfit(detail)
}

// missing matches huma's error for a missing member.
var missing = regexp.MustCompile(`^expected required property (\S+) to be present$`)

// misfit returns the problem of a parameter or member that does not match its type. The location of
// d is query.limit, header.X-Sqsonce-Group, body.rate or body, for example.
func misfit(d *huma.ErrorDetail) *problem {
	_, field, nested := strings.Cut(d.Location, ".")
	if !nested {
		field = d.Location
	}
	if m := missing.FindStringSubmatch(d.Message); m != nil {
		return badRequest(m[1], "is missing")
	}
	if d.Message == validation.MsgUnexpectedProperty {
		return badRequest("body", fmt.Sprintf("%s %q", d.Message, field))
	}
	switch v := d.Value.(type) {
	case float64, int64, int32, int, bool:
		return badRequest(field, fmt.Sprintf("%s, not %v", d.Message, v))
	case string:
		if nested && len(v) <= maxID {
			return badRequest(field, fmt.Sprintf("%s, not %q", d.Message, v))
		}
	}
	return badRequest(field, d.Message)
}
