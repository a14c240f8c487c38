package producerapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/operate"
)

// NameEntry is a name that needs attention.
type NameEntry struct {
	Name     string          `json:"name"`
	Status   protocol.Status `json:"status" enum:"UNKNOWN,REJECTED,RETRYING"`
	Attempts int             `json:"attempts" minimum:"0"`
	Error    string          `json:"error,omitempty" doc:"The last failure."`
	Since    time.Time       `json:"since" doc:"Time of the record's last write."`
}

// NameList is the answer to GET /names.
type NameList struct {
	Names []NameEntry `json:"names" nullable:"false" doc:"UNKNOWN names first, then REJECTED, then RETRYING; newest first in each."`
	Next  string      `json:"next,omitempty" doc:"Value of after for the next page. A page without names may have one."`
}

// listInput is a request of GET /names.
type listInput struct {
	Status string `query:"status" doc:"unknown, rejected, retrying, or several of them separated by commas. Default: all three."`
	Prefix string `query:"prefix" doc:"Only names that begin with this text."`
	Older  string `query:"older" doc:"Only names whose record was last written at least this long ago, such as 1h."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Largest number of names on a page."`
	After  string `query:"after" doc:"The next of the previous page of the same query."`
}

// getNames answers GET /names: the names that need attention.
func (a *API) getNames(c *exchange, in *listInput) (*response[NameList], error) {
	var older time.Duration
	if in.Older != "" {
		var err error
		if older, err = time.ParseDuration(in.Older); err != nil {
			return nil, badRequest("older", fmt.Sprintf("%q: must be a duration such as 1h", in.Older))
		}
	}
	lister, _ := a.cfg.Records.(listing.Lister)
	page, err := operate.List(c.Context(), lister, operate.Query{
		Scope: a.cfg.Scope, Statuses: operate.ParseStatuses(in.Status), Prefix: in.Prefix, Older: older, Limit: in.Limit, After: in.After,
	}, time.Now())
	switch bad, _ := errors.AsType[*operate.QueryError](err); {
	case bad != nil:
		return nil, badRequest(bad.Field, bad.Problem)
	case errors.Is(err, listing.ErrNoList):
		p := newProblem(http.StatusNotImplemented, "", "names cannot be listed: "+err.Error())
		return nil, p
	case err != nil:
		return nil, unavailable("the names could not be listed", err)
	}
	out := NameList{Names: make([]NameEntry, len(page.Entries)), Next: page.Next}
	for i, e := range page.Entries {
		out.Names[i] = NameEntry{e.Name, e.Status, e.Attempts, e.Error, operate.Since(e)}
	}
	return answer(http.StatusOK, out), nil
}

// nameOrder is the body of POST /names.
type nameOrder struct {
	Verb    string          `json:"verb" enum:"retry,completed,forget,import" doc:"import: record a name without a record as COMPLETED, because its work was done elsewhere. retry: let an UNKNOWN or REJECTED name run again. completed: record an UNKNOWN name as COMPLETED, because its work was done. forget: treat the name as never seen."`
	Names   []string        `json:"names" minItems:"1" maxItems:"1000" nullable:"false"`
	Result  json.RawMessage `json:"result,omitempty" doc:"Only with completed: any JSON of at most 4 KiB; the same for all names."`
	Force   bool            `json:"force,omitempty" doc:"Only with forget: also forget names that are being handled."`
	Preview bool            `json:"preview,omitempty" doc:"Report the effect, and change nothing."`
}

// ordersInput is a request of POST /names.
type ordersInput struct {
	Ordering
	Body nameOrder
}

// Ordering identifies the operator of a request.
type Ordering struct {
	By string `header:"X-Sqsonce-By" maxLength:"128" doc:"The operator. The records of the names keep it, with the client's address."`
}

// NameReport is the answer to POST /names.
type NameReport struct {
	Done    int          `json:"done" minimum:"0" doc:"Number of changed names; in a preview, of names that would be changed."`
	Preview bool         `json:"preview,omitempty"`
	Names   []NameResult `json:"names" nullable:"false"`
}

// NameResult is the result for one name.
type NameResult struct {
	Name        string          `json:"name"`
	Done        bool            `json:"done"`
	Status      protocol.Status `json:"status,omitempty" doc:"Current status."`
	Why         string          `json:"why,omitempty" doc:"Reason why the name was not changed."`
	EffectiveAt time.Time       `json:"effective_at,omitzero" doc:"Only with forget: from this time on, no worker answers from its cache."`
}

// postNames answers POST /names: it applies an operator's verb to names.
func (a *API) postNames(c *exchange, in *ordersInput) (*response[NameReport], error) {
	o := in.Body
	order := operate.Order{Verb: o.Verb, Result: o.Result, Force: o.Force, Preview: o.Preview, By: c.by(in.By)}
	switch most := (dedupe.Config{}).WithDefaults().MaxResult; {
	case len(o.Result) > most:
		return nil, badRequest("result", fmt.Sprintf("has %d bytes, must have at most %d", len(o.Result), most))
	case len(o.Result) > 0 && o.Verb != operate.Completed:
		return nil, badRequest("result", fmt.Sprintf("is not allowed with verb %q, only with %q", o.Verb, operate.Completed))
	}
	for i, name := range o.Names {
		known, err := a.cfg.Keys.Normal(name)
		if err != nil {
			return nil, badRequest("names", fmt.Sprintf("[%d]: %v", i, err))
		}
		order.Names = append(order.Names, known)
	}
	op, err := a.operatorOn()
	if err != nil {
		return nil, err
	}
	out := NameReport{Preview: o.Preview, Names: make([]NameResult, len(o.Names))}
	for i, done := range operate.Do(c.Context(), op, order, time.Now, a.cfg.Logger) {
		out.Names[i] = NameResult{done.Name, done.Done, statusAfter(o, done), done.Why, done.Effective.UTC().Truncate(time.Millisecond)}
		if done.Effective.IsZero() {
			out.Names[i].EffectiveAt = time.Time{}
		}
		if done.Done {
			out.Done++
		}
	}
	c.outcome = fmt.Sprintf("%s: %d of %d names", o.Verb, out.Done, len(out.Names))
	return answer(http.StatusOK, out), nil
}

func statusAfter(o nameOrder, out operate.Outcome) protocol.Status {
	if o.Verb == operate.Forget && out.Done && !o.Preview {
		return protocol.Forgotten
	}
	return out.Record.Status
}

// by returns the operator of a request: the client's own value and its address. The client of an
// embedded API is in the same process and has no address.
func (c *exchange) by(said string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, said)
	if c.api.cfg.Embedded {
		return cmp.Or(clean, "the command line")
	}
	return strings.TrimSpace(clean + " from " + c.RemoteAddr)
}
