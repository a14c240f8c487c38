package producercmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	goio "io"
	"net/http"
	"strings"

	"github.com/sqsonce/sqsonce/internal/operate"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/names"
)

// importCmd is "producer import".
type importCmd struct {
	Completed bool `env:"-" help:"Required. Record the names as COMPLETED, without a result, so that their messages never run."`
	Skip      int  `env:"-" default:"0" help:"Lines of standard input to skip, to continue after an interruption."`
	backendFlags
}

func (s *importCmd) check() error {
	var bad problems
	if !s.Completed {
		bad.add("--completed is missing: the names are recorded as COMPLETED")
	}
	if s.Skip < 0 {
		bad.add("--skip %d: must not be negative", s.Skip)
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

// imported is the report of an import.
type imported struct {
	Added   int            `json:"added"`
	Known   map[string]int `json:"known"`   // names that had a record, by status
	Refused int            `json:"refused"` // lines that are no name, and names that could not be recorded
	Next    int            `json:"next"`    // lines that are done: the --skip to continue with
	Done    bool           `json:"done"`
}

// nameLine is a name with its place in the input.
type nameLine struct {
	number int
	name   string
}

func (s *importCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	report := imported{Known: map[string]int{}, Next: s.Skip}
	bar := progress(io.err, sizeOf(io.in), "import")
	lines := bufio.NewScanner(withoutMark(io.in))
	lines.Buffer(nil, maxLine)
	number, more := 0, true
	for more && err == nil {
		var some []nameLine
		for len(some) < operate.MaxPage {
			if more = lines.Scan(); !more {
				break
			}
			number++
			bar.add(len(lines.Bytes()) + 1)
			if text := strings.TrimSuffix(lines.Text(), "\r"); number > s.Skip && text != "" {
				some = append(some, nameLine{number, text})
			}
		}
		if err = c.importSome(ctx, io.err, some, &report); err == nil {
			report.Next = max(number, s.Skip)
		}
	}
	bar.finish()
	if err == nil {
		err = lines.Err()
	}
	report.Done = err == nil
	return s.print(io, report, number, err)
}

// importSome records at most a thousand names. It prints the lines that it refuses.
func (c *client) importSome(ctx context.Context, errs goio.Writer, some []nameLine, report *imported) error {
	var good []string
	var at []int
	for _, l := range some {
		if err := names.Check(l.name); err != nil && len(l.name) <= names.MaxBytes {
			report.Refused++
			_, _ = fmt.Fprintf(errs, "line %d: %v\n", l.number, err)
			continue
		}
		good, at = append(good, l.name), append(at, l.number)
	}
	if len(good) == 0 {
		return nil
	}
	var answer producerapi.NameReport
	order := map[string]any{"verb": operate.Import, "names": good}
	if err := c.callFor(ctx, lookTime, http.MethodPost, "/names", order, &answer); err != nil {
		return err
	}
	if len(answer.Names) != len(good) {
		return fmt.Errorf("%s answered POST /names with %d results for %d names", c.base.Redacted(), len(answer.Names), len(good))
	}
	report.Added += answer.Done
	for i, n := range answer.Names {
		switch {
		case n.Done:
		case n.Status != "":
			report.Known[string(n.Status)]++
		default:
			report.Refused++
			_, _ = fmt.Fprintf(errs, "line %d: %q: %s\n", at[i], good[i], n.Why)
		}
	}
	return nil
}

func (s *importCmd) print(io stdio, r imported, lines int, err error) error {
	if s.JSON {
		if err := printJSON(io.out, r); err != nil {
			return err
		}
	} else {
		known := 0
		for _, n := range r.Known {
			known += n
		}
		_, _ = fmt.Fprintf(io.out, "%s recorded as COMPLETED, %s already recorded, %d refused\n", plural(r.Added, "name"), plural(known, "name"), r.Refused)
		for _, status := range []string{"IN_PROGRESS", "RETRYING", "REJECTED", "UNKNOWN"} {
			if n := r.Known[status]; n > 0 {
				_, _ = fmt.Fprintf(io.out, "  %s: %d, unchanged\n", status, n)
			}
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w; continue with --skip %d", err, r.Next)
	case s.Skip > lines:
		return fmt.Errorf("--skip %d: standard input has %d lines", s.Skip, lines)
	case r.Refused > 0:
		return errors.New(plural(r.Refused, "line") + " refused")
	}
	return nil
}
