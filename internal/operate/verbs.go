package operate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

// Verbs of an [Order].
const (
	Retry     = "retry"     // let an UNKNOWN or REJECTED name run again, or one whose lease has lapsed
	Completed = "completed" // record that the work of an UNKNOWN name was done, or of one whose lease has lapsed
	Forget    = "forget"    // make the name count as never seen
	Import    = "import"    // record that the work of a name without a record was done elsewhere
)

// Order is an operator's order about names.
type Order struct {
	Verb    string
	Names   []string
	Result  []byte // JSON, for Completed; empty means no result
	Force   bool   // for Forget: also names that are being handled
	Preview bool   // only report the outcomes, change nothing
	By      string // the operator, stored in the record
}

// Outcome is the outcome of an order for one name.
type Outcome struct {
	Name      string
	Done      bool            // carried out; in a preview: would be
	Record    protocol.Record // the current record; for Forget and in a preview, the record before
	Why       string          // reason if it was not done
	Effective time.Time       // for Forget: when no worker answers from memory any more
	Err       error           // the error if it was not done; nil if a name to import has a record
}

// atATime is the number of names settled at a time.
const atATime = 20

// Do carries out an order for each name, logs each outcome, and returns the outcomes in the order
// of the names.
func Do(ctx context.Context, operator *dedupe.Operator, o Order, now func() time.Time, log *slog.Logger) []Outcome {
	operator = operator.As(o.By)
	outcomes := make([]Outcome, len(o.Names))
	do := func(i int) {
		outcomes[i] = one(ctx, operator, o, o.Names[i], now())
		if !o.Preview {
			logged(ctx, log, o, outcomes[i])
		}
	}
	if len(o.Names) == 1 { // in this goroutine, so that the caller gets a panic
		do(0)
		return outcomes
	}
	var group errgroup.Group
	group.SetLimit(atATime)
	for i := range o.Names {
		group.Go(func() error { do(i); return nil })
	}
	_ = group.Wait() // always nil
	return outcomes
}

func logged(ctx context.Context, log *slog.Logger, o Order, out Outcome) {
	fields := []any{"verb", o.Verb, "name", out.Name, "by", o.By, "status", out.Record.Status}
	if out.Done || out.Err == nil { // importing a known name is no failure
		log.InfoContext(ctx, "operator's verb", append(fields, "done", out.Done)...)
		return
	}
	log.WarnContext(ctx, "operator's verb failed", append(fields, "error", out.Why)...)
}

// one carries out an order for one name.
func one(ctx context.Context, operator *dedupe.Operator, o Order, name string, now time.Time) Outcome {
	out := Outcome{Name: name}
	var err error
	if o.Verb == Import {
		return imported(ctx, operator, o, out)
	}
	// A name without a record is most likely mistyped, so Lookup's error is returned.
	if out.Record, err = operator.Lookup(ctx, name); err == nil && o.Preview {
		err = preview(out.Record, o, now)
	} else if err == nil {
		switch o.Verb {
		case Retry:
			out.Record, err = keep(out.Record, func() (protocol.Record, error) { return operator.Reopen(ctx, name) })
		case Completed:
			out.Record, err = keep(out.Record, func() (protocol.Record, error) { return operator.Resolve(ctx, name, dedupe.Payload{Data: o.Result}) })
			if err == nil && len(o.Result) > 0 && !sameJSON(o.Result, out.Record.Result) {
				err = errOtherResult // it was completed earlier
			}
		case Forget:
			out.Effective, err = operator.Forget(ctx, name, o.Force)
		default:
			err = fmt.Errorf("unknown verb %q", o.Verb)
		}
	}
	if err == nil {
		out.Done = true
		return out
	}
	out.Err, out.Why = err, Why(err)
	return out
}

// imported records a name as completed unless it has a record.
func imported(ctx context.Context, operator *dedupe.Operator, o Order, out Outcome) Outcome {
	var err error
	if o.Preview {
		out.Record, err = operator.Lookup(ctx, out.Name)
		if errors.Is(err, dedupe.ErrNoRecord) {
			out.Done, err = true, nil
		}
	} else {
		out.Record, out.Done, err = operator.Import(ctx, out.Name)
	}
	switch {
	case err != nil:
		out.Err, out.Why = err, Why(err)
	case !out.Done:
		out.Why = fmt.Sprintf("it is %s, and stays unchanged", out.Record.Status)
	}
	return out
}

// keep returns the result of do, or r if do fails.
func keep(r protocol.Record, do func() (protocol.Record, error)) (protocol.Record, error) {
	next, err := do()
	if err != nil {
		return r, err
	}
	return next, nil
}

// errOtherResult is returned for a result that differs from the recorded one.
var errOtherResult = errors.New("it is recorded as completed with another result, which stays")

// IsOtherResult reports whether an order was refused because another result is recorded.
func IsOtherResult(err error) bool { return errors.Is(err, errOtherResult) }

// preview returns the error with which the order would fail.
func preview(r protocol.Record, o Order, now time.Time) error {
	terms := protocol.Terms{Lease: time.Minute, Skew: dedupe.Config{}.WithDefaults().Skew, Window: time.Hour}
	verb := "reopen"
	var event protocol.Event = protocol.Reopen{Now: now, Terms: terms}
	switch o.Verb {
	case Completed:
		verb, event = "resolve", protocol.Resolve{Now: now, Terms: terms, Result: o.Result}
	case Forget:
		verb, event = "forget", protocol.Forget{Now: now, Terms: terms, Force: o.Force}
	}
	next, verdict := protocol.Step(r, event)
	switch {
	case verdict == protocol.VerdictWait && o.Verb == Forget:
		return &dedupe.InProgressError{Name: r.Name, Until: r.LeaseUntil}
	case verdict != protocol.VerdictApply:
		return &dedupe.VerbError{Verb: verb, Name: r.Name, Status: r.Status}
	case o.Verb == Completed && len(o.Result) > 0 && !sameJSON(o.Result, next.Result):
		return errOtherResult
	}
	return nil
}

// sameJSON reports whether two documents have the same canonical form.
func sameJSON(a, b []byte) bool {
	x, err := names.Canonical(nil, a)
	y, errOther := names.Canonical(nil, b)
	return err == nil && errOther == nil && bytes.Equal(x, y)
}

// Why returns an operator's explanation of the error of an order.
func Why(err error) string {
	if busy, ok := errors.AsType[*dedupe.InProgressError](err); ok {
		return fmt.Sprintf("it is being handled, at least until %s", busy.Until.UTC().Format(time.RFC3339))
	}
	if no, ok := errors.AsType[*dedupe.VerbError](err); ok {
		return fmt.Sprintf("it is %s: %s", no.Status, cannot(no.Verb, no.Status))
	}
	if errors.Is(err, dedupe.ErrNoRecord) {
		return "nothing is known of it"
	}
	return err.Error()
}

// cannot explains why a verb does not fit a status.
func cannot(verb string, s protocol.Status) string {
	switch {
	case s == protocol.InProgress:
		return "it is being handled"
	case verb == "reopen":
		return "its work was done, and does not run again unless the name is forgotten"
	default:
		return "only an UNKNOWN name can be declared completed"
	}
}
