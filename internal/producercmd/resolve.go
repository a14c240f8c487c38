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

// nameFlags say which names a verb is about.
type nameFlags struct {
	Names   []string `arg:"" name:"name" help:"The names; - reads them from standard input, one a line."`
	Preview bool     `env:"-" help:"Say what would happen, and change nothing."`
}

func (f nameFlags) check(bad *problems) {
	for _, name := range f.Names {
		checkName(bad, name)
	}
}

// list returns the names, with those of standard input where - stands.
func (f nameFlags) list(in io.Reader) ([]string, error) {
	var all []string
	for _, name := range f.Names {
		if name != "-" {
			all = append(all, name)
			continue
		}
		lines := bufio.NewScanner(in)
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

// operator is what records say of who runs the command.
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
	return who[:min(len(who), 128)] // what the API takes
}

// settleTime is how long the API may take to change one name, beyond the time-out of a call.
const settleTime = 200 * time.Millisecond

// settle carries out a verb on names, a thousand at a time, and prints a report of
// those that it was not carried out on; with --json of all.
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
			err = fmt.Errorf("%s answered POST /names with something else", c.base.Redacted())
		}
		report.Done += part.Done
		report.Names = append(report.Names, part.Names...)
		_ = bar.Add(len(some))
	}
	_ = bar.Finish()
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

// printReport lists the names that a verb was not carried out on, and sums up.
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

// verdict is nil when a verb was carried out on every name.
func verdict(r producerapi.NameReport) error {
	if rest := len(r.Names) - r.Done; rest > 0 {
		return fmt.Errorf("%s not settled", plural(rest, "name"))
	}
	return nil
}

// resolveCmd is "producer resolve".
type resolveCmd struct {
	nameFlags
	Completed bool   `xor:"outcome" env:"-" help:"The work of a name recorded as UNKNOWN was done: record it as COMPLETED."`
	Retry     bool   `xor:"outcome" env:"-" help:"Let a name recorded as UNKNOWN or REJECTED run again. Its message has to come back too: producer dlq redrive --name NAME."`
	Result    string `env:"-" placeholder:"JSON" help:"Result of the work (with --completed)."`
	backendFlags
}

func (s *resolveCmd) check() error {
	var bad problems
	s.nameFlags.check(&bad)
	if !s.Completed && !s.Retry {
		bad.add("one of --completed and --retry is needed: was the work done, or may it run again?")
	}
	if s.Result != "" && !s.Completed {
		bad.add("--result: only with --completed")
	}
	if s.Result != "" && !json.Valid([]byte(s.Result)) {
		bad.add("--result %q: not JSON", s.Result)
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
		_, _ = fmt.Fprintln(io.err, "They run again when their messages come back: producer dlq redrive --name NAME")
	}
	return verdict(report)
}

// runOne settles one name, and prints its record.
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
		_, _ = fmt.Fprintf(io.err, "It runs again when its message comes back: producer dlq redrive --name %s\n", shellQuote(name))
	}
	return nil
}

// forgetCmd is "producer forget".
type forgetCmd struct {
	nameFlags
	Force  bool `env:"-" help:"Forget it although it is being handled: its attempt is cancelled, and what it did is not recorded."`
	NoWait bool `help:"Do not wait until workers have forgotten it too: until then a message of this name may be taken for a duplicate."`
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
			_, _ = fmt.Fprintf(io.err, "forgotten; waiting %s until no worker answers from memory (--no-wait does not)\n", wait.Round(time.Second))
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
