package producercmd

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/internal/producerapi"
)

// dlqCmd is "producer dlq".
type dlqCmd struct {
	Ls      dlqLsCmd      `cmd:"" help:"List the messages of the dead-letter queue, with the record of each name."`
	Show    dlqShowCmd    `cmd:"" help:"Show the messages of one name, or one message, with their bodies."`
	Redrive dlqRedriveCmd `cmd:"" help:"Move messages back to the queue and re-open their names, so that workers try them again."`
	Purge   dlqPurgeCmd   `cmd:"" help:"Delete all messages of the dead-letter queue."`
}

// lookTime bounds a request in which the API receives all dead letters, or moves some of them.
const lookTime = 3 * time.Minute

// selection selects messages of the dead-letter queue.
type selection struct {
	Name   string `env:"-" help:"Only messages of this name."`
	Reason string `env:"-" help:"Only messages with this reason; 'moved by SQS' selects those that no worker has given a reason."`
}

// text returns the error text for a selection that matches no message.
func (s selection) text() string {
	var parts []string
	if s.Name != "" {
		parts = append(parts, fmt.Sprintf("of name %q", s.Name))
	}
	if s.Reason != "" {
		parts = append(parts, fmt.Sprintf("with reason %q", s.Reason))
	}
	return "no message " + strings.Join(parts, " ") + " is in the dead-letter queue"
}

// dlqLsCmd is "producer dlq ls".
type dlqLsCmd struct {
	selection
	Prefix string `env:"-" help:"Only messages whose name begins with this text."`
	Limit  int    `default:"100" help:"Messages to list, at most; 0: all."`
	backendFlags
}

func (s *dlqLsCmd) check() error {
	var bad problems
	if s.Limit < 0 {
		bad.add("--limit %d: must not be negative", s.Limit)
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
	found, err := c.deadLetters(ctx, s.Limit, url.Values{"name": {s.Name}, "prefix": {s.Prefix}, "reason": {s.Reason}})
	if err != nil {
		return err
	}
	missing := s.Name != "" && found.Found == 0
	switch {
	case s.JSON:
		if err := printJSON(io.out, found); err != nil {
			return err
		}
	case missing:
	case found.Looked == 0:
		_, _ = fmt.Fprintln(io.out, "the dead-letter queue is empty")
	default:
		s.print(io, found)
	}
	if missing {
		return errors.New(s.text())
	}
	return nil
}

func (s *dlqLsCmd) print(io stdio, found producerapi.DeadLetters) {
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
			shorten(orDash(m.Name), 24), shorten(m.Reason, 12), shorten(recordStatus(m), 11), strconv.Itoa(copies[m.OriginalID]),
			day(m.SentAt), m.MessageID[:min(len(m.MessageID), 8)], shorten(lastError(m), 16),
		})
	}
	table(io.out, rows)
	_, _ = fmt.Fprintln(io.out)
	for _, g := range found.Groups {
		_, _ = fmt.Fprintf(io.out, "%s: %s\n", shorten(g.Reason, 70), plural(g.Count, "copy"))
	}
	_, _ = fmt.Fprintf(io.out, "%s of %s", plural(found.Found, "copy"), plural(found.Originals, "message"))
	if rest := found.Found - len(found.Messages); rest > 0 {
		_, _ = fmt.Fprintf(io.out, ", of which %s not listed (--limit)", plural(rest, "copy"))
	}
	if !found.Complete {
		_, _ = fmt.Fprintf(io.out, "; %d were examined, and there are more", found.Looked)
	}
	_, _ = fmt.Fprintln(io.out)
}

// deadLetters lists at most limit messages of the dead-letter queue that match question. 0: all of
// them.
func (c *client) deadLetters(ctx context.Context, limit int, question url.Values) (found producerapi.DeadLetters, err error) {
	all := []producerapi.DeadLetter{}
	err = pages(limit, question, func(query string) (int, string, error) {
		found = producerapi.DeadLetters{}
		err := c.callFor(ctx, lookTime, http.MethodGet, "/dlq?"+query, nil, &found)
		all = append(all, found.Messages...)
		return len(found.Messages), found.Next, err
	})
	found.Messages = all
	return found, err
}

// standing describes the record of a message's name. A message that SQS has moved has no other
// explanation.
func standing(m producerapi.DeadLetter) string {
	if m.Record == nil {
		return "none"
	}
	return fmt.Sprintf("%s, %s", m.Record.Status, plural(m.Record.Attempts, "attempt"))
}

// recordStatus returns the status of a message's name.
func recordStatus(m producerapi.DeadLetter) string {
	if m.Record == nil {
		return "none"
	}
	return string(m.Record.Status)
}

// lastError returns the error of the message, or of its record, or the reason why the message has
// no name.
func lastError(m producerapi.DeadLetter) string {
	if m.Error == "" && m.Record != nil {
		return m.Record.Error
	}
	return cmp.Or(m.Error, m.Unnamed)
}

// recordError returns the error of the record of a message's name, or the reason why the message
// has no name. It is the failure alone, while the message's own error has the name and advice
// before it.
func recordError(m producerapi.DeadLetter) string {
	if m.Record != nil && m.Record.Error != "" {
		return m.Record.Error
	}
	return m.Unnamed
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// dlqShowCmd is "producer dlq show".
type dlqShowCmd struct {
	Which string `arg:"" help:"A name, a message id (or its first 8 characters), or the id of the original message."`
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
	found, err := c.deadLetters(ctx, 0, url.Values{"which": {s.Which}, "body": {"true"}})
	if err != nil {
		return err
	}
	switch {
	case len(found.Messages) == 0 && !found.Complete:
		return fmt.Errorf("%q is not among the %d messages that were examined; there are more", s.Which, found.Looked)
	case len(found.Messages) == 0:
		return fmt.Errorf("%q is not in the dead-letter queue", s.Which)
	case s.JSON:
		return printJSON(io.out, found.Messages)
	}
	for i, m := range found.Messages {
		if i > 0 {
			_, _ = fmt.Fprintln(io.out)
		}
		table(io.out, [][]string{
			{"name", orDash(m.Name)}, {"message", m.MessageID}, {"copy of", m.OriginalID}, {"sent", moment(m.SentAt)},
			{"reason", m.Reason}, {"error", orDash(m.Error)}, {"record", standing(m)}, {"last error", orDash(recordError(m))}, {"body", m.Body},
		})
	}
	return nil
}

// dlqRedriveCmd is "producer dlq redrive".
type dlqRedriveCmd struct {
	selection
	ReopenUnknown bool `env:"-" help:"Also run names again that are UNKNOWN or whose attempt has vanished. Their work may have been done already."`
	Preview       bool `env:"-" help:"Print the messages that would be moved or kept, and change nothing."`
	Rate          int  `env:"-" default:"0" help:"Messages moved per second, at most 10000; 0: no limit."`
	backendFlags
}

func (s *dlqRedriveCmd) check() error {
	var bad problems
	if s.Rate < 0 || s.Rate > 10_000 {
		bad.add("--rate %d: must be from 0 to 10000", s.Rate)
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *dlqRedriveCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	order := map[string]any{"name": s.Name, "reason": s.Reason, "reopen_unknown": s.ReopenUnknown, "preview": s.Preview, "rate": s.Rate}
	bar := progress(io.err, -1, "redriving")
	var total producerapi.Redrive
	items := make(map[string]int) // places in total.Items, by message id
	for {
		var last producerapi.Redrive
		if err := c.callFor(ctx, lookTime, http.MethodPost, "/dlq/redrive", order, &last); err != nil {
			bar.finish()
			if len(total.Items) > 0 {
				s.printItems(io, total)
			}
			return err
		}
		addRedrive(&total, last, items)
		bar.set(int64(total.Looked))
		if !last.More || last.Error != "" || last.Looked == 0 || s.Preview {
			break
		}
		order["began"] = last.Began
	}
	bar.finish()
	return s.print(io, total)
}

// addRedrive adds the result of one more request. A message that was examined again counts with its
// latest outcome.
func addRedrive(total *producerapi.Redrive, last producerapi.Redrive, items map[string]int) {
	all := total.Items
	for _, item := range last.Items {
		if i, again := items[item.MessageID]; again {
			all[i] = item
			continue
		}
		items[item.MessageID] = len(all)
		all = append(all, item)
	}
	looked, reopened, began := total.Looked, total.Reopened, total.Began
	*total = last
	total.Items, total.Looked, total.Reopened = all, looked+last.Looked, reopened+last.Reopened
	if !began.IsZero() {
		total.Began = began
	}
	total.Moved, total.Kept, total.Failed, total.Copied, total.Returned = 0, 0, 0, 0, 0
	for _, item := range all {
		switch item.Outcome {
		case deadletter.Moved:
			total.Moved++
		case deadletter.Kept:
			total.Kept++
		case deadletter.Failed:
			total.Failed++
		case deadletter.Copied:
			total.Copied++
		case deadletter.Returned:
			total.Returned++
		}
	}
}

// maxRowsShown bounds the printed list of messages or names that were not changed.
const maxRowsShown = 100

func (s *dlqRedriveCmd) print(io stdio, r producerapi.Redrive) error {
	if s.JSON {
		if r.Items == nil {
			r.Items = []producerapi.RedriveItem{}
		}
		if err := printJSON(io.out, r); err != nil {
			return err
		}
	} else {
		s.printItems(io, r)
	}
	others := len(r.Items) - r.Moved
	switch {
	case r.Error != "":
		return fmt.Errorf("the redrive ended early: %s", printable(r.Error))
	case len(r.Items) == 0 && r.More:
		return fmt.Errorf("%s among the %d messages that were examined; there are more", strings.TrimSuffix(s.text(), " is in the dead-letter queue"), r.Looked)
	case len(r.Items) == 0 && s.selection != selection{}:
		return errors.New(s.text())
	case others > 0 && s.Preview:
		return fmt.Errorf("%s would not be moved", plural(others, "message"))
	case others > 0:
		return fmt.Errorf("%s not moved", plural(others, "message"))
	case r.More && !s.Preview:
		return errors.New("not all messages could be examined; there may be more")
	}
	return nil
}

// printItems lists the messages that were not moved, and prints a summary.
func (s *dlqRedriveCmd) printItems(io stdio, r producerapi.Redrive) {
	rows := [][]string{{"NAME", "OUTCOME", "WHY"}} // 26 + 8 + 62, and two blanks between each: 100 columns
	unknown := false
	for _, item := range r.Items {
		if item.Outcome == deadletter.Moved {
			continue
		}
		unknown = unknown || item.Unknown
		if len(rows) <= maxRowsShown {
			rows = append(rows, []string{shorten(cmp.Or(item.Name, item.MessageID), 26), item.Outcome, shorten(item.Why, 62)})
		}
	}
	if len(rows) > 1 {
		table(io.out, rows)
		if rest := len(r.Items) - r.Moved - len(rows) + 1; rest > 0 {
			_, _ = fmt.Fprintf(io.out, "and %d more (--json lists all)\n", rest)
		}
		_, _ = fmt.Fprintln(io.out)
	}
	if unknown {
		_, _ = fmt.Fprintln(io.err, "If their work was done, record it: producer resolve NAME --completed. To run them again: --reopen-unknown.")
	}
	verb := "moved"
	if s.Preview {
		verb = "would be moved"
	}
	_, _ = fmt.Fprintf(io.out, "%s %s, of %d examined", plural(r.Moved, "message"), verb, r.Looked)
	if r.Reopened > 0 {
		_, _ = fmt.Fprintf(io.out, "; %s re-opened", plural(r.Reopened, "name"))
	}
	_, _ = fmt.Fprintln(io.out)
}

// dlqPurgeCmd is "producer dlq purge".
type dlqPurgeCmd struct {
	Yes bool `short:"y" env:"-" help:"Delete without asking."`
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
		found, err := c.deadLetters(ctx, 1, url.Values{})
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(io.err, "Delete about %s for good? Type yes: ", plural(found.Found, "message"))
		answer, _ := bufio.NewReader(io.in).ReadString('\n') // the end of the input is a no
		if strings.TrimSpace(answer) != "yes" {
			return errors.New("nothing was deleted (use --yes to delete without asking)")
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
