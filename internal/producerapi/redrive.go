package producerapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/internal/deadletter"
)

// redriveTime is how long one request of a redrive looks for further messages.
const redriveTime = 45 * time.Second

// redriveOrder is the body of POST /dlq/redrive. The zero value moves everything.
type redriveOrder struct {
	Name          string    `json:"name,omitempty" doc:"Only messages of this name."`
	Names         []string  `json:"names,omitempty" maxItems:"1000" nullable:"false" doc:"Only messages of these names."`
	Reason        string    `json:"reason,omitempty" doc:"Only messages with this reason."`
	IDs           []string  `json:"ids,omitempty" maxItems:"1000" nullable:"false" doc:"Only messages with these ids."`
	ReopenUnknown bool      `json:"reopen_unknown,omitempty" doc:"Names recorded as UNKNOWN too, and those whose attempt has vanished: run them again."`
	Preview       bool      `json:"preview,omitempty" doc:"Say what would be moved, and change nothing."`
	Rate          int       `json:"rate,omitempty" minimum:"0" maximum:"10000" doc:"Messages a second, at most; 0: no limit."`
	Began         time.Time `json:"began,omitzero" doc:"Messages that came later are left alone. In the requests that follow one with more: its began."`
}

// redriveInput is a request of POST /dlq/redrive.
type redriveInput struct {
	Ordering
	Body redriveOrder
}

// Redrive is what a redrive has come to.
type Redrive struct {
	Began    time.Time     `json:"began"`
	Looked   int           `json:"looked" minimum:"0" doc:"Messages that were looked at."`
	Moved    int           `json:"moved" minimum:"0" doc:"Sent to the queue and deleted here; of a preview: would be."`
	Kept     int           `json:"kept" minimum:"0" doc:"Not sent: the worker would return them at once."`
	Failed   int           `json:"failed" minimum:"0" doc:"Could not be sent, and are still here."`
	Copied   int           `json:"copied" minimum:"0" doc:"Sent, but not deleted here."`
	Returned int           `json:"returned" minimum:"0" doc:"Sent, and given up again by a worker meanwhile."`
	Reopened int           `json:"reopened" minimum:"0" doc:"Names that the worker would have refused, and were re-opened."`
	More     bool          `json:"more,omitempty" doc:"Not all messages were looked at: ask again, with began."`
	Preview  bool          `json:"preview,omitempty"`
	Error    string        `json:"error,omitempty" doc:"What ended it early."`
	Items    []RedriveItem `json:"items" nullable:"false" doc:"The messages that were meant."`
}

// RedriveItem is what became of one message.
type RedriveItem struct {
	Name      string `json:"name,omitempty"`
	MessageID string `json:"message_id"`
	Outcome   string `json:"outcome" enum:"moved,kept,failed,copied,returned"`
	Why       string `json:"why,omitempty" doc:"It was not moved."`
}

// postRedrive answers POST /dlq/redrive: an order to the workers to try what is
// in the dead-letter queue again.
func (a *API) postRedrive(c *exchange, in *redriveInput) (*response[Redrive], error) {
	dead, err := a.deadLetterQueue()
	if err != nil {
		return nil, err
	}
	o := in.Body
	var names []string
	for _, name := range append(o.Names, o.Name) {
		if name != "" {
			names = append(names, a.normal(name))
		}
	}
	by := c.by(in.By)
	report, err := dead.Redrive(c.Context(), deadletter.Order{
		Names: names, Records: a.names.As(by), Reason: o.Reason, IDs: o.IDs, ReopenUnknown: o.ReopenUnknown, Preview: o.Preview, Rate: float64(o.Rate),
		Began: o.Began, Bound: redriveTime,
	}, nil)
	if err != nil && len(report.Items) == 0 {
		return nil, deadProblem("the dead-letter queue could not be redriven", err)
	}
	out := redriven(report)
	out.Preview = o.Preview
	if err != nil {
		out.Error = err.Error()
	}
	c.outcome = fmt.Sprintf("redrive: %d moved, %d kept", out.Moved, out.Kept)
	if !o.Preview {
		a.cfg.Logger.InfoContext(c.Context(), "operator's redrive", "by", by, "names", len(names), "reason", o.Reason,
			"moved", out.Moved, "kept", out.Kept, "failed", out.Failed, "returned", out.Returned, "reopened", out.Reopened)
	}
	return answer(http.StatusOK, out), nil
}

// redriven is a report as clients see it.
func redriven(r deadletter.Report) Redrive {
	out := Redrive{
		Began: r.Began.UTC(), Looked: r.Looked, Moved: r.Count(deadletter.Moved), Kept: r.Count(deadletter.Kept), Failed: r.Count(deadletter.Failed),
		Copied: r.Count(deadletter.Copied), Returned: r.Count(deadletter.Returned), Reopened: r.Reopened, More: !r.Complete,
		Items: make([]RedriveItem, len(r.Items)),
	}
	for i, item := range r.Items {
		out.Items[i] = RedriveItem{item.Name, item.ID, item.Outcome, item.Why}
	}
	return out
}
