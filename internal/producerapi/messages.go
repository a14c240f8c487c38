package producerapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
)

// queued is the answer to a message that SQS has accepted.
type queued struct {
	Name      string `json:"name"`
	MessageID string `json:"message_id"`
	Status    string `json:"status"` // always QUEUED
}

const statusQueued = "QUEUED"

// postMessage answers POST / and POST /messages.
func (a *API) postMessage(c *exchange) error {
	if _, err := mediaType(c.Header, false); err != nil {
		return err
	}
	s, err := parseSettings(c.Header, a.fifo())
	if err != nil {
		return err
	}
	if err := a.reserve(c, maxBody); err != nil {
		return err
	}
	defer a.release(c)
	body, err := c.readBody(maxBody)
	if err != nil {
		return err
	}
	m, err := parseMessage(a.cfg.Keys, s, body)
	if err != nil {
		return err
	}
	c.name = m.name
	wait, waits := preferredWait(c.Header)
	if waits {
		return a.postAndWait(c, m, wait)
	}
	took, err := a.send(c.Context(), m, 0)
	if err != nil {
		return err
	}
	c.writeQueued(m, took)
	return nil
}

// requestOverhead is what a request takes in memory beside its body.
const requestOverhead = 4 << 10

// reserve takes the bytes a body may have from what all requests may have
// together.
func (a *API) reserve(c *exchange, limit int64) error {
	n := limit
	if c.ContentLength >= 0 && c.ContentLength < limit {
		n = c.ContentLength
	}
	n += requestOverhead
	if !a.pending.take(n) {
		c.w.Header().Set("Connection", "close")
		return unavailable("too much is waiting to be sent", nil)
	}
	c.reserved = n
	return nil
}

// release gives back what the request has reserved, once.
func (a *API) release(c *exchange) {
	a.pending.give(c.reserved)
	c.reserved = 0
}

func (c *exchange) writeQueued(m message, took accepted) {
	c.messageID, c.outcome = took.messageID, statusQueued
	c.w.Header().Set("Location", location(m.name))
	c.w.Header().Set("Cache-Control", "no-store")
	writeJSON(c.w, http.StatusAccepted, "application/json", queued{m.name, took.messageID, statusQueued})
}

// getMessage answers GET /messages/{name} and GET /messages?name=.
func (a *API) getMessage(c *exchange) error {
	name, err := c.theName()
	if err != nil {
		return err
	}
	r, err := a.record(c.Context(), name)
	if err != nil {
		return err
	}
	if r.Name == "" {
		return noRecord(name)
	}
	c.writeRecord(r)
	return nil
}

// theName is the name in the path or in the query, checked.
func (c *exchange) theName() (string, error) {
	name := c.pathName
	if name == "" {
		q, err := url.ParseQuery(c.URL.RawQuery)
		if err != nil || len(q["name"]) != 1 {
			return "", badRequest("name", "must be in the path, or once in the query")
		}
		name = q.Get("name")
	}
	if err := dedupe.CheckName(name); err != nil {
		return "", badRequest("name", nameProblem(err))
	}
	c.name = name
	return name, nil
}

func noRecord(name string) error {
	p := newProblem(http.StatusNotFound, "name", fmt.Sprintf("nothing is known of %q: not handled yet, expired, or forgotten", name))
	p.retryAfter = time.Second
	return p
}

// writeRecord answers with a record, or says that the client has it already.
func (c *exchange) writeRecord(r dedupe.Record) {
	c.messageID, c.outcome = r.MessageID, string(r.Status)
	h := c.w.Header()
	h.Set("ETag", etag(r))
	// May be kept by the client itself, but has to be asked for again each time:
	// an operator can have it forgotten.
	h.Set("Cache-Control", "private, no-cache")
	if c.Method != http.MethodPost && matches(c.Header.Values("If-None-Match"), etag(r)) {
		c.w.WriteHeader(http.StatusNotModified)
		return
	}
	writeJSON(c.w, http.StatusOK, "application/json", view(r))
}

// matches reports whether If-None-Match names the tag, by the weak comparison
// of RFC 9110, section 13.1.2.
func matches(lines []string, tag string) bool {
	for _, line := range lines {
		for candidate := range strings.SplitSeq(line, ",") {
			candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
			if candidate == tag || candidate == "*" {
				return true
			}
		}
	}
	return false
}
