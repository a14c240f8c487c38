package producerapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/operate"
)

// maxOrder bounds an operator's request, in bytes.
const maxOrder = 64 << 10

// forgotten is the answer to DELETE /messages/{name}.
type forgotten struct {
	Name        string          `json:"name"`
	Status      protocol.Status `json:"status" enum:"FORGOTTEN"`
	EffectiveAt time.Time       `json:"effective_at" doc:"From this time on, no worker answers from its cache. Before, a message of this name may still be suppressed as a duplicate."`
}

// Forcing holds the parameters of a request that forgets a name.
type Forcing struct {
	Ordering
	Force bool `query:"force" doc:"Also forget a name that is being handled."`
}

// deleteMessage answers DELETE /messages/{name}: it forgets the name.
func (a *API) deleteMessage(c *exchange, name string, how Forcing) (*response[forgotten], error) {
	name, err := c.theName(a.cfg.Keys, name)
	if err != nil {
		return nil, err
	}
	op, err := a.operatorOn()
	if err != nil {
		return nil, err
	}
	by := c.by(how.By)
	effective, err := op.As(by).Forget(c.Context(), name, how.Force)
	if err != nil {
		return nil, verbProblem(name, err)
	}
	a.cfg.Logger.InfoContext(c.Context(), "operator's verb", "verb", operate.Forget, "name", name, "by", by)
	c.outcome = string(protocol.Forgotten)
	return answer(http.StatusAccepted, forgotten{name, protocol.Forgotten, effective.UTC().Truncate(time.Millisecond)}), nil
}

// operatorOn returns the operator of the records. It fails if they cannot be written.
func (a *API) operatorOn() (*dedupe.Operator, error) {
	if a.names == nil {
		return nil, unavailable("records cannot be written here", nil)
	}
	return a.names, nil
}

// verbProblem returns the problem for an error of an operator's verb.
func verbProblem(name string, err error) error {
	if busy, ok := errors.AsType[*dedupe.InProgressError](err); ok {
		p := newProblem(http.StatusConflict, "name", fmt.Sprintf("%q is being handled, at least until %s; force=true forgets it nevertheless",
			name, busy.Until.UTC().Format(time.RFC3339)))
		p.retryAfter = max(time.Second, busy.After)
		return p
	}
	if no, ok := errors.AsType[*dedupe.VerbError](err); ok {
		return newProblem(http.StatusConflict, "name", fmt.Sprintf("%q: %s", name, operate.Why(no)))
	}
	if errors.Is(err, dedupe.ErrNoRecord) {
		return noRecord(name)
	}
	return unavailable("the record could not be written", err)
}

// resolution is the body of POST /messages/{name}/resolve.
type resolution struct {
	Outcome string          `json:"outcome" enum:"completed,retry" doc:"completed: record an UNKNOWN name as COMPLETED, because its work was done. retry: let an UNKNOWN or REJECTED name run again."`
	Result  json.RawMessage `json:"result,omitempty" doc:"Only with completed: any JSON of at most 4 KiB."`
}

// resolveInput is a request of POST /messages/{name}/resolve.
type resolveInput struct {
	PathName
	Ordering
	Body resolution
}

// postResolve answers POST /messages/{name}/resolve: it settles a stuck name.
func (a *API) postResolve(c *exchange, in *resolveInput) (*response[*Record], error) {
	name, err := c.theName(a.cfg.Keys, in.Name)
	if err != nil {
		return nil, err
	}
	o := in.Body
	if most := (dedupe.Config{}).WithDefaults().MaxResult; len(o.Result) > most {
		return nil, badRequest("result", fmt.Sprintf("has %d bytes, must have at most %d", len(o.Result), most))
	}
	if o.Result != nil && o.Outcome != operate.Completed {
		return nil, badRequest("result", fmt.Sprintf("is not allowed with outcome %q, only with %q", o.Outcome, operate.Completed))
	}
	op, err := a.operatorOn()
	if err != nil {
		return nil, err
	}
	order := operate.Order{Verb: o.Outcome, Names: []string{name}, Result: o.Result, By: c.by(in.By)}
	out := operate.Do(c.Context(), op, order, time.Now, a.cfg.Logger)[0]
	switch {
	case operate.IsOtherResult(out.Err):
		return nil, newProblem(http.StatusConflict, "result", fmt.Sprintf("%q is already recorded as completed with another result", in.Name))
	case out.Err != nil:
		return nil, verbProblem(name, out.Err)
	}
	return c.found(out.Record, ""), nil
}
