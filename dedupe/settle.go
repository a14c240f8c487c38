package dedupe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// settle records what the handler returned and turns it into Do's answer. The
// handler's writes are committed with its completion, or not at all.
func (e *engine) settle(ctx context.Context, a *attempt, out output, h handled) (rec protocol.Record, res error) {
	outcome := "lost"
	defer func() {
		if a.ran {
			e.hooks.Settled(a.Attempt, outcome, a.took, res)
		}
	}()
	writes := a.effects.end()
	if h.err == nil {
		rec, verdict, werr := e.write(ctx, a, "complete", writes, func(now time.Time) protocol.Event {
			return protocol.Complete{Now: now, Owner: a.owner, Terms: e.terms, Result: out.data, ResultType: out.mediaType}
		})
		if _, failed := errors.AsType[*EffectError](werr); !failed {
			outcome, res = e.ended(a, rec, verdict, werr)
			return rec, res
		}
		h.err = werr
	}
	f := judge(h, a.key.LastDelivery, e.terms.Hold)
	op, event := e.failing(a, f)
	rec, verdict, werr := e.write(ctx, a, op, nil, event)
	if verdict == protocol.VerdictReplay && werr == nil {
		// A commit was thought to have failed, and has been applied after all.
		outcome = "completed"
		return rec, nil
	}
	if outcome, werr = e.ended(a, rec, verdict, werr); werr != nil {
		return protocol.Record{}, fmt.Errorf("%w (after: %w)", werr, h.err)
	}
	switch {
	case f.release:
		outcome = "released"
	case f.rest > 0:
		outcome = "left"
	}
	return protocol.Record{}, f.wrap(rec, h.err, e.terms)
}

// failing returns the write that records f, and its name.
func (e *engine) failing(a *attempt, f ending) (op string, event func(time.Time) protocol.Event) {
	switch {
	case f.release:
		return "release", func(now time.Time) protocol.Event {
			return protocol.Release{Now: now, Owner: a.owner, Terms: e.terms}
		}
	case f.rest > 0:
		until := e.now().Add(f.rest)
		return "leave", func(now time.Time) protocol.Event {
			return protocol.Leave{Now: now, Owner: a.owner, Terms: e.terms, Until: until, Counted: !f.stopped, Error: f.text}
		}
	default:
		return "fail", func(now time.Time) protocol.Event {
			return protocol.Fail{
				Now: now, Owner: a.owner, Terms: e.terms,
				Kind: f.kind, Error: f.text, LastDelivery: a.key.LastDelivery,
			}
		}
	}
}

// ended is what a final write came to: its name for hooks, and the error when
// the outcome is not recorded. Such an attempt leaves its message alone.
func (e *engine) ended(a *attempt, rec protocol.Record, verdict protocol.Verdict, err error) (string, error) {
	switch {
	case err != nil:
		return "unrecorded", &leftAlone{attempts: a.Number, err: fmt.Errorf("%w: outcome of %q is not recorded: %w", ErrUnavailable, a.Name, err)}
	case verdict == protocol.VerdictUnreadable:
		return "lost", refusal(rec, verdict, a.key, e.terms, e.now())
	case verdict != protocol.VerdictApply:
		return "lost", &leftAlone{attempts: a.Number, taken: true, err: fmt.Errorf("%w: %q was taken over", ErrLeaseLost, a.Name)}
	default:
		return outcomeOf(rec.Status), nil
	}
}

// outcomeOf is the name that hooks get for what a final write has recorded.
func outcomeOf(s protocol.Status) string {
	if s == protocol.Completed {
		return "completed" // mostly; the others need not be fast
	}
	return strings.ToLower(string(s))
}

// write settles the record, past cancellation and past the end of the lease:
// until it is written, or somebody else holds the name, or ctx has been
// cancelled for longer than the settling time, or 12 hours have passed.
//
// The record is built once and sent until there is an answer: a commit whose
// answer was lost is recognised by the store only when nothing in it has
// changed. A conflict ends that: Step tells what to do on the record as it is.
func (e *engine) write(
	ctx context.Context, a *attempt, op string, writes []any, event func(time.Time) protocol.Event,
) (protocol.Record, protocol.Verdict, error) {
	settling := e.timers.outliving(ctx, e.cfg.Settle, maxSettle)
	defer settling.cancel()
	cur := a.rec
	for {
		now := e.now()
		next, verdict := protocol.Step(cur, event(now))
		if verdict != protocol.VerdictApply {
			return cur, verdict, nil
		}
		if next.Version == cur.Version {
			e.hooks.OwnWrite(a.Attempt, op)
			return cur, verdict, nil
		}
		a.flight.asked = time.Now()
		err := e.send(settling, a, op, cur.Version, next, writes)
		if err == nil {
			if next.Status == protocol.Completed && (cur.Status != protocol.InProgress || now.After(cur.LeaseUntil)) {
				e.hooks.CompletedLate(a.Attempt)
			}
			return next, verdict, nil
		}
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok {
			return protocol.Record{}, 0, err
		}
		e.hooks.Conflicted(a.Attempt, op)
		cur = conflict.Current
	}
}

// send sends one write until it is answered: nil, a *ConflictError or an
// *EffectError. Any other error is the last one when ctx ends.
func (e *engine) send(ctx context.Context, a *attempt, op string, old protocol.Version, next protocol.Record, writes []any) error {
	for try := 0; ; try++ {
		var err error
		if len(writes) == 0 {
			err = e.swap(ctx, old, next)
		} else {
			err = e.commit(ctx, a.effects.committer, old, next, writes)
		}
		if err == nil || answered(err) {
			return err
		}
		e.hooks.StoreFailed(a.Attempt, op, err)
		if !e.cfg.pause(ctx, try) {
			return err
		}
	}
}

func (e *engine) commit(ctx context.Context, c Committer, old protocol.Version, next protocol.Record, writes []any) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.callTimeout())
	defer cancel()
	return c.Commit(ctx, old, next, writes)
}

// answered reports whether err says what is stored.
func answered(err error) bool {
	if _, ok := errors.AsType[*ConflictError](err); ok {
		return true
	}
	_, ok := errors.AsType[*EffectError](err)
	return ok
}
