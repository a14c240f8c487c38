package producerapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/internal/deadletter"
)

// redriveTime is the time after which a request examines no further messages.
const redriveTime = 45 * time.Second

// redriveOrder is the body of POST /dlq/redrive. The zero value moves all messages.
type redriveOrder struct {
	Name          string    `json:"name,omitempty" doc:"Only messages of this name."`
	Names         []string  `json:"names,omitempty" maxItems:"1000" nullable:"false" doc:"Only messages of these names."`
	Reason        string    `json:"reason,omitempty" doc:"Only messages with this reason."`
	IDs           []string  `json:"ids,omitempty" maxItems:"1000" nullable:"false" doc:"Only messages with these ids."`
	ReopenUnknown bool      `json:"reopen_unknown,omitempty" doc:"Also run names again that are UNKNOWN or whose attempt has vanished. Their work may have been done already."`
	Preview       bool      `json:"preview,omitempty" doc:"Report the effect, and change nothing."`
	Rate          int       `json:"rate,omitempty" minimum:"0" maximum:"10000" doc:"Messages moved per second, at most; 0: no limit."`
	Began         time.Time `json:"began,omitzero" doc:"Only messages sent to the dead-letter queue before this time. If an answer has more, repeat the request with its began. Default: now."`
}

// redriveInput is a request of POST /dlq/redrive.
type redriveInput struct {
	Ordering
	Body redriveOrder
}

// Redrive is the result of a redrive.
type Redrive struct {
	Began    time.Time     `json:"began"`
	Looked   int           `json:"looked" minimum:"0" doc:"Number of examined messages."`
	Moved    int           `json:"moved" minimum:"0" doc:"Messages sent to the queue and deleted here; in a preview, messages that would be moved."`
	Kept     int           `json:"kept" minimum:"0" doc:"Messages not sent, because a worker would return them at once."`
	Failed   int           `json:"failed" minimum:"0" doc:"Messages that could not be sent, and are still here."`
	Copied   int           `json:"copied" minimum:"0" doc:"Messages sent, but not deleted here."`
	Returned int           `json:"returned" minimum:"0" doc:"Messages sent, and dead-lettered again by a worker meanwhile."`
	Reopened int           `json:"reopened" minimum:"0" doc:"Names that were re-opened, because a worker would have refused them."`
	More     bool          `json:"more,omitempty" doc:"True if not all messages were examined. Repeat the request with began."`
	Preview  bool          `json:"preview,omitempty"`
	Error    string        `json:"error,omitempty" doc:"Error that ended the redrive early."`
	Items    []RedriveItem `json:"items" nullable:"false" doc:"The selected messages."`
}

// RedriveItem is the result for one message.
type RedriveItem struct {
	Name      string `json:"name,omitempty"`
	MessageID string `json:"message_id"`
	Outcome   string `json:"outcome" enum:"moved,kept,failed,copied,returned"`
	Why       string `json:"why,omitempty" doc:"Reason why the message was not moved."`
	Unknown   bool   `json:"unknown,omitempty" doc:"The message was kept because the outcome of its work is unknown. It is moved only with reopen_unknown."`
}

// postRedrive answers POST /dlq/redrive: it moves messages back to the queue, and re-opens their
// names if needed.
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

// redriven returns a report for clients.
func redriven(r deadletter.Report) Redrive {
	out := Redrive{
		Began: r.Began.UTC(), Looked: r.Looked, Moved: r.Count(deadletter.Moved), Kept: r.Count(deadletter.Kept), Failed: r.Count(deadletter.Failed),
		Copied: r.Count(deadletter.Copied), Returned: r.Count(deadletter.Returned), Reopened: r.Reopened, More: !r.Complete,
		Items: make([]RedriveItem, len(r.Items)),
	}
	for i, item := range r.Items {
		out.Items[i] = RedriveItem{item.Name, item.ID, item.Outcome, item.Why, item.Unknown}
	}
	return out
}
