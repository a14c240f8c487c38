package producercmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/producerapi"
)

// ledger holds the observed records of the names of a replay.
type ledger struct {
	names []string

	mu      sync.Mutex
	current map[string]producerapi.Record // guarded by mu; the latest records
	done    map[string]int64              // guarded by mu; fence with which a name was first seen COMPLETED
	again   map[string]string             // guarded by mu; description of an attempt after that
	before  []string                      // guarded by mu; names that were COMPLETED before anything was sent
}

func newLedger(names []string) *ledger {
	return &ledger{
		names: names, current: make(map[string]producerapi.Record),
		done: make(map[string]int64), again: make(map[string]string),
	}
}

// begin reads the records of all names before anything is sent.
func (l *ledger) begin(ctx context.Context, c *client, concurrency int) error {
	err := l.look(ctx, c, concurrency)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = slices.Collect(maps.Keys(l.done))
	return err
}

// look reads the records of all names.
func (l *ledger) look(ctx context.Context, c *client, concurrency int) error {
	return l.lookAt(ctx, c, concurrency, l.names)
}

// lookUnsettled reads the records of the names that are not final.
func (l *ledger) lookUnsettled(ctx context.Context, c *client, concurrency int) error {
	l.mu.Lock()
	var open []string
	for _, name := range l.names {
		if !l.current[name].Final {
			open = append(open, name)
		}
	}
	l.mu.Unlock()
	return l.lookAt(ctx, c, concurrency, open)
}

func (l *ledger) lookAt(ctx context.Context, c *client, concurrency int, names []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for _, name := range names {
		group.Go(func() error {
			r, found, err := c.record(ctx, name)
			if err == nil && found {
				l.note(name, r)
			}
			return err
		})
	}
	return group.Wait()
}

// note stores a record, and compares it with an earlier COMPLETED one.
func (l *ledger) note(name string, r producerapi.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current[name] = r
	fence, wasDone := l.done[name]
	switch {
	case wasDone && r.Fence != fence:
		l.again[name] = fmt.Sprintf("was completed with fence %d, then attempted with fence %d (now %s)", fence, r.Fence, r.Status)
	case wasDone && r.Status != protocol.Completed:
		l.again[name] = fmt.Sprintf("was completed, and is now %s", r.Status)
	case r.Status == protocol.Completed:
		l.done[name] = r.Fence
	}
}

// unsettled returns the number of names without a final status.
func (l *ledger) unsettled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, name := range l.names {
		if !l.current[name].Final {
			n++
		}
	}
	return n
}

// report is the result of a replay.
type report struct {
	Accepted   int               `json:"accepted"`             // messages that SQS took
	Names      int               `json:"names"`                // different names among them
	Handled    int               `json:"handled"`              // names that are COMPLETED
	Rejected   int               `json:"rejected"`             // names that are REJECTED or UNKNOWN
	Repeated   []attempted       `json:"repeated"`             // names with more than one attempt
	Suppressed *int              `json:"suppressed,omitempty"` // accepted - names that were not COMPLETED before; absent while the queue is not empty
	Mismatched *int              `json:"mismatched,omitempty"` // messages that were dead-lettered for another body
	Unsettled  []string          `json:"unsettled"`            // names without a final status
	Again      map[string]string `json:"attempted_again"`      // names attempted after they were COMPLETED
	Failures   map[string]int    `json:"failures"`             // messages that were not accepted
	InFlight   int               `json:"in_flight"`
	Waiting    int               `json:"waiting"`
}

// attempted is a name with more than one attempt.
type attempted struct {
	Name     string `json:"name"`
	Attempts int    `json:"attempts"`
	Status   string `json:"status"`
	Error    string `json:"error,omitempty"`
}

// report returns the result. mismatched is the number of messages that were dead-lettered for their
// bodies; nil without --different-body.
func (l *ledger) report(accepted int, failures map[string]int, drained bool, depth producerapi.Depth, mismatched *int) report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := report{
		Accepted: accepted, Names: len(l.names), Failures: failures, Again: l.again, Mismatched: mismatched,
		Repeated: []attempted{}, Unsettled: []string{},
		InFlight: depth.InFlight, Waiting: depth.Visible + depth.Delayed,
	}
	for _, name := range l.names {
		rec := l.current[name]
		switch {
		case rec.Status == protocol.Completed:
			r.Handled++
		case rec.Final:
			r.Rejected++
		default:
			r.Unsettled = append(r.Unsettled, name)
		}
		if rec.Attempts > 1 {
			r.Repeated = append(r.Repeated, attempted{name, rec.Attempts, string(rec.Status), rec.Error})
		}
	}
	if drained {
		suppressed := accepted - len(l.names)
		for _, name := range l.before {
			if l.again[name] == "" { // all of its messages were duplicates
				suppressed++
			}
		}
		if mismatched != nil {
			suppressed -= *mismatched
		}
		r.Suppressed = new(max(0, suppressed))
	}
	return r
}

// verdict returns nil if every message was accepted, every name is COMPLETED, and none was
// attempted after that. Otherwise it returns an [*exitError].
func (r report) verdict() error {
	if len(r.Again) > 0 {
		return &exitError{code: exitRepeated, text: fmt.Sprintf("%d names were attempted again after they were completed", len(r.Again))}
	}
	refused := 0
	for _, n := range r.Failures {
		refused += n
	}
	var failed []string
	if refused > 0 {
		failed = append(failed, fmt.Sprintf("%d of %d messages were not accepted", refused, refused+r.Accepted))
	}
	if len(r.Unsettled) > 0 {
		failed = append(failed, fmt.Sprintf("%d names have no final status", len(r.Unsettled)))
	}
	text := strings.Join(failed, ", and ")
	switch {
	case refused > 0:
		return &exitError{code: 1, text: text}
	case len(failed) > 0:
		return &exitError{code: exitNotFinal, text: text}
	case r.Rejected > 0:
		return &exitError{code: exitRejected, text: plural(r.Rejected, "name") + " failed for good"}
	default:
		return nil
	}
}

// shownNames bounds each printed list of names.
const shownNames = 20

func (r report) print(w io.Writer) {
	count := func(n *int, otherwise string) string {
		if n == nil {
			return otherwise
		}
		return strconv.Itoa(*n)
	}
	rows := [][]string{
		{"accepted", strconv.Itoa(r.Accepted), "messages that SQS took, for " + plural(r.Names, "name")},
		{"handled", strconv.Itoa(r.Handled), "names that are COMPLETED"},
		{"rejected", strconv.Itoa(r.Rejected), "names that failed for good"},
		{"repeated", strconv.Itoa(len(r.Repeated)), "names with more than one attempt"},
		{"suppressed", count(r.Suppressed, "?"), "duplicates that were not handled"},
	}
	if r.Rejected == 0 {
		rows = slices.Delete(rows, 2, 3)
	}
	if r.Suppressed == nil {
		rows[len(rows)-1][2] = "unknown, because the queue is not empty yet"
	}
	if r.Mismatched != nil {
		rows = append(rows, []string{"mismatched", strconv.Itoa(*r.Mismatched), "messages with another body, in the dead-letter queue: producer dlq ls"})
	}
	rows = append(rows, []string{"in flight", strconv.Itoa(r.InFlight), "messages being handled"})
	if r.Waiting > 0 {
		rows = append(rows, []string{"waiting", strconv.Itoa(r.Waiting), "messages in the queue"})
	}
	table(w, rows)
	for i, a := range r.Repeated {
		if i == shownNames {
			_, _ = fmt.Fprintf(w, "  and %d more\n", len(r.Repeated)-i)
			break
		}
		_, _ = fmt.Fprintf(w, "repeated: %q, %d attempts, %s: %s\n", a.Name, a.Attempts, a.Status, a.Error)
	}
	for i, name := range r.Unsettled {
		if i == shownNames {
			_, _ = fmt.Fprintf(w, "  and %d more\n", len(r.Unsettled)-i)
			break
		}
		_, _ = fmt.Fprintf(w, "not settled: %q\n", name)
	}
	for _, name := range sortedKeys(r.Again) {
		_, _ = fmt.Fprintf(w, "attempted again: %q %s\n", name, r.Again[name])
	}
	for _, text := range sortedKeys(r.Failures) {
		_, _ = fmt.Fprintf(w, "not accepted: %s: %s\n", plural(r.Failures[text], "message"), text)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if base, ok := strings.CutSuffix(what, "py"); ok { // copy
		return strconv.Itoa(n) + " " + base + "pies"
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// jsonString returns s as a JSON string.
func jsonString(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // a string always encodes
		return `""`
	}
	return string(b)
}
