package console

import (
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

// namesShown is the number of names on a page of the list.
const namesShown = 100

// NameRow is a name in the list.
type NameRow struct {
	Name     string `json:"name"`
	Status   string `json:"status"`
	Attempts int    `json:"attempts"`
	Error    string `json:"error,omitempty"`
	Since    int64  `json:"since"` // epoch ms of the last write
}

// NameList is a page of the names that need attention.
type NameList struct {
	Now   int64     `json:"now"` // epoch ms
	Names []NameRow `json:"names"`
	Next  string    `json:"next,omitempty"`
}

// getNames answers with a page of the list. Its parameters are status, prefix, older and after.
func (c *panel) getNames(w http.ResponseWriter, r *http.Request) {
	in := r.URL.Query()
	q := operate.Query{
		Scope: c.queue.Scope, Statuses: operate.ParseStatuses(in.Get("status")), Prefix: in.Get("prefix"), Limit: namesShown, After: in.Get("after"),
	}
	if text := in.Get("older"); text != "" {
		var err error
		if q.Older, err = time.ParseDuration(text); err != nil {
			problem(w, http.StatusBadRequest, fmt.Sprintf("older %q: must be a duration such as 1h", clip(text, 100)))
			return
		}
	}
	now := time.Now()
	page, err := operate.List(ours(r.Context()), c.queue.Lister, q, now)
	if err != nil {
		status := http.StatusServiceUnavailable
		if _, bad := errors.AsType[*operate.QueryError](err); bad {
			status = http.StatusBadRequest
		} else if errors.Is(err, listing.ErrNoList) {
			status = http.StatusNotImplemented
		}
		problem(w, status, clip(err.Error(), maxErrorKept))
		return
	}
	list := NameList{Now: now.UnixMilli(), Names: make([]NameRow, len(page.Entries)), Next: page.Next}
	for i, e := range page.Entries {
		list.Names[i] = NameRow{clip(e.Name, protocol.MaxNameBytes), string(e.Status), e.Attempts, clip(e.Error, maxErrorKept), epoch(operate.Since(e))}
	}
	answer(w, list)
}

// Settle is an operator's verb on names.
type Settle struct {
	Verb    string          `json:"verb"` // retry, completed, forget
	Names   []string        `json:"names"`
	Result  json.RawMessage `json:"result,omitempty"` // only with completed
	Force   bool            `json:"force,omitempty"`  // also forget names that are being handled
	Preview bool            `json:"preview,omitempty"`
}

// Settled is the result of a verb.
type Settled struct {
	Done  int           `json:"done"` // changed names; in a preview: would be changed
	Names []SettledName `json:"names"`
}

// SettledName is the result for one name.
type SettledName struct {
	Name   string `json:"name"`
	Done   bool   `json:"done"`
	Status string `json:"status,omitempty"`
	Why    string `json:"why,omitempty"` // reason why the name was not changed
}

// postSettle applies a verb to up to a thousand names.
func (c *panel) postSettle(w http.ResponseWriter, r *http.Request, log actionLog) {
	var in Settle
	if !read(w, r, &in) {
		return
	}
	switch most := (dedupe.Config{}).WithDefaults().MaxResult; {
	case in.Verb != operate.Retry && in.Verb != operate.Completed && in.Verb != operate.Forget:
		problem(w, http.StatusBadRequest, "verb: must be retry, completed or forget")
		return
	case len(in.Names) == 0 || len(in.Names) > operate.MaxPage:
		problem(w, http.StatusBadRequest, fmt.Sprintf("names: must have 1 to %d entries", operate.MaxPage))
		return
	case len(in.Result) > 0 && in.Verb != operate.Completed:
		problem(w, http.StatusBadRequest, "result: is allowed only with verb completed")
		return
	case len(in.Result) > most:
		problem(w, http.StatusBadRequest, fmt.Sprintf("result: has %d bytes, must have at most %d", len(in.Result), most))
		return
	}
	order := operate.Order{Verb: in.Verb, Names: in.Names, Result: in.Result, Force: in.Force, Preview: in.Preview, By: c.by(r)}
	report := Settled{Names: make([]SettledName, len(in.Names))}
	for i, out := range operate.Do(ours(r.Context()), c.queue.Operator, order, time.Now, c.cfg.Logger) {
		report.Names[i] = SettledName{clip(out.Name, protocol.MaxNameBytes), out.Done, string(out.Record.Status), clip(out.Why, maxErrorKept)}
		if !out.Done {
			continue
		}
		report.Done++
		if !in.Preview && c.queue.History != nil {
			c.queue.History.happened(out.Name, "settled", in.Verb)
		}
	}
	log(r.Context(), acted, "verb", in.Verb, "names", len(in.Names), "done", report.Done, "preview", in.Preview)
	answer(w, report)
}

// by returns the name of a visitor for records.
func (c *console) by(r *http.Request) string {
	return strings.TrimPrefix(c.cfg.By+" ", " ") + "console, " + c.access.visitorOf(r).who()
}
