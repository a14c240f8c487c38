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
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/operate"
)

// NameEntry is a name that waits for something.
type NameEntry struct {
	Name     string          `json:"name"`
	Status   protocol.Status `json:"status" enum:"UNKNOWN,REJECTED,RETRYING"`
	Attempts int             `json:"attempts" minimum:"0"`
	Error    string          `json:"error,omitempty" doc:"The last failure."`
	Since    time.Time       `json:"since" doc:"When the record was written last."`
}

// NameList is what GET /names answers with.
type NameList struct {
	Names []NameEntry `json:"names" nullable:"false" doc:"UNKNOWN ones first, then REJECTED, then RETRYING; each the newest first."`
	Next  string      `json:"next,omitempty" doc:"For after: the next page. A page may have no names and a next."`
}

// listInput is a request of GET /names.
type listInput struct {
	Status string `query:"status" doc:"unknown, rejected, retrying, or several of them with commas. Default: all three."`
	Prefix string `query:"prefix" doc:"Only names that begin so."`
	Older  string `query:"older" doc:"Only names whose record was written at least so long ago, such as 1h."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Names on a page, at most."`
	After  string `query:"after" doc:"The next of the page before, of the same question."`
}

// getNames answers GET /names: the names that wait for something.
func (a *API) getNames(c *exchange, in *listInput) (*response[NameList], error) {
	var older time.Duration
	if in.Older != "" {
		var err error
		if older, err = time.ParseDuration(in.Older); err != nil {
			return nil, badRequest("older", fmt.Sprintf("%q is no duration such as 1h", in.Older))
		}
	}
	lister, _ := a.cfg.Records.(dedupe.Lister)
	page, err := operate.List(c.Context(), lister, operate.Query{
		Scope: a.cfg.Scope, Statuses: operate.ParseStatuses(in.Status), Prefix: in.Prefix, Older: older, Limit: in.Limit, After: in.After,
	}, time.Now())
	switch bad, _ := errors.AsType[*operate.QueryError](err); {
	case bad != nil:
		return nil, badRequest(bad.Field, bad.Problem)
	case errors.Is(err, dedupe.ErrNoList):
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
	Verb    string          `json:"verb" enum:"retry,completed,forget,import" doc:"import: the work of a name of which nothing is known was done elsewhere. retry: an UNKNOWN or REJECTED name may run again. completed: the work of an UNKNOWN name was done. forget: it counts as never seen."`
	Names   []string        `json:"names" minItems:"1" maxItems:"1000" nullable:"false"`
	Result  json.RawMessage `json:"result,omitempty" doc:"Of completed: any JSON, at most 4 KiB; the same for all names."`
	Force   bool            `json:"force,omitempty" doc:"Of forget: names that are being handled too."`
	Preview bool            `json:"preview,omitempty" doc:"Say what would happen, and change nothing."`
}

// ordersInput is a request of POST /names.
type ordersInput struct {
	Ordering
	Body nameOrder
}

// Ordering is whose order a request is.
type Ordering struct {
	By string `header:"X-Sqsonce-By" maxLength:"128" doc:"Whose order it is: the records of the names keep it, with the client's address."`
}

// NameReport is what became of the names of an order.
type NameReport struct {
	Done    int          `json:"done" minimum:"0" doc:"Names of which it was carried out; of a preview: would be."`
	Preview bool         `json:"preview,omitempty"`
	Names   []NameResult `json:"names" nullable:"false"`
}

// NameResult is what became of one name.
type NameResult struct {
	Name        string          `json:"name"`
	Done        bool            `json:"done"`
	Status      protocol.Status `json:"status,omitempty" doc:"As it is now."`
	Why         string          `json:"why,omitempty" doc:"It was not done."`
	EffectiveAt time.Time       `json:"effective_at,omitzero" doc:"Of forget: from then on no worker answers from memory."`
}

// postNames answers POST /names: an operator's verb on one name or many.
func (a *API) postNames(c *exchange, in *ordersInput) (*response[NameReport], error) {
	o := in.Body
	order := operate.Order{Verb: o.Verb, Result: o.Result, Force: o.Force, Preview: o.Preview, By: c.by(in.By)}
	switch most := (dedupe.Config{}).WithDefaults().MaxResult; {
	case len(o.Result) > most:
		return nil, badRequest("result", fmt.Sprintf("%d bytes, more than %d", len(o.Result), most))
	case len(o.Result) > 0 && o.Verb != operate.Completed:
		return nil, badRequest("result", "only names that are completed have one")
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

// by is whose order a request is: what the client says, and where it came from. An
// embedded API has one client, in the same process.
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
