package producercmd

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/operate"
	"github.com/sqsonce/sqsonce/internal/producerapi"
)

// nameFlags select the names of a verb.
type nameFlags struct {
	Names   []string `arg:"" name:"name" help:"Names; - reads names from standard input, one per line."`
	Preview bool     `env:"-" help:"Print the effect, and change nothing."`
}

func (f nameFlags) check(bad *problems) {
	for _, name := range f.Names {
		checkName(bad, name)
	}
}

// list returns the names. It replaces - by the names of standard input.
func (f nameFlags) list(in io.Reader) ([]string, error) {
	var all []string
	for _, name := range f.Names {
		if name != "-" {
			all = append(all, name)
			continue
		}
		lines := bufio.NewScanner(withoutMark(in))
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			if line := strings.TrimSuffix(lines.Text(), "\r"); line != "" {
				all = append(all, line)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
	}
	return all, nil
}

// operator returns user@host of this process, for the audit fields of records.
func operator() string {
	who := "somebody"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return who
	}
	who += "@" + host
	return who[:min(len(who), 128)] // the API's limit
}

// settleTime is the time for changing one name, in addition to the timeout of a call.
const settleTime = 200 * time.Millisecond

// settle applies a verb to names, up to a thousand per request. It prints the names that were not
// changed; with --json all.
func (f backendFlags) settle(ctx context.Context, io stdio, n nameFlags, order map[string]any) (report producerapi.NameReport, err error) {
	names, err := n.list(io.in)
	if err != nil {
		return report, err
	}
	c, err := f.connect(ctx)
	if err != nil {
		return report, err
	}
	defer c.close()
	bar := progress(io.err, int64(len(names)), "names")
	order["preview"] = n.Preview
	report.Preview = n.Preview
	for len(names) > 0 && err == nil {
		some := names[:min(len(names), operate.MaxPage)]
		names = names[len(some):]
		order["names"] = some
		var part producerapi.NameReport
		err = c.callFor(ctx, time.Duration(len(some))*settleTime, http.MethodPost, "/names", order, &part)
		if err == nil && len(part.Names) != len(some) {
			err = fmt.Errorf("%s answered POST /names with %d results for %d names", c.base.Redacted(), len(part.Names), len(some))
		}
		report.Done += part.Done
		report.Names = append(report.Names, part.Names...)
		bar.add(len(some))
	}
	bar.finish()
	if f.JSON && (err == nil || len(report.Names) > 0) {
		if report.Names == nil {
			report.Names = []producerapi.NameResult{}
		}
		return report, cmp.Or(err, printJSON(io.out, report))
	}
	if err == nil || len(report.Names) > 0 {
		printReport(io, report, fmt.Sprint(order["verb"]))
	}
	return report, err
}

// printReport lists the names that a verb did not change, and prints a summary.
func printReport(io stdio, r producerapi.NameReport, verb string) {
	rows := [][]string{{"NAME", "STATUS", "WHY"}} // 34 + 11 + 51, and two blanks between each: 100 columns
	for _, n := range r.Names {
		if !n.Done && len(rows) <= maxRowsShown {
			rows = append(rows, []string{shorten(n.Name, 34), orDash(string(n.Status)), shorten(n.Why, 51)})
		}
	}
	if len(rows) > 1 {
		table(io.out, rows)
		if rest := len(r.Names) - r.Done - len(rows) + 1; rest > 0 {
			_, _ = fmt.Fprintf(io.out, "and %d more (--json lists all)\n", rest)
		}
		_, _ = fmt.Fprintln(io.out)
	}
	would := ""
	if r.Preview {
		would = "would be "
	}
	_, _ = fmt.Fprintf(io.out, "%s: %s%d of %s\n", verb, would, r.Done, plural(len(r.Names), "name"))
}

// verdict returns nil if a verb changed every name.
func verdict(r producerapi.NameReport) error {
	if rest := len(r.Names) - r.Done; rest > 0 {
		return fmt.Errorf("%s not changed", plural(rest, "name"))
	}
	return nil
}

// resolveCmd is "producer resolve".
type resolveCmd struct {
	nameFlags
	Completed bool   `xor:"outcome" env:"-" help:"Record a name that is UNKNOWN as COMPLETED, because its work was done."`
	Retry     bool   `xor:"outcome" env:"-" help:"Let a name that is UNKNOWN or REJECTED run again. Its message must come back too: producer dlq redrive --name NAME."`
	Result    string `env:"-" placeholder:"JSON" help:"Result of the work (with --completed). Default: none."`
	backendFlags
}

func (s *resolveCmd) check() error {
	var bad problems
	s.nameFlags.check(&bad)
	if !s.Completed && !s.Retry {
		bad.add("--completed or --retry is missing: state that the work was done, or let it run again")
	}
	if s.Result != "" && !s.Completed {
		bad.add("--result %q: needs --completed", s.Result)
	}
	if s.Result != "" && !json.Valid([]byte(s.Result)) {
		bad.add("--result %q: must be JSON", s.Result)
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *resolveCmd) run(ctx context.Context, io stdio) error {
	if len(s.Names) == 1 && s.Names[0] != "-" && !s.Preview {
		return s.runOne(ctx, io)
	}
	order := map[string]any{"verb": operate.Retry}
	if s.Completed {
		order["verb"] = operate.Completed
	}
	if s.Result != "" {
		order["result"] = json.RawMessage(s.Result)
	}
	report, err := s.settle(ctx, io, s.nameFlags, order)
	if err != nil {
		return err
	}
	if s.Retry && report.Done > 0 && !s.Preview {
		_, _ = fmt.Fprintln(io.err, "These names run again when their messages come back: producer dlq redrive --name NAME")
	}
	return verdict(report)
}

// runOne settles a single name, and prints its record.
func (s *resolveCmd) runOne(ctx context.Context, io stdio) error {
	name := s.Names[0]
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	order := struct {
		Outcome string          `json:"outcome"`
		Result  json.RawMessage `json:"result,omitempty"`
	}{Outcome: operate.Retry}
	if s.Completed {
		order.Outcome = operate.Completed
	}
	if s.Result != "" {
		order.Result = json.RawMessage(s.Result)
	}
	var record producerapi.Record
	if err := c.call(ctx, http.MethodPost, messagePath(name)+"/resolve", order, &record); err != nil {
		return err
	}
	if s.JSON {
		return printJSON(io.out, record)
	}
	table(io.out, describe(record))
	if s.Retry {
		_, _ = fmt.Fprintf(io.err, "The name runs again when its message comes back: producer dlq redrive --name %s\n", shellQuote(name))
	}
	return nil
}

// forgetCmd is "producer forget".
type forgetCmd struct {
	nameFlags
	Force  bool `env:"-" help:"Also forget a name that is being handled. Its attempt is cancelled, and its outcome is not recorded."`
	NoWait bool `help:"Do not wait until the workers' caches have forgotten the name too. Until then a message of this name may be suppressed as a duplicate."`
	backendFlags
}

func (s *forgetCmd) check() error {
	var bad problems
	s.nameFlags.check(&bad)
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *forgetCmd) run(ctx context.Context, io stdio) error {
	report, err := s.settle(ctx, io, s.nameFlags, map[string]any{"verb": operate.Forget, "force": s.Force})
	if err != nil {
		return err
	}
	var effective time.Time
	for _, n := range report.Names {
		if n.EffectiveAt.After(effective) {
			effective = n.EffectiveAt
		}
	}
	if wait := time.Until(effective); wait > 0 && !s.NoWait {
		if !s.JSON {
			_, _ = fmt.Fprintf(io.err, "forgotten; waiting %s until the workers' caches have expired (skip with --no-wait)\n", wait.Round(time.Second))
		}
		if err := backoff.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	if !s.JSON && !s.Preview && report.Done > 0 {
		_, _ = fmt.Fprintf(io.out, "forgotten names count as never seen from %s\n", moment(effective))
	}
	return verdict(report)
}
