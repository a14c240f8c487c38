package producerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
)

const (
	maxOrder = 64 << 10 // bytes of an operator's request
	// writeTries bounds how often an operator's write may lose to an attempt
	// that goes on meanwhile.
	writeTries = 10
)

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
	force := c.URL.Query().Get("force") == "true"
	r, verdict, err := a.apply(c.Context(), name, func(now time.Time) dedupe.Event {
		return dedupe.Forget{Now: now, Terms: a.terms(), Force: force}
	})
	if err != nil {
		return err
	}
	if verdict != dedupe.VerdictApply {
		p := newProblem(http.StatusConflict, "name",
			fmt.Sprintf("%q is being handled until %s at least; with force=true it is forgotten all the same", name, r.LeaseUntil.UTC().Format(time.RFC3339)))
		p.retryAfter = max(time.Second, time.Until(r.LeaseUntil)+a.cfg.Skew)
		return p
	}
	c.outcome = string(dedupe.Forgotten)
	c.w.Header().Set("Cache-Control", "no-store")
	writeJSON(c.w, http.StatusAccepted, "application/json",
		forgotten{name, dedupe.Forgotten, time.Now().Add(a.cfg.CacheAge).UTC().Truncate(time.Millisecond)})
	return nil
}

// terms are what an operator's write follows.
func (a *API) terms() dedupe.Terms { return dedupe.Terms{Skew: a.cfg.Skew, Window: a.cfg.Window} }

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
	var event func(now time.Time) dedupe.Event
	switch {
	case order.Outcome == "completed":
		event = func(now time.Time) dedupe.Event {
			return dedupe.Resolve{Now: now, Terms: a.terms(), Result: order.Result}
		}
	case order.Outcome == "retry" && order.Result == nil:
		event = func(now time.Time) dedupe.Event { return dedupe.Reopen{Now: now, Terms: a.terms()} }
	case order.Outcome == "retry":
		return badRequest("result", "a name that is tried again has none")
	default:
		return badRequest("outcome", fmt.Sprintf("%q is neither completed nor retry", order.Outcome))
	}
	r, verdict, err := a.apply(c.Context(), name, event)
	switch {
	case err != nil:
		return err
	case verdict == dedupe.VerdictApply:
		c.writeRecord(r)
		return nil
	case !r.Live(time.Now(), a.cfg.Skew):
		return noRecord(name)
	default:
		return newProblem(http.StatusConflict, "name", fmt.Sprintf("%q is %s: %s", name, r.Status, cannot(order.Outcome, r.Status)))
	}
}

// cannot says why an outcome does not fit a status.
func cannot(outcome string, s dedupe.Status) string {
	switch {
	case s == dedupe.InProgress:
		return "it is being handled"
	case outcome == "retry":
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

// apply carries out an operator's event on a name's record, and returns the
// record as it then is. The error is a *[problem].
func (a *API) apply(ctx context.Context, name string, event func(now time.Time) dedupe.Event) (dedupe.Record, dedupe.Verdict, error) {
	if a.store == nil {
		return dedupe.Record{}, 0, unavailable("records cannot be written here", nil)
	}
	r, err := a.stored(ctx, name)
	if err != nil {
		return r, 0, err
	}
	for range writeTries {
		next, verdict := dedupe.Step(r, event(time.Now()))
		if verdict != dedupe.VerdictApply || next.Version == r.Version {
			return next, verdict, nil
		}
		err = a.store.Swap(ctx, r.Version, next)
		if err == nil {
			return next, verdict, nil
		}
		conflict, ok := errors.AsType[*dedupe.ConflictError](err)
		if !ok {
			break
		}
		r = conflict.Current // an operator's events are idempotent by status
	}
	return r, 0, unavailable("the record could not be written", err)
}
