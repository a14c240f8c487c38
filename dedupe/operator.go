package dedupe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// ErrNoRecord is wrapped by the errors of an [Operator] when a name has no record, or when its
// record has expired or was forgotten.
var ErrNoRecord = errors.New("no record")

// VerbError is returned when an operator's verb does not fit the name's status. Nothing was
// written.
type VerbError struct {
	Verb   string          // "reopen" or "resolve"
	Name   string          // the name
	Status protocol.Status // the name's status
}

// Error implements error.
func (e *VerbError) Error() string {
	return fmt.Sprintf("cannot %s %q: it is %s", e.Verb, e.Name, e.Status)
}

// Operator reads names and settles those that no attempt can settle. It runs no work. Its verbs are
// idempotent: repeating one changes nothing. A verb whose answer was lost is not applied to later
// states of the record. An Operator is safe for concurrent use.
type Operator struct {
	store  Store
	reader Reader
	cfg    Config
	by     string // recorded as the operator of each verb
}

// As returns an operator whose verbs are recorded under the name by: a person, or the origin of the
// order. The record keeps the last verb with its time and operator, see [protocol.Record.LastVerb].
func (o *Operator) As(by string) *Operator {
	other := *o
	other.by = by
	return &other
}

// NewOperator returns an operator on the names of cfg.Scope in s, which must be a [Reader]. It uses
// Scope, Lease, Skew, Window, MaxResult, CacheAge and Now of cfg, which should be those of the
// workers. Its error lists every invalid field of cfg.
func NewOperator(s Store, cfg Config) (*Operator, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("dedupe: %w", err)
	}
	reader, ok := s.(Reader)
	if !ok {
		return nil, fmt.Errorf("dedupe: %T cannot read records", s)
	}
	return &Operator{store: s, reader: reader, cfg: cfg}, nil
}

// Lookup returns the record of a name. Errors wrap [protocol.ErrBadName], [ErrNoRecord],
// [ErrUnreadable] or [ErrUnavailable].
func (o *Operator) Lookup(ctx context.Context, name string) (protocol.Record, error) {
	r, err := o.get(ctx, name)
	switch {
	case err != nil:
		return protocol.Record{}, err
	case !r.Readable():
		return protocol.Record{}, fmt.Errorf("%w: %q has format %d and status %q", ErrUnreadable, name, r.Format, r.Status)
	case !r.Live(o.cfg.Now(), o.cfg.Skew):
		return protocol.Record{}, fmt.Errorf("%q: %w", name, ErrNoRecord)
	}
	return r, nil
}

// Reopen lets a rejected or unknown name run again, with all its attempts and with any payload. It
// returns the resulting record. An attempt whose lease has lapsed counts as unknown. A RETRYING
// name stays unchanged. Errors: those of Lookup, and *[VerbError] for a name that is completed or
// in progress.
func (o *Operator) Reopen(ctx context.Context, name string) (protocol.Record, error) {
	return o.apply(ctx, "reopen", name, func(now time.Time) protocol.Event { return protocol.Reopen{Now: now, By: o.by, Terms: o.cfg.terms()} })
}

// Resolve records that the work of an unknown name was done, with its result. It returns the
// resulting record. An attempt whose lease has lapsed counts as unknown. A completed name stays
// unchanged. result is bounded like a handler's result. Errors: those of Lookup, and *[VerbError]
// for a name that is neither unknown nor completed.
func (o *Operator) Resolve(ctx context.Context, name string, result Payload) (protocol.Record, error) {
	out := encode(result, o.cfg.MaxResult)
	return o.apply(ctx, "resolve", name, func(now time.Time) protocol.Event {
		return protocol.Resolve{Now: now, By: o.by, Terms: o.cfg.terms(), Result: out.data, ResultType: out.mediaType}
	})
}

// Forget makes a name count as never seen. Workers may answer a completed name from memory for
// [Config.CacheAge]; Forget does not wait for that, but returns the time when it takes effect
// everywhere. A name without a record counts as forgotten. Errors: *[InProgressError] for a live
// lease, unless forced; errors that wrap [protocol.ErrBadName], [ErrUnreadable] or
// [ErrUnavailable]. With force, a running attempt is cancelled at its next renewal, and its outcome
// is not recorded.
func (o *Operator) Forget(ctx context.Context, name string, force bool) (effective time.Time, err error) {
	_, err = o.apply(ctx, "forget", name, func(now time.Time) protocol.Event {
		return protocol.Forget{Now: now, By: o.by, Terms: o.cfg.terms(), Force: force}
	})
	if err != nil {
		return time.Time{}, err
	}
	return o.cfg.Now().Add(o.cfg.CacheAge), nil
}

// Import records that the work of a name was done elsewhere, by a conditional insert without a
// read. It reports whether it has added the record. A name with a live record stays unchanged, and
// that record is returned. Errors wrap [protocol.ErrBadName], [ErrUnreadable] or [ErrUnavailable].
func (o *Operator) Import(ctx context.Context, name string) (r protocol.Record, added bool, err error) {
	if err := protocol.CheckName(name); err != nil {
		return r, false, err
	}
	id := protocol.RecordID(o.cfg.Scope, name)
	var cur protocol.Record
	var tried protocol.Version // version of the last write without an answer
	for try := 0; ; try++ {
		now := o.cfg.Now()
		next, verdict := protocol.Step(cur, protocol.Import{Now: now, By: o.by, Terms: o.cfg.terms(), ID: id, Name: name})
		switch {
		case verdict == protocol.VerdictUnreadable:
			return cur, false, o.refusal("import", name, cur, verdict, now)
		case verdict != protocol.VerdictApply:
			return cur, cur.Version == tried && tried != 0, nil // our own write, whose answer was lost
		}
		err := o.store.Swap(ctx, cur.Version, next)
		if err == nil {
			return next, true, nil
		}
		if conflict, ok := errors.AsType[*ConflictError](err); ok {
			cur = conflict.Current
			continue
		}
		tried = next.Version
		if try == operatorTries || !pause(ctx, try) {
			return cur, false, fmt.Errorf("%w: import %q: %w", ErrUnavailable, name, err)
		}
	}
}

// apply writes the record that Step returns for the stored record.
func (o *Operator) apply(ctx context.Context, verb, name string, event func(time.Time) protocol.Event) (protocol.Record, error) {
	cur, err := o.get(ctx, name)
	if err != nil {
		return protocol.Record{}, err
	}
	for try := 0; ; try++ {
		now := o.cfg.Now()
		next, verdict := protocol.Step(cur, event(now))
		if verdict != protocol.VerdictApply {
			return protocol.Record{}, o.refusal(verb, name, cur, verdict, now)
		}
		if next.Version == cur.Version {
			return next, nil
		}
		err := o.store.Swap(ctx, cur.Version, next)
		if err == nil {
			return next, nil
		}
		if conflict, ok := errors.AsType[*ConflictError](err); ok {
			if followed(verb, cur, conflict.Current) {
				return conflict.Current, nil // our own write, whose answer was lost here or in the store
			}
			cur = conflict.Current
			continue
		}
		if try == operatorTries || !pause(ctx, try) {
			return protocol.Record{}, fmt.Errorf("%w: %s %q: %w", ErrUnavailable, verb, name, err)
		}
	}
}

// followed reports whether cur has an attempt that could only begin after the verb was written over
// old, by this call or by an equal one. A rejected or unknown name gets a new attempt only after a
// reopen. A different creation time means that the old record was forgotten first.
func followed(verb string, old, cur protocol.Record) bool {
	begun := cur.Readable() && cur.Owner != protocol.Token{} && cur.Fence > old.Fence
	return begun && (verb == "reopen" || !cur.CreatedAt.Equal(old.CreatedAt))
}

// operatorTries bounds the retries of a verb while the store fails, because a person waits for it.
const operatorTries = 4

func (o *Operator) get(ctx context.Context, name string) (protocol.Record, error) {
	if err := protocol.CheckName(name); err != nil {
		return protocol.Record{}, err
	}
	r, err := o.reader.Get(ctx, protocol.RecordID(o.cfg.Scope, name))
	if err != nil {
		return protocol.Record{}, fmt.Errorf("%w: look up %q: %w", ErrUnavailable, name, err)
	}
	return r, nil
}

func (o *Operator) refusal(verb, name string, r protocol.Record, v protocol.Verdict, now time.Time) error {
	switch {
	case v == protocol.VerdictUnreadable:
		return fmt.Errorf("%w: %q has format %d and status %q", ErrUnreadable, name, r.Format, r.Status)
	case !r.Live(now, o.cfg.Skew):
		return fmt.Errorf("%q: %w", name, ErrNoRecord)
	case v == protocol.VerdictWait && verb == "forget":
		return &InProgressError{Name: name, Until: r.LeaseUntil, After: max(r.LeaseUntil.Sub(now), 0) + o.cfg.Skew}
	default:
		return &VerbError{Verb: verb, Name: name, Status: r.Status}
	}
}
