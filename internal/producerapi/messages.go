package producerapi

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

// messageDocument documents the body of a message.
type messageDocument struct {
	_    struct{} `additionalProperties:"true"`
	Name string   `json:"name,omitempty" minLength:"1" maxLength:"1024" doc:"1 to 1,024 bytes of UTF-8 without control characters. A number, or a list of texts and numbers, is a name as well."`
}

// postInput is a request of POST / and POST /messages.
type postInput struct {
	Key    string `header:"Idempotency-Key" doc:"The name, as a structured-field string (quoted) or bare. It may replace the name in the body. If both are set they must be equal."`
	Prefer string `header:"Prefer" doc:"wait=N: wait up to N seconds (at most 60) for the outcome. The record is read first: a different body is refused with 422, and an existing outcome is returned without sending the message."`
	MessageHeaders
	RawBody []byte `contentType:"application/json"`
}

// queued is the answer to a message that SQS has accepted, or that is scheduled.
type queued struct {
	Name      string `json:"name"`
	MessageID string `json:"message_id,omitempty" minLength:"1" doc:"Absent for a scheduled message."`
	Status    string `json:"status" enum:"QUEUED,SCHEDULED"`

	ScheduledAt time.Time `json:"scheduled_at,omitzero" doc:"Time of a SCHEDULED message. It is sent then or up to a minute later."`
}

const statusQueued = "QUEUED"

// postMessage answers POST / and POST /messages.
func (a *API) postMessage(c *exchange, in *postInput) (*response[any], error) {
	key, hasKey, err := idempotencyKey(c.Header)
	if err != nil {
		return nil, err
	}
	s, err := in.settings(key, hasKey, a.fifo(), a.cfg.Scheduler != nil)
	if err != nil {
		return nil, err
	}
	m, err := parseMessage(a.cfg.Keys, s, string(in.RawBody))
	if err != nil {
		return nil, err
	}
	c.name = m.name
	if m.later > 0 {
		return a.postLater(c, m)
	}
	if wait, waits := preferredWait(in.Prefer); waits {
		return a.postAndWait(c, m, wait)
	}
	took, err := a.send(c.Context(), m, 0)
	if err != nil {
		return nil, err
	}
	return c.queued(m, took), nil
}

func (c *exchange) queued(m message, took accepted) *response[any] {
	c.messageID, c.outcome = took.messageID, statusQueued
	return &response[any]{
		Status: http.StatusAccepted, Location: location(m.name), CacheControl: noStore,
		Body: queued{Name: m.name, MessageID: took.messageID, Status: statusQueued},
	}
}

// PathName is a name in the path.
type PathName struct {
	Name string `path:"name" minLength:"1" doc:"The name, percent-encoded: a slash in it is %2F. At most 1,024 bytes unless long names are hashed."`
}

// QueryName is a name in the query, for "." and "..", which cannot be in a path.
type QueryName struct {
	Name string `query:"name" doc:"The name."`
}

// Unchanged is the condition of a request for a record.
type Unchanged struct {
	IfNoneMatch string `header:"If-None-Match" doc:"ETag of a record. The answer is 304 if the record has not changed."`
}

// getMessage answers GET /messages/{name} and GET /messages?name=.
func (a *API) getMessage(c *exchange, name, ifNoneMatch string) (*response[*Record], error) {
	name, err := c.theName(a.cfg.Keys, name)
	if err != nil {
		return nil, err
	}
	r, err := a.record(c.Context(), name)
	if err != nil {
		return nil, err
	}
	if r.Name != "" {
		return c.found(r, ifNoneMatch), nil
	}
	scheduled, err := a.scheduled(c.Context(), name)
	switch {
	case err != nil:
		return nil, err
	case scheduled == nil:
		return nil, noRecord(name)
	}
	return c.foundScheduled(scheduled, ifNoneMatch), nil
}

// theName returns the normal form of the name in the path or the query. The error is a [*problem].
func (c *exchange) theName(keys *names.Extractor, name string) (string, error) {
	if c.PathValue("name") == "" && !c.URL.Query().Has("name") {
		return "", badRequest("name", "must be in the path or in the query")
	}
	name, err := keys.Normal(name)
	if err != nil {
		return "", badRequest("name", err.Error())
	}
	c.name = name
	return name, nil
}

func noRecord(name string) error {
	p := newProblem(http.StatusNotFound, "name", fmt.Sprintf("%q has no record: not handled yet, expired, or forgotten", name))
	p.retryAfter = time.Second
	return p
}

// found returns the answer with a record; 304 if the client has it already.
func (c *exchange) found(r protocol.Record, ifNoneMatch string) *response[*Record] {
	c.messageID, c.outcome = r.MessageID, string(r.Status)
	// The client may cache a record, but must revalidate it: an operator can forget the name.
	out := &response[*Record]{Status: http.StatusOK, ETag: etag(r), CacheControl: "private, no-cache", Body: new(view(r))}
	if matches(ifNoneMatch, out.ETag) {
		out.Status, out.Body = http.StatusNotModified, nil
	}
	return out
}

// matches reports whether If-None-Match contains the tag, by the weak comparison of RFC 9110,
// section 13.1.2.
func matches(condition, tag string) bool {
	for candidate := range strings.SplitSeq(condition, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == tag || candidate == "*" {
			return true
		}
	}
	return false
}
