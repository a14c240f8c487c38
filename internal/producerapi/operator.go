package producerapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

// maxOrder bounds an operator's request, in bytes.
const maxOrder = 64 << 10

// forgotten is the answer to DELETE /messages/{name}.
type forgotten struct {
	Name        string          `json:"name"`
	Status      protocol.Status `json:"status" enum:"FORGOTTEN"`
	EffectiveAt time.Time       `json:"effective_at" doc:"From then on no worker answers from memory: before it a message of this name may still be taken for a duplicate."`
}

// Forcing is whether a live lease is forgotten too.
type Forcing struct {
	Force bool `query:"force" doc:"Forget a name that is being handled too."`
}

// deleteMessage answers DELETE /messages/{name}: the name counts as never seen.
func (a *API) deleteMessage(c *exchange, name string, force bool) (*response[forgotten], error) {
	name, err := c.theName(a.cfg.Keys, name)
	if err != nil {
		return nil, err
	}
	op, err := a.operatorOn()
	if err != nil {
		return nil, err
	}
	effective, err := op.Forget(c.Context(), name, force)
	if err != nil {
		return nil, verbProblem(name, err)
	}
	c.outcome = string(protocol.Forgotten)
	return answer(http.StatusAccepted, forgotten{name, protocol.Forgotten, effective.UTC().Truncate(time.Millisecond)}), nil
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
	Outcome string          `json:"outcome" enum:"completed,retry" doc:"completed: the work of an UNKNOWN name was done. retry: an UNKNOWN or REJECTED name may be tried again."`
	Result  json.RawMessage `json:"result,omitempty" doc:"Of a completed one: any JSON, at most 4 KiB."`
}

// resolveInput is a request of POST /messages/{name}/resolve.
type resolveInput struct {
	PathName
	Body resolution
}

// postResolve answers POST /messages/{name}/resolve: an operator's word on a
// name that is stuck.
func (a *API) postResolve(c *exchange, in *resolveInput) (*response[*Record], error) {
	name, err := c.theName(a.cfg.Keys, in.Name)
	if err != nil {
		return nil, err
	}
	order := in.Body
	if most := (dedupe.Config{}).WithDefaults().MaxResult; len(order.Result) > most {
		return nil, badRequest("result", fmt.Sprintf("%d bytes, more than %d", len(order.Result), most))
	}
	op, err := a.operatorOn()
	if err != nil {
		return nil, err
	}
	var r protocol.Record
	switch {
	case order.Outcome == "completed":
		r, err = op.Resolve(c.Context(), name, dedupe.Payload{Data: order.Result})
	case order.Result != nil:
		return nil, badRequest("result", "a name that is tried again has none")
	default:
		r, err = op.Reopen(c.Context(), name)
	}
	if err != nil {
		return nil, verbProblem(name, err)
	}
	if order.Result != nil && !sameJSON(order.Result, r.Result) { // it was completed before
		return nil, newProblem(http.StatusConflict, "result", fmt.Sprintf("%q is recorded as completed with another result, which stays", in.Name))
	}
	return c.found(r, ""), nil
}

// sameJSON reports whether two documents mean the same.
func sameJSON(a, b []byte) bool {
	x, err := names.Canonical(nil, a)
	y, errOther := names.Canonical(nil, b)
	return err == nil && errOther == nil && bytes.Equal(x, y)
}

// cannot says why a verb does not fit a status.
func cannot(verb string, s protocol.Status) string {
	switch {
	case s == protocol.InProgress:
		return "it is being handled"
	case verb == "reopen":
		return "it was done, and is never run again unless it is forgotten"
	default:
		return "only an UNKNOWN name can be declared completed"
	}
}
