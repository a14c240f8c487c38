package producerapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
)

// maxOrder bounds an operator's request, in bytes.
const maxOrder = 64 << 10

// forgotten is the answer to DELETE /messages/{name}.
type forgotten struct {
	Name   string        `json:"name"`
	Status dedupe.Status `json:"status"` // always FORGOTTEN
	// EffectiveAt is when no worker answers from memory any more: before it a
	// message of this name may still be taken for a duplicate.
	EffectiveAt time.Time `json:"effective_at"`
}

// deleteMessage answers DELETE /messages/{name}: the name counts as never seen.
func (a *API) deleteMessage(c *exchange) error {
	if err := a.operator(); err != nil {
		return err
	}
	name, err := c.theName()
	if err != nil {
		return err
	}
	op, err := a.operatorOn()
	if err != nil {
		return err
	}
	effective, err := op.Forget(c.Context(), name, c.URL.Query().Get("force") == "true")
	if err != nil {
		return verbProblem(name, err)
	}
	c.outcome = string(dedupe.Forgotten)
	c.w.Header().Set("Cache-Control", "no-store")
	writeJSON(c.w, http.StatusAccepted, "application/json",
		forgotten{name, dedupe.Forgotten, effective.UTC().Truncate(time.Millisecond)})
	return nil
}

// operatorOn is who settles names, where the store can be written.
func (a *API) operatorOn() (*dedupe.Operator, error) {
	if a.names == nil {
		return nil, unavailable("records cannot be written here", nil)
	}
	return a.names, nil
}

// verbProblem is why an operator's verb came to nothing.
func verbProblem(name string, err error) error {
	if busy, ok := errors.AsType[*dedupe.InProgressError](err); ok {
		p := newProblem(http.StatusConflict, "name", fmt.Sprintf("%q is being handled until %s at least; with force=true it is forgotten all the same",
			name, busy.Until.UTC().Format(time.RFC3339)))
		p.retryAfter = max(time.Second, busy.After)
		return p
	}
	if no, ok := errors.AsType[*dedupe.VerbError](err); ok {
		return newProblem(http.StatusConflict, "name", fmt.Sprintf("%q is %s: %s", name, no.Status, cannot(no.Verb, no.Status)))
	}
	if errors.Is(err, dedupe.ErrNoRecord) {
		return noRecord(name)
	}
	return unavailable("the record could not be written", err)
}

// resolution is the body of POST /messages/{name}/resolve.
type resolution struct {
	// Outcome is "completed" (the work of an UNKNOWN name was done) or "retry"
	// (an UNKNOWN or REJECTED name may be tried again).
	Outcome string          `json:"outcome"`
	Result  json.RawMessage `json:"result"` // of a completed one; may be absent
}

// postResolve answers POST /messages/{name}/resolve: an operator's word on a
// name that is stuck.
func (a *API) postResolve(c *exchange) error {
	if err := a.operator(); err != nil {
		return err
	}
	name, err := c.theName()
	if err != nil {
		return err
	}
	var order resolution
	if err := c.readOrder(&order); err != nil {
		return err
	}
	if len(order.Result) > dedupe.DefaultMaxResult {
		return badRequest("result", fmt.Sprintf("%d bytes, more than %d", len(order.Result), dedupe.DefaultMaxResult))
	}
	op, err := a.operatorOn()
	if err != nil {
		return err
	}
	var r dedupe.Record
	switch {
	case order.Outcome == "completed":
		r, err = op.Resolve(c.Context(), name, dedupe.Payload{Data: order.Result})
	case order.Outcome == "retry" && order.Result == nil:
		r, err = op.Reopen(c.Context(), name)
	case order.Outcome == "retry":
		return badRequest("result", "a name that is tried again has none")
	default:
		return badRequest("outcome", fmt.Sprintf("%q is neither completed nor retry", order.Outcome))
	}
	if err != nil {
		return verbProblem(name, err)
	}
	c.writeRecord(r)
	return nil
}

// cannot says why a verb does not fit a status.
func cannot(verb string, s dedupe.Status) string {
	switch {
	case s == dedupe.InProgress:
		return "it is being handled"
	case verb == "reopen":
		return "it was done, and is never run again unless it is forgotten"
	default:
		return "only an UNKNOWN name can be declared completed"
	}
}

// readOrder reads an operator's request.
func (c *exchange) readOrder(into any) error {
	if _, err := mediaType(c.Header, false); err != nil {
		return err
	}
	body, err := c.readBody(maxOrder)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return badRequest("body", err.Error())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("body", "something follows the JSON object")
	}
	return nil
}
