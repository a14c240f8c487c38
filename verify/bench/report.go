package bench

import (
	"fmt"
	"os"
	"strings"
)

// Table is a Markdown table.
type Table struct {
	Head []string
	Rows [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// String returns the table in Markdown.
func (t *Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.Head, " | "), strings.Repeat("---|", len(t.Head)))
	for _, row := range t.Rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

// Replace replaces the text of a file between the line <!-- name --> and the next
// <!-- end -->.
func Replace(file, name, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	begin := "<!-- " + name + " -->\n"
	before, rest, found := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, "<!-- end -->")
	if !found || !ended {
		return fmt.Errorf("bench: %s has no section %q", file, name)
	}
	err = os.WriteFile(file, []byte(before+begin+"\n"+strings.TrimSpace(text)+"\n\n<!-- end -->"+after), 0o644) //nolint:gosec // a document
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// Aim is a row of the table of aims in BENCHMARKS.md.
type Aim struct {
	Text, Command string
}

// The aims.
var (
	AimCalls    = Aim{"calls a message at AWS's latencies: at most 0.31", "make bench-virtual"}
	AimFloor    = Aim{"CPU: at most 1.6 times the SDK's batched calls alone", "make bench-subjects"}
	AimLoop     = Aim{"CPU: at least 4 times less than the loop", "make bench-subjects"}
	AimNode     = Aim{"CPU: at least 10 times less than sqs-consumer + Powertools", "make bench-subjects"}
	AimRate     = Aim{"messages/s with 1,000 slots: at least 12,000", "make bench-virtual"}
	AimSpread   = Aim{"p99 with batches, 50 slots: at most 1.1 times that of single writes", "make bench-virtual"}
	AimMemory   = Aim{"memory after a million messages: at most 10 % more than after 50,000", "make bench-memory"}
	AimProducer = Aim{"producer, 100 connections: at least 3 times the requests/s of a bare handler", "make bench-producer"}
)

// Record writes the result into the aim's row of the section "aims" of a file. The row must exist.
func (a Aim) Record(file string, met bool, measured string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	result := "met"
	if !met {
		result = "**missed**"
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "| "+a.Text+" |") {
			lines[i] = fmt.Sprintf("| %s | %s | %s | `%s` |\n", a.Text, measured, result, a.Command)
			if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644); err != nil { //nolint:gosec // a document
				return fmt.Errorf("bench: %w", err)
			}
			return nil
		}
	}
	return fmt.Errorf("bench: %s has no row %q", file, a.Text)
}
