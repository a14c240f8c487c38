package console

import (
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/internal/operate"
)

const (
	lettersShown = 100 // per page
	maxBodyShown = 2 << 10
)

// Peek selects a page of dead letters. The zero value is the first page of all letters.
type Peek struct {
	Prefix string `json:"prefix,omitempty"` // of the name
	Reason string `json:"reason,omitempty"`
	After  string `json:"after,omitempty"` // next of the previous page
}

// DeadLetters is a page of the dead-letter queue.
type DeadLetters struct {
	Groups []DeadGroup `json:"groups"`
	Seen   int         `json:"seen"`  // examined letters
	Found  int         `json:"found"` // matching letters
	More   bool        `json:"more"`  // some letters may not have been examined
	Next   string      `json:"next,omitempty"`
	// Counted means that the dead-letter queue has its own redrive policy, so that listing, which
	// raises receive counts, can move messages on.
	Counted bool `json:"counted"`
	// Unreleased is the number of letters that could not be made visible again at once.
	Unreleased int `json:"unreleased,omitempty"`
}

// DeadGroup holds the dead letters of one reason.
type DeadGroup struct {
	Reason   string       `json:"reason"`
	Count    int          `json:"count"` // on all pages
	First    int64        `json:"first"` // epoch ms of its sending
	Last     int64        `json:"last"`
	Messages []DeadLetter `json:"messages"` // on this page, newest first
}

// DeadLetter is a message of the dead-letter queue.
type DeadLetter struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Status     string `json:"status,omitempty"` // of its name's record; empty: no live record
	Error      string `json:"error,omitempty"`
	Attempts   int    `json:"attempts,omitempty"`
	OriginalID string `json:"original_id,omitempty"` // id of the original of a copy
	Sent       int64  `json:"sent"`                  // epoch ms
	Receives   int    `json:"receives"`
	Body       string `json:"body"` // shortened
	Bytes      int    `json:"bytes"`
}

func (c *panel) postPeek(w http.ResponseWriter, r *http.Request, log actionLog) {
	var in Peek
	if !read(w, r, &in) {
		return
	}
	log(r.Context(), acted, "queue", c.queue.DLQURL)
	ctx := ours(r.Context())
	query := deadletter.Query{Prefix: in.Prefix, Reason: in.Reason, Bodies: maxBodyShown}
	page, err := c.dead.List(ctx, query, lettersShown, in.After)
	if err != nil {
		deadProblem(w, err)
		return
	}
	found := DeadLetters{
		Groups: groupDead(page), Seen: page.Looked, Found: page.Found, More: !page.Complete, Next: page.Next, Unreleased: page.Hidden,
	}
	depth, err := c.dead.Depth(ctx)
	if err != nil {
		c.cfg.Logger.WarnContext(ctx, "the dead-letter queue's own redrive policy could not be read", "error", err)
	}
	found.Counted = depth.Counted
	answer(w, found)
}

// deadProblem answers with the problem for an error of the dead-letter queue.
func deadProblem(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	if _, bad := errors.AsType[*deadletter.CursorError](err); bad {
		status = http.StatusBadRequest
	}
	if _, busy := errors.AsType[*types.PurgeQueueInProgress](err); busy {
		status = http.StatusConflict
	}
	problem(w, status, clip(err.Error(), maxErrorKept))
}

// groupDead groups the letters of a page.
func groupDead(page deadletter.Page) []DeadGroup {
	byReason := make(map[string][]DeadLetter)
	for i, l := range page.Letters {
		shown := DeadLetter{
			ID: l.ID, Name: clip(l.Name, maxNameKept), Status: string(page.Records[i].Status), Error: clip(l.Error, maxErrorKept),
			Attempts: l.Attempts, Sent: epoch(l.Sent), Receives: l.Receives, Body: clip(l.Body, maxBodyShown), Bytes: l.Bytes,
		}
		if l.OriginalID != l.ID {
			shown.OriginalID = clip(l.OriginalID, maxIDShown)
		}
		if l.Name == "" && shown.Error == "" {
			shown.Error = clip(l.Unnamed, maxErrorKept)
		}
		byReason[l.Reason] = append(byReason[l.Reason], shown)
	}
	groups := make([]DeadGroup, 0, len(page.Groups))
	for _, g := range page.Groups {
		groups = append(groups, DeadGroup{
			Reason: g.Reason, Count: g.Count, First: epoch(g.First), Last: epoch(g.Last),
			Messages: append([]DeadLetter{}, byReason[g.Reason]...),
		})
	}
	return groups
}

func (c *panel) postPurge(w http.ResponseWriter, r *http.Request, log actionLog) {
	if !readNothing(w, r) {
		return
	}
	n, err := c.dead.Purge(ours(r.Context()))
	log(r.Context(), acted, "queue", c.queue.DLQURL, "messages", n, "error", err)
	if err != nil {
		deadProblem(w, err)
		return
	}
	answer(w, map[string]any{"status": "done", "purged": n})
}

// Redrive selects dead letters to move back: by ids, by names, by reason, or all.
type Redrive struct {
	IDs           []string `json:"ids,omitempty"`
	Names         []string `json:"names,omitempty"` // letters of these names
	Reason        string   `json:"reason,omitempty"`
	All           bool     `json:"all,omitempty"`
	ReopenUnknown bool     `json:"reopen_unknown,omitempty"` // also run UNKNOWN names again
	Preview       bool     `json:"preview,omitempty"`        // change nothing
}

// RedriveStep is the progress of a redrive.
type RedriveStep struct {
	Seen     int           `json:"seen"`     // examined messages
	Moved    int           `json:"moved"`    // sent to the queue and deleted here; in a preview: would be
	Kept     int           `json:"kept"`     // not sent, because a worker would return them at once
	Unknown  int           `json:"unknown"`  // those of kept for names with an unknown outcome
	Doubly   int           `json:"doubly"`   // sent, but not deleted: they may be sent again
	Refused  int           `json:"refused"`  // could not be sent, and are still here
	Returned int           `json:"returned"` // dead-lettered again by a worker meanwhile; not sent a second time
	Items    []RedriveItem `json:"items,omitempty"`
	More     bool          `json:"more"`            // ended, but some letters may not have been examined
	Done     bool          `json:"done"`            // ended, and all letters were examined
	Error    string        `json:"error,omitempty"` // error that ended it early
}

// RedriveItem is a letter that was not moved, with the reason.
type RedriveItem struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Why     string `json:"why"`
	Unknown bool   `json:"unknown"`
}

// maxItemsShown bounds the letters of a report.
const maxItemsShown = 200

// order returns the selection; false unless exactly one way of selecting is used.
func (r Redrive) order() (deadletter.Order, bool) {
	ways := 0
	for _, used := range []bool{r.All, r.Reason != "", len(r.IDs) > 0, len(r.Names) > 0} {
		if used {
			ways++
		}
	}
	return deadletter.Order{IDs: r.IDs, Names: r.Names, Reason: r.Reason, ReopenUnknown: r.ReopenUnknown, Preview: r.Preview}, ways == 1 && len(r.IDs) <= lettersShown && len(r.Names) <= operate.MaxPage
}

// postRedrive moves dead letters back, and answers with a line of progress for each batch. It ends
// early if the client closes the connection.
func (c *panel) postRedrive(w http.ResponseWriter, r *http.Request, log actionLog) {
	var in Redrive
	if !read(w, r, &in) {
		return
	}
	order, ok := in.order()
	if !ok {
		problem(w, http.StatusBadRequest, "set exactly one of ids (at most 100), names, reason and all")
		return
	}
	log(r.Context(), acted, "queue", c.queue.DLQURL, "ids", in.IDs, "reason", in.Reason, "all", in.All,
		"reopen_unknown", in.ReopenUnknown, "preview", in.Preview)
	if c.queue.Operator != nil {
		order.Records = c.queue.Operator.As(c.by(r))
	}
	p := newProgress(w)
	var reported time.Time
	report, err := c.dead.Redrive(ours(r.Context()), order, func(report deadletter.Report) {
		if time.Since(reported) >= stepEvery {
			reported = time.Now()
			p.step(redriveStep(report))
		}
	})
	step := redriveStep(report)
	step.Done, step.More = err == nil && report.Complete, err == nil && !report.Complete
	if err != nil {
		step.Error = clip(err.Error(), maxErrorKept)
	}
	for _, item := range report.Items {
		if item.Outcome != deadletter.Moved && len(step.Items) < maxItemsShown {
			step.Items = append(step.Items, RedriveItem{clip(item.Name, maxNameKept), item.ID, item.Outcome, clip(item.Why, maxErrorKept), item.Unknown})
		}
	}
	log(r.Context(), "console redrive ended", "moved", step.Moved, "seen", step.Seen, "kept", step.Kept, "refused", step.Refused,
		"returned", step.Returned, "reopened", report.Reopened, "more", step.More, "error", err)
	p.step(step)
}

// stepEvery is the time between lines of progress.
const stepEvery = 100 * time.Millisecond

func redriveStep(r deadletter.Report) RedriveStep {
	s := RedriveStep{
		Seen: r.Looked, Moved: r.Count(deadletter.Moved), Kept: r.Count(deadletter.Kept), Doubly: r.Count(deadletter.Copied),
		Refused: r.Count(deadletter.Failed), Returned: r.Count(deadletter.Returned),
	}
	for _, item := range r.Items {
		if item.Unknown {
			s.Unknown++
		}
	}
	return s
}
