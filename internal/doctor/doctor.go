// Package doctor checks the project's assumptions about AWS on a real queue and a real table. Tests
// on local servers cannot show them, because local servers differ from AWS.
package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/schedule"
)

// Scope is the beginning of the scope of all records that a run writes.
const Scope = "sqsonce-doctor"

// callTimeout bounds one check.
const callTimeout = 10 * time.Second

// Config configures a run.
type Config struct {
	Queue    *sqs.Client      // required
	Table    *dynamodb.Client // required
	Region   string           // of the clients
	QueueURL string           // required
	DLQURL   string           // empty: the queue in the redrive policy
	Name     string           // of the table; required
	TTL      string           // attribute of its time to live; default: dynamo's
	Skew     time.Duration    // the largest allowed difference between clocks
	Send     bool             // allows the check that sends a message to the dead-letter queue and deletes it

	// Schedules is where delayed messages wait. Default nil: the checks of schedules are skipped.
	Schedules schedule.Scheduler
}

// Needs says which settings a check needs.
type Needs int

// The needs of checks.
const (
	nothing   Needs = iota
	sending         // [Config.Send]
	schedules       // [Config.Schedules]
)

// Assumption is an assumption of the project about AWS.
type Assumption struct {
	Name        string // the subject
	Expected    string // the expected behaviour
	Consequence string // the effect if the assumption does not hold
	Source      string // address of AWS's documentation
	Needs       Needs

	check func(ctx context.Context, p *patient) (seen string, err error)
}

// Finding is the result of a check.
type Finding struct {
	Assumption
	Seen    string
	Holds   bool
	Skipped bool // not checked, because the run lacks what the check needs
}

// errDiffers is returned by a check that has seen another behaviour than expected.
var errDiffers = errors.New("differs")

// Run checks the assumptions one after the other and deletes the records and schedules that it
// has written. Its
// error names the records that could not be deleted.
func Run(ctx context.Context, cfg Config) ([]Finding, error) {
	p := newPatient(cfg)
	var findings []Finding
	for _, a := range Assumptions() {
		f := Finding{Assumption: a}
		switch {
		case a.Needs == sending && !cfg.Send:
			f.Skipped, f.Seen = true, "not checked: it sends a message"
		case a.Needs == schedules && cfg.Schedules == nil:
			f.Skipped, f.Seen = true, "not checked: there is no --schedule-role"
		default:
			f.Seen, f.Holds = p.look(ctx, a)
		}
		findings = append(findings, f)
	}
	return findings, p.cleanUp(ctx)
}

// look runs one check.
func (p *patient) look(ctx context.Context, a Assumption) (seen string, holds bool) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	seen, err := a.check(ctx, p)
	switch {
	case err == nil:
		return seen, true
	case errors.Is(err, errDiffers):
		return seen, false
	default:
		return err.Error(), false
	}
}

// Sick returns the number of assumptions that do not hold.
func Sick(findings []Finding) int {
	n := 0
	for _, f := range findings {
		if !f.Holds && !f.Skipped {
			n++
		}
	}
	return n
}

// Print writes the findings as a table, then the consequences of those that do not hold.
func Print(w io.Writer, findings []Finding) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\tassumption\texpected\tseen") // Flush returns the error
	for _, f := range findings {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%.120s\n", f.mark(), f.Name, f.Expected, f.Seen)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the findings: %w", err)
	}
	for _, f := range findings {
		if f.Holds || f.Skipped {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n%s\n  expected:    %s\n  seen:        %s\n  consequence: %s\n  source:      %s\n",
			f.Name, f.Expected, f.Seen, f.Consequence, f.Source); err != nil {
			return fmt.Errorf("print the findings: %w", err)
		}
	}
	return nil
}

func (f Finding) mark() string {
	switch {
	case f.Skipped:
		return "-"
	case f.Holds:
		return "ok"
	default:
		return "NO"
	}
}

// patient is the queue and the table that are checked.
type patient struct {
	cfg     Config
	scope   string // of this run
	written []string
}

func newPatient(cfg Config) *patient {
	return &patient{cfg: cfg, scope: Scope + "-" + rand.Text()[:8]}
}

// record returns a record of this run. If the run does not delete it, the time to live does after
// an hour.
func (p *patient) record(name string) protocol.Record {
	const first protocol.Version = 1
	r := protocol.Record{
		ID: protocol.RecordID(p.scope, name), Name: name, Format: protocol.Format, Status: protocol.InProgress,
		Version: first, Fence: first, Owner: protocol.Token{1}, Attempts: 1, ExpiresAt: time.Now().Add(time.Hour),
	}
	p.written = append(p.written, r.ID)
	return r
}

// batch sends the store's statements for the writes and returns the answer to each.
func (p *patient) batch(ctx context.Context, writes ...write) ([]ddbtypes.BatchStatementResponse, error) {
	in := &dynamodb.BatchExecuteStatementInput{}
	for _, w := range writes {
		s, err := dynamo.Statement(p.cfg.Name, w.old, w.next)
		if err != nil {
			return nil, err
		}
		in.Statements = append(in.Statements, s)
	}
	out, err := p.cfg.Table.BatchExecuteStatement(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("BatchExecuteStatement: %w", err)
	}
	if len(out.Responses) != len(writes) {
		return nil, fmt.Errorf("BatchExecuteStatement: %d answers to %d statements", len(out.Responses), len(writes))
	}
	return out.Responses, nil
}

type write struct {
	old  protocol.Version
	next protocol.Record
}

// codeOf returns the error code of a member, or "accepted".
func codeOf(r ddbtypes.BatchStatementResponse) string {
	if r.Error == nil {
		return "accepted"
	}
	return string(r.Error.Code)
}

// store returns a store on the table, without batches.
func (p *patient) store() (*dynamo.Store, error) {
	return dynamo.New(p.cfg.Table, dynamo.Config{Table: p.cfg.Name, TTLAttribute: p.cfg.TTL, Batch: dynamo.BatchOff})
}

var _ dedupe.Store = (*dynamo.Store)(nil)

// cleanUp removes the records of this run.
func (p *patient) cleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	var errs []error
	seen := make(map[string]bool)
	for _, id := range p.written {
		if seen[id] {
			continue
		}
		seen[id] = true
		_, err := p.cfg.Table.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &p.cfg.Name, Key: map[string]ddbtypes.AttributeValue{dynamo.AttrID: &ddbtypes.AttributeValueMemberS{Value: id}},
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("record %q is left in the table; its time to live ends in an hour: %w", id, err))
		}
	}
	return errors.Join(errs...)
}
