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

// Prices of AWS for us-east-1, from its public pages on 25 November 2026: standard queues after the
// free million, on-demand tables. https://aws.amazon.com/sqs/pricing/,
// https://aws.amazon.com/dynamodb/pricing/on-demand/
const (
	sqsPerMillion   = 0.40  // dollars, requests of up to 64 KiB
	writePerMillion = 0.625 // dollars, write request units of up to 1 KiB
	readPerMillion  = 0.125 // dollars, read request units of up to 4 KiB, strongly consistent
)

// Dollars returns the price of a million messages, for this many SQS requests and DynamoDB write
// and read units per message. It excludes data transfer and storage.
func Dollars(requests, writes, reads float64) float64 {
	return requests*sqsPerMillion + writes*writePerMillion + reads*readPerMillion
}

// Dollars returns the price of a million messages like the measured ones.
func (m Measurement) Dollars() float64 {
	return Dollars(m.PerMessage(m.SQS()), m.PerMessage(m.Writes), m.PerMessage(m.Reads))
}
