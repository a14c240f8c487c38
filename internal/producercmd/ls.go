package producercmd

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/internal/operate"
	"github.com/sqsonce/sqsonce/internal/producerapi"
)

// lsCmd is "producer ls".
type lsCmd struct {
	Status string        `env:"-" default:"unknown,rejected,retrying" help:"Statuses to list, separated by commas: unknown, rejected, retrying."`
	Older  time.Duration `env:"-" help:"Only names whose record was last written at least this long ago, such as 1h. 0: all."`
	Prefix string        `env:"-" help:"Only names that begin with this text."`
	Limit  int           `default:"100" help:"Names to list, at most; 0: all."`
	backendFlags
}

func (s *lsCmd) check() error {
	var bad problems
	if s.Limit < 0 {
		bad.add("--limit %d: must not be negative", s.Limit)
	}
	if s.Older < 0 {
		bad.add("--older %s: must not be negative", s.Older)
	}
	statuses := operate.ParseStatuses(s.Status)
	for _, status := range statuses {
		if !status.NeedsAttention() {
			bad.add("--status %q: must be unknown, rejected or retrying, or several of them separated by commas", strings.ToLower(string(status)))
		}
	}
	if len(statuses) == 0 {
		bad.add("--status %q: must name at least one status", s.Status)
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *lsCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	found, err := c.names(ctx, s.Limit, url.Values{"status": {s.Status}, "older": {s.Older.String()}, "prefix": {s.Prefix}})
	if err != nil {
		return err
	}
	if s.JSON {
		return printJSON(io.out, found)
	}
	if len(found.Names) == 0 {
		_, _ = fmt.Fprintln(io.out, "no names found")
		return nil
	}
	// 32 + 8 + 8 + 11 + 33, and two blanks between each: 100 columns.
	rows := [][]string{{"NAME", "STATUS", "ATTEMPTS", "SINCE", "ERROR"}}
	for _, n := range found.Names {
		rows = append(rows, []string{shorten(n.Name, 32), string(n.Status), strconv.Itoa(n.Attempts), day(n.Since), shorten(n.Error, 33)})
	}
	table(io.out, rows)
	_, _ = fmt.Fprintf(io.out, "\n%s", plural(len(found.Names), "name"))
	if found.Next != "" {
		_, _ = fmt.Fprint(io.out, "; there are more (--limit)")
	}
	_, _ = fmt.Fprintln(io.out)
	return nil
}

// names lists at most limit names that need attention; 0: all of them.
func (c *client) names(ctx context.Context, limit int, question url.Values) (found producerapi.NameList, err error) {
	all := []producerapi.NameEntry{}
	err = pages(limit, question, func(query string) (int, string, error) {
		found = producerapi.NameList{}
		err := c.call(ctx, http.MethodGet, "/names?"+query, nil, &found)
		all = append(all, found.Names...)
		return len(found.Names), found.Next, err
	})
	found.Names = all
	return found, err
}

// pageSize is the largest number of entries in an answer of the API.
const pageSize = 1000

// pages requests pages until it has limit entries; 0: all of them. ask requests a page, and returns
// the number of its entries and the start of the next page.
func pages(limit int, question url.Values, ask func(query string) (got int, next string, err error)) error {
	had, after := 0, ""
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-had)
		}
		question.Set("limit", strconv.Itoa(size))
		question.Set("after", after)
		got, next, err := ask(question.Encode())
		if err != nil {
			return err
		}
		had, after = had+got, next
		if next == "" || had == limit {
			return nil
		}
	}
}
