package producercmd

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/names"
)

const (
	progressEvery = 100 * time.Millisecond
	watchEvery    = 500 * time.Millisecond
)

// statusCmd is "producer status".
type statusCmd struct {
	Name  string `arg:"" help:"The name."`
	Watch bool   `help:"Print every change until the status is final."`
	backendFlags
}

func (s *statusCmd) check() error {
	var bad problems
	checkName(&bad, s.Name)
	s.backendFlags.check(&bad)
	return bad.err()
}

// checkName adds the problems of a name, except for its length: the limit depends on the API's
// --long-names.
func checkName(bad *problems, name string) {
	if err := names.Check(name); err != nil && len(name) <= names.MaxBytes {
		bad.add("name %v", err)
	}
}

func (s *statusCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	last := "" // state that was printed
	for {
		r, found, err := c.record(ctx, s.Name)
		if err != nil {
			return err
		}
		state := "none"
		if found { // a scheduled message has no version
			state = fmt.Sprintf("%s %d", r.Status, r.Version)
		}
		switch {
		case !found && !s.Watch:
			return &exitError{code: 1, text: fmt.Sprintf("%q has no record: not handled yet, expired, or forgotten", s.Name)}
		case state == last:
		case found:
			if err := s.print(io, r); err != nil {
				return err
			}
		default:
			_, _ = fmt.Fprintf(io.err, "%q has no record yet\n", s.Name)
		}
		last = state
		if !s.Watch || r.Final {
			return outcome(r)
		}
		if err := backoff.Sleep(ctx, watchEvery); err != nil {
			return err
		}
	}
}

func (s *statusCmd) print(io stdio, r producerapi.Record) error {
	if s.JSON && s.Watch { // one line for each change
		b, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		_, _ = fmt.Fprintf(io.out, "%s\n", b)
		return nil
	}
	if s.JSON {
		return printJSON(io.out, r)
	}
	table(io.out, describe(r))
	if s.Watch {
		_, _ = fmt.Fprintln(io.out)
	}
	return nil
}

// outcome returns nil for a completed name, and an [*exitError] for other statuses.
func outcome(r producerapi.Record) error {
	switch {
	case !r.Final:
		return &exitError{code: exitNotFinal}
	case r.Status != protocol.Completed:
		return &exitError{code: exitRejected}
	default:
		return nil
	}
}

// describe returns the fields of a record as rows of a table.
func describe(r producerapi.Record) [][]string {
	rows := [][]string{{"name", r.Name}, {"status", explain(r)}, {"attempts", strconv.Itoa(r.Attempts)}}
	add := func(label, value string) {
		if value != "" {
			rows = append(rows, []string{label, value})
		}
	}
	if len(r.Result) > 0 {
		label := "result"
		if r.ResultType != "" {
			label += " (" + strings.TrimSpace(r.ResultType+" "+r.ResultEncoding) + ")"
		}
		add(label, string(r.Result))
	}
	add("last error", r.Error)
	add("message", r.MessageID)
	add("reopened by", r.ReopenedBy)
	if v := r.LastVerb; v != nil {
		add("last verb", v.Verb+" by "+v.By+", "+moment(v.At))
	}
	add("first claimed", moment(r.CreatedAt))
	add("completed", moment(r.CompletedAt))
	add("forgotten after", moment(r.ExpiresAt))
	return rows
}

// explain returns the status with an explanation.
func explain(r producerapi.Record) string {
	s := string(r.Status)
	switch r.Status {
	case protocol.InProgress:
		return s + ": being handled, its lease ends " + moment(r.LeaseUntil)
	case protocol.Retrying:
		return s + ": will be tried again"
	case protocol.Rejected:
		return s + ": failed for good; its message is in the dead-letter queue"
	case protocol.Unknown:
		return s + ": its work may or may not have been done; see producer resolve --help"
	case "SCHEDULED":
		return s + ": will be sent at " + moment(r.ScheduledAt) + ", or up to a minute later"
	default:
		return s
	}
}

// day formats a time for a column of a list, in local time.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("01-02 15:04")
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05.000 MST")
}
