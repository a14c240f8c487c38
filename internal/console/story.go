package console

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

const (
	maxResultShown = 4 << 10 // bytes
	shownEvents    = 50
)

// Story is the record of a name, with its recent events.
type Story struct {
	Name   string  `json:"name"`
	Now    int64   `json:"now"` // epoch ms
	Found  bool    `json:"found"`
	Record *Record `json:"record,omitempty"`
	Path   []Step  `json:"path"`   // the transitions of the record
	Events []Event `json:"events"` // recent events in this worker, oldest first
}

// Record is a record for the page, without the owner's token.
type Record struct {
	Status      string `json:"status"`
	Final       bool   `json:"final"`
	Attempts    int    `json:"attempts"`
	Fence       int64  `json:"fence,string"`
	Version     int64  `json:"version,string"`
	HeldHere    bool   `json:"held_here"`             // the attempt runs in this worker
	LeaseUntil  int64  `json:"lease_until,omitempty"` // epoch ms; also the next ones
	CreatedAt   int64  `json:"created_at,omitempty"`
	CompletedAt int64  `json:"completed_at,omitempty"`
	ExpiresAt   int64  `json:"expires_at,omitempty"`
	MessageID   string `json:"message_id,omitempty"`
	ReopenedBy  string `json:"reopened_by,omitempty"`
	Verb        string `json:"verb,omitempty"` // an operator's last verb
	VerbBy      string `json:"verb_by,omitempty"`
	VerbAt      int64  `json:"verb_at,omitempty"`     // epoch ms
	Lapsed      bool   `json:"lapsed,omitempty"`      // the attempt has vanished, so an operator may settle the name
	Fingerprint string `json:"fingerprint,omitempty"` // hex
	Result      string `json:"result,omitempty"`
	ResultType  string `json:"result_type,omitempty"` // empty: JSON
	ResultSize  int    `json:"result_size,omitempty"`
	Error       string `json:"error,omitempty"`
}

// Step is a transition between states, with the least number of times it was taken.
type Step struct {
	From  string `json:"from"` // a status, or NEW
	To    string `json:"to"`
	Times int    `json:"times"`
}

// stateNew is the first state of every name.
const stateNew = "NEW"

// pathOf returns the transitions of a record as far as they are known: a record holds the number of
// attempts, not the end of each.
func pathOf(r protocol.Record) []Step {
	if r.Status == "" {
		return []Step{}
	}
	at, again := string(protocol.InProgress), string(protocol.Retrying)
	path := []Step{{stateNew, at, 1}}
	add := func(from, to string, times int) {
		if times > 0 {
			path = append(path, Step{from, to, times})
		}
	}
	if r.ReopenedBy != "" && r.ReopenedBy == r.MessageID {
		add(string(protocol.Rejected), at, 1)
	}
	retries := r.Attempts - 1
	byOperator := r.Owner == (protocol.Token{})
	switch r.Status {
	case protocol.Retrying:
		add(at, again, max(1, r.Attempts))
		add(again, at, retries)
	case protocol.InProgress:
		add(at, again, retries)
		add(again, at, retries)
	case protocol.Completed:
		add(at, again, retries)
		add(again, at, retries)
		if byOperator { // only a resolved name has no owner
			add(at, string(protocol.Unknown), 1)
			add(string(protocol.Unknown), string(protocol.Completed), 1)
		} else {
			add(at, string(protocol.Completed), 1)
		}
	default:
		add(at, again, retries)
		add(again, at, retries)
		add(at, string(r.Status), 1)
	}
	return path
}

// getName answers with the story of ?name=.
func (c *panel) getName(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	record, err := c.queue.Records.Lookup(ours(r.Context()), name)
	story := Story{Name: clip(name, protocol.MaxNameBytes), Now: time.Now().UnixMilli(), Path: []Step{}}
	switch {
	case errors.Is(err, dedupe.ErrNoRecord):
	case err != nil:
		recordProblem(w, err)
		return
	default:
		story.Found, story.Path = true, pathOf(record)
		story.Record = c.shown(record)
	}
	story.Events = []Event{}
	if c.queue.History != nil {
		story.Events = c.queue.History.trail(name, shownEvents)
	}
	answer(w, story)
}

func (c *panel) shown(r protocol.Record) *Record {
	result, resultType := resultText(r)
	out := &Record{
		Status: string(r.Status), Final: r.Status.Final(), Attempts: r.Attempts, Fence: int64(r.Fence), Version: int64(r.Version),
		HeldHere: r.Status == protocol.InProgress && c.queue.History != nil && c.queue.History.holdsName(r.Name, int64(r.Fence)), LeaseUntil: epoch(r.LeaseUntil),
		CreatedAt: epoch(r.CreatedAt), CompletedAt: epoch(r.CompletedAt), ExpiresAt: epoch(r.ExpiresAt),
		MessageID: clip(r.MessageID, maxIDShown), ReopenedBy: clip(r.ReopenedBy, maxIDShown),
		Result: result, ResultType: resultType, ResultSize: len(r.Result), Error: clip(r.Error, protocol.MaxErrorBytes),
	}
	verb, by, at := r.LastVerb()
	out.Verb, out.VerbBy, out.VerbAt = verb, by, epoch(at)
	out.Lapsed = r.Status == protocol.InProgress && time.Now().After(r.LeaseUntil.Add(cmp.Or(c.queue.Skew, dedupe.Config{}.WithDefaults().Skew)))
	if r.Fingerprint != (protocol.Fingerprint{}) {
		out.Fingerprint = hex.EncodeToString(r.Fingerprint[:])
	}
	return out
}

// resultText returns a result as text. It returns "" for a result that is not text.
func resultText(r protocol.Record) (text, mediaType string) {
	switch {
	case len(r.Result) == 0:
		return "", ""
	case r.ResultType == "" && json.Valid(r.Result):
		return clip(string(r.Result), maxResultShown), ""
	case utf8.Valid(r.Result):
		return clip(string(r.Result), maxResultShown), clip(r.ResultType, 100)
	default:
		return "", clip(r.ResultType, 100)
	}
}

// holdsName reports whether the attempt with this fence runs in this worker.
func (h *History) holdsName(name string, fence int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.guarded.Values(), func(g *guarded) bool { return g.name == name && g.attempt.fence == fence })
}

func (c *panel) postForget(w http.ResponseWriter, r *http.Request, log actionLog) {
	var in struct {
		Name  string `json:"name"`
		Force bool   `json:"force"`
	}
	if !read(w, r, &in) {
		return
	}
	records := c.queue.Records
	if c.queue.Operator != nil {
		records = c.queue.Operator.As(c.by(r))
	}
	effective, err := records.Forget(r.Context(), in.Name, in.Force)
	if err != nil {
		log(r.Context(), acted, "name", in.Name, "force", in.Force, "error", err)
		recordProblem(w, err)
		return
	}
	log(r.Context(), acted, "name", in.Name, "force", in.Force)
	if c.queue.History != nil {
		c.queue.History.happened(in.Name, "forgotten", "")
	}
	answer(w, map[string]any{"status": "done", "effective_at": effective.UnixMilli()})
}

// recordProblem answers with the problem for an error of the records.
func recordProblem(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if _, busy := errors.AsType[*dedupe.InProgressError](err); busy || errors.Is(err, dedupe.ErrUnreadable) {
		status = http.StatusConflict
	}
	if errors.Is(err, protocol.ErrBadName) {
		status = http.StatusBadRequest
	}
	problem(w, status, clip(err.Error(), maxErrorKept))
}
