package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/producerapi"
)

// dlqCmd is "producer dlq".
type dlqCmd struct {
	Ls      dlqLsCmd      `cmd:"" help:"List what is in the dead-letter queue, with what is recorded of each name."`
	Show    dlqShowCmd    `cmd:"" help:"Show the messages of one name, or one message, with their bodies."`
	Redrive dlqRedriveCmd `cmd:"" help:"Let workers try the messages again."`
	Purge   dlqPurgeCmd   `cmd:"" help:"Delete everything in the dead-letter queue."`
}

// maxListed is how many messages the API lists at a time.
const maxListed = 1000

// lookTime is what the API may take to receive, and to move, as many messages.
const lookTime = 90 * time.Second

// dlqLsCmd is "producer dlq ls".
type dlqLsCmd struct {
	Limit int `default:"100" help:"Messages to look at, at most 1000."`
	backendFlags
}

func (s *dlqLsCmd) check() error {
	var bad problems
	if s.Limit < 1 || s.Limit > maxListed {
		bad.add("--limit %d: must be 1 to 1000", s.Limit)
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *dlqLsCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	found, err := c.deadLetters(ctx, s.Limit, false)
	if err != nil {
		return err
	}
	if s.JSON {
		return printJSON(io.out, found)
	}
	if len(found.Messages) == 0 {
		_, _ = fmt.Fprintln(io.out, "the dead-letter queue is empty")
		return nil
	}
	// 24 + 12 + 11 + 6 + 11 + 8 + 16, and two blanks between each: 100 columns.
	rows := [][]string{{"NAME", "REASON", "RECORD", "COPIES", "SENT", "MESSAGE", "ERROR"}}
	copies := make(map[string]int)
	for _, m := range found.Messages {
		copies[m.OriginalID]++
	}
	listed := make(map[string]bool)
	for _, m := range found.Messages {
		if listed[m.OriginalID] {
			continue
		}
		listed[m.OriginalID] = true
		rows = append(rows, []string{
			shorten(orDash(m.Name), 24), shorten(reason(m), 12), shorten(recordStatus(m), 11), strconv.Itoa(copies[m.OriginalID]),
			day(m.SentAt), m.MessageID[:min(len(m.MessageID), 8)], shorten(lastError(m), 16),
		})
	}
	table(io.out, rows)
	_, _ = fmt.Fprintf(io.out, "\n%s of %s", plural(len(found.Messages), "copy"), plural(found.Originals, "message"))
	if !found.Complete {
		_, _ = fmt.Fprintf(io.out, "; about %d are in the queue (--limit)", found.Visible)
	}
	_, _ = fmt.Fprintln(io.out)
	return nil
}

// deadLetters looks into the dead-letter queue.
func (c *client) deadLetters(ctx context.Context, limit int, bodies bool) (found producerapi.DeadLetters, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if bodies {
		q.Set("body", "true")
	}
	return found, c.callFor(ctx, lookTime, http.MethodGet, "/dlq?"+q.Encode(), nil, &found)
}

// reason is why a message is there.
func reason(m producerapi.DeadLetter) string {
	if m.Reason != "" {
		return m.Reason
	}
	return "moved by SQS"
}

// standing is what the record says of a message's name, which is all there is
// to explain one that SQS has moved.
func standing(m producerapi.DeadLetter) string {
	if m.Record == nil {
		return "none"
	}
	return fmt.Sprintf("%s, %s", m.Record.Status, plural(m.Record.Attempts, "attempt"))
}

// recordStatus is the status of a message's name.
func recordStatus(m producerapi.DeadLetter) string {
	if m.Record == nil {
		return "none"
	}
	return string(m.Record.Status)
}

func lastError(m producerapi.DeadLetter) string {
	if m.Error == "" && m.Record != nil {
		return m.Record.Error
	}
	return m.Error
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// dlqShowCmd is "producer dlq show".
type dlqShowCmd struct {
	Which string `arg:"" help:"A name, a message id (or its first 8 characters), or the id of the message that was copied."`
	backendFlags
}

func (s *dlqShowCmd) check() error {
	var bad problems
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *dlqShowCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	found, err := c.deadLetters(ctx, maxListed, true)
	if err != nil {
		return err
	}
	shown := []producerapi.DeadLetter{}
	for _, m := range found.Messages {
		if s.Which == m.Name || s.Which == m.MessageID || s.Which == m.OriginalID || len(s.Which) == 8 && strings.HasPrefix(m.MessageID, s.Which) {
			shown = append(shown, m)
		}
	}
	switch {
	case len(shown) == 0 && !found.Complete:
		return fmt.Errorf("%q is not among the first %d of about %d messages", s.Which, len(found.Messages), found.Visible)
	case len(shown) == 0:
		return fmt.Errorf("%q is not in the dead-letter queue", s.Which)
	case s.JSON:
		return printJSON(io.out, shown)
	}
	for i, m := range shown {
		if i > 0 {
			_, _ = fmt.Fprintln(io.out)
		}
		table(io.out, [][]string{
			{"name", orDash(m.Name)}, {"message", m.MessageID}, {"copy of", m.OriginalID}, {"sent", moment(m.SentAt)},
			{"reason", reason(m)}, {"error", orDash(m.Error)}, {"record", standing(m)}, {"last error", orDash(lastError(m))}, {"body", m.Body},
		})
	}
	return nil
}

// dlqRedriveCmd is "producer dlq redrive".
type dlqRedriveCmd struct {
	Name          string `env:"-" help:"Only messages of this name, one by one."`
	Reason        string `env:"-" help:"Only messages dead-lettered for this reason, one by one."`
	ReopenUnknown bool   `env:"-" help:"Run names recorded as UNKNOWN again too, although nobody knows whether their work was done."`
	Rate          int    `env:"-" default:"0" help:"Messages a second, up to 500 (not one by one); 0: as SQS likes."`
	OneByOne      bool   `env:"-" help:"Send and delete each message, instead of a task of SQS."`
	backendFlags
}

func (s *dlqRedriveCmd) check() error {
	var bad problems
	if s.Rate < 0 || s.Rate > 500 {
		bad.add("--rate %d: must be 0 to 500", s.Rate)
	}
	if s.Rate > 0 && (s.OneByOne || s.Name != "" || s.Reason != "") {
		bad.add("--rate %d: only without --name, --reason and --one-by-one", s.Rate)
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

// redriveEvery is how often a task is asked how far it has come.
const redriveEvery = 500 * time.Millisecond

func (s *dlqRedriveCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	order := map[string]any{
		"name": s.Name, "reason": s.Reason, "reopen_unknown": s.ReopenUnknown, "rate": s.Rate, "one_by_one": s.OneByOne,
	}
	bar := progress(io.err, -1, "redriving")
	var total, last producerapi.Redrive
	for {
		if err := c.callFor(ctx, lookTime, http.MethodPost, "/dlq/redrive", order, &last); err != nil {
			_ = bar.Finish()
			return s.explain(io, err)
		}
		moved := total.Moved + last.Moved
		total = last
		total.Moved = moved
		_ = bar.Set64(moved)
		if !last.More {
			break
		}
		last = producerapi.Redrive{}
	}
	for total.Mode == producerapi.ModeTask && total.Status == producerapi.RedriveRunning {
		if err := c.call(ctx, http.MethodGet, "/dlq/redrive", nil, &total); err != nil {
			_ = bar.Finish()
			return err
		}
		_ = bar.Set64(total.Moved)
		if total.Status != producerapi.RedriveRunning {
			break
		}
		if err := backoff.Sleep(ctx, redriveEvery); err != nil {
			_ = bar.Finish()
			return fmt.Errorf("%w; the redrive goes on", err)
		}
	}
	_ = bar.Finish()
	return s.print(io, total)
}

// explain adds what helps where names are UNKNOWN.
func (s *dlqRedriveCmd) explain(io stdio, err error) error {
	if e, ok := errors.AsType[*apiError](err); ok && len(e.names) > 0 {
		for _, name := range e.names {
			_, _ = fmt.Fprintf(io.err, "UNKNOWN: %s\n", name)
		}
		return fmt.Errorf("nothing was moved: nobody knows whether the work of %s was done; say so with producer resolve NAME --completed, or run them again with --reopen-unknown", plural(len(e.names), "name"))
	}
	return err
}

func (s *dlqRedriveCmd) print(io stdio, r producerapi.Redrive) error {
	if s.JSON {
		if err := printJSON(io.out, r); err != nil {
			return err
		}
	} else {
		_, _ = fmt.Fprintf(io.out, "%s, %s (%s)\n", plural(int(r.Moved), "message")+" moved", strings.ToLower(r.Status), r.Mode)
	}
	if r.Partial {
		_, _ = fmt.Fprintf(io.err, "only the first %d messages of the dead-letter queue were looked at\n", maxListed)
	}
	if r.Status != producerapi.RedriveCompleted {
		return fmt.Errorf("the redrive is %s: %s", r.Status, orDash(r.Reason))
	}
	return nil
}

// dlqPurgeCmd is "producer dlq purge".
type dlqPurgeCmd struct {
	Yes bool `short:"y" env:"-" help:"Do not ask."`
	backendFlags
}

func (s *dlqPurgeCmd) check() error {
	var bad problems
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *dlqPurgeCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if !s.Yes {
		found, err := c.deadLetters(ctx, 1, false)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(io.err, "Delete about %s for good? Type yes: ", plural(found.Visible, "message"))
		answer, _ := bufio.NewReader(io.in).ReadString('\n') // the end of the input is no yes
		if strings.TrimSpace(answer) != "yes" {
			return errors.New("nothing was deleted (--yes does not ask)")
		}
	}
	var purged struct {
		Purged int `json:"purged"`
	}
	if err := c.call(ctx, http.MethodDelete, "/dlq", nil, &purged); err != nil {
		return err
	}
	if s.JSON {
		return printJSON(io.out, purged)
	}
	_, _ = fmt.Fprintf(io.out, "about %s deleted\n", plural(purged.Purged, "message"))
	return nil
}
