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
	Retry     = "retry"     // a name that is UNKNOWN, REJECTED, or whose attempt has vanished may run again
	Completed = "completed" // the work of a name that is UNKNOWN, or whose attempt has vanished, was done
	Forget    = "forget"    // the name counts as never seen
	Import    = "import"    // the work of a name that is not known here was done elsewhere
)

// Order is what becomes of names.
type Order struct {
	Verb    string
	Names   []string
	Result  []byte // JSON, of Completed; empty: none
	Force   bool   // forget names that are being handled, too
	Preview bool   // say what would happen, and change nothing
	By      string // whose order it is: the record keeps it
}

// Outcome is what became of one name.
type Outcome struct {
	Name      string
	Done      bool            // of a preview: it would be
	Record    protocol.Record // as it is now; of a name that was forgotten, and of a preview: as it was
	Why       string          // it was not done
	Effective time.Time       // of Forget: from when on no worker answers from memory
	Err       error           // it was not done; nil where the order does not fit the record
}

// atATime is how many names are settled at a time.
const atATime = 20

// Do carries out an order name by name, logs what was done, and reports in the order
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
	if len(o.Names) == 1 { // a panic is the caller's
		do(0)
		return outcomes
	}
	var group errgroup.Group
	group.SetLimit(atATime)
	for i := range o.Names {
		group.Go(func() error { do(i); return nil })
	}
	_ = group.Wait() // none returns an error
	return outcomes
}

func logged(ctx context.Context, log *slog.Logger, o Order, out Outcome) {
	fields := []any{"verb", o.Verb, "name", out.Name, "by", o.By, "status", out.Record.Status}
	if out.Done || out.Err == nil { // an import of a name that is known is no failure
		log.InfoContext(ctx, "operator's verb", append(fields, "done", out.Done)...)
		return
	}
	log.WarnContext(ctx, "operator's verb not carried out", append(fields, "error", out.Why)...)
}

// one carries out an order on a name.
func one(ctx context.Context, operator *dedupe.Operator, o Order, name string, now time.Time) Outcome {
	out := Outcome{Name: name}
	var err error
	if o.Verb == Import {
		return imported(ctx, operator, o, out)
	}
	// A name that is not known is most likely mistyped.
	if out.Record, err = operator.Lookup(ctx, name); err == nil && o.Preview {
		err = preview(out.Record, o, now)
	} else if err == nil {
		switch o.Verb {
		case Retry:
			out.Record, err = keep(out.Record, func() (protocol.Record, error) { return operator.Reopen(ctx, name) })
		case Completed:
			out.Record, err = keep(out.Record, func() (protocol.Record, error) { return operator.Resolve(ctx, name, dedupe.Payload{Data: o.Result}) })
			if err == nil && len(o.Result) > 0 && !sameJSON(o.Result, out.Record.Result) {
				err = errOtherResult // it was completed before
			}
		case Forget:
			out.Effective, err = operator.Forget(ctx, name, o.Force)
		default:
			err = fmt.Errorf("%q is no verb", o.Verb)
		}
	}
	if err == nil {
		out.Done = true
		return out
	}
	out.Err, out.Why = err, Why(err)
	return out
}

// imported records a name as completed unless something is known of it.
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
		out.Why = fmt.Sprintf("it is %s, and stays so", out.Record.Status)
	}
	return out
}

// keep returns what do does, and the record as it was when that fails.
func keep(r protocol.Record, do func() (protocol.Record, error)) (protocol.Record, error) {
	next, err := do()
	if err != nil {
		return r, err
	}
	return next, nil
}

// errOtherResult is the refusal of a result beside one that is recorded.
var errOtherResult = errors.New("it is recorded as completed with another result, which stays")

// IsOtherResult reports whether an order was refused because another result is recorded.
func IsOtherResult(err error) bool { return errors.Is(err, errOtherResult) }

// preview returns what would keep the order from being carried out.
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

// sameJSON reports whether two documents mean the same.
func sameJSON(a, b []byte) bool {
	x, err := names.Canonical(nil, a)
	y, errOther := names.Canonical(nil, b)
	return err == nil && errOther == nil && bytes.Equal(x, y)
}

// Why says in words why an order on a name came to nothing.
func Why(err error) string {
	if busy, ok := errors.AsType[*dedupe.InProgressError](err); ok {
		return fmt.Sprintf("it is being handled until %s at least", busy.Until.UTC().Format(time.RFC3339))
	}
	if no, ok := errors.AsType[*dedupe.VerbError](err); ok {
		return fmt.Sprintf("it is %s: %s", no.Status, cannot(no.Verb, no.Status))
	}
	if errors.Is(err, dedupe.ErrNoRecord) {
		return "nothing is known of it"
	}
	return err.Error()
}

// cannot says why a verb does not fit a status.
func cannot(verb string, s protocol.Status) string {
	switch {
	case s == protocol.InProgress:
		return "it is being handled"
	case verb == "reopen":
		return "it was done, and is never run again unless it is forgotten"
	default:
		return "only an UNKNOWN name can be declared completed"
	}
}
