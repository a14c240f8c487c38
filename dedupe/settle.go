package dedupe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/backoff"
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
		_, failed := errors.AsType[*EffectError](werr)
		if h.refused = len(writes) > 0 && errors.Is(werr, ErrUnavailable); !failed && !h.refused {
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
			return protocol.Leave{
				Now: now, Owner: a.owner, Terms: e.terms,
				Number: a.Number, Until: until, Counted: f.counted(), Error: f.text,
			}
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

// write settles the record, past cancellation and past the end of the lease: until
// it is written, another attempt holds the name, ctx has been over for longer than
// the settling time, or 12 hours have passed. The lease is renewed meanwhile, between
// two tries and never during one.
//
// The record is built once and sent until there is an answer: a commit whose answer
// was lost is recognised by the store only when nothing in it has changed. A conflict
// ends that, and so does a renewal, because earlier tries name a version that is not
// stored any more. Step then decides on the record as it is.
func (e *engine) write(
	ctx context.Context, a *attempt, op string, writes []any, event func(time.Time) protocol.Event,
) (protocol.Record, protocol.Verdict, error) {
	settling := e.settling(ctx, a)
	defer func() { settling.end() }()
	for {
		cur, now := a.rec, e.now()
		next, verdict := protocol.Step(cur, event(now))
		if verdict != protocol.VerdictApply {
			return cur, verdict, nil
		}
		if next.Version == cur.Version {
			e.hooks.OwnWrite(a.Attempt, op)
			return cur, verdict, nil
		}
		a.flight.asked = time.Now()
		err := e.send(settling, a, op, next, writes)
		switch conflict, lost := errors.AsType[*ConflictError](err); {
		case err == nil:
			if next.Status == protocol.Completed && (cur.Status != protocol.InProgress || now.After(cur.LeaseUntil)) {
				e.hooks.CompletedLate(a.Attempt)
			}
			return next, verdict, nil
		case lost:
			e.hooks.Conflicted(a.Attempt, op)
			a.rec = conflict.Current
		case !errors.Is(err, errRenewed):
			return protocol.Record{}, 0, err
		}
	}
}

// errRenewed ends the tries of a final write: the record has changed by a renewal.
var errRenewed = errors.New("renewed")

// send sends one write over a.rec until it is answered: nil, a *ConflictError, an
// *EffectError, or errRenewed when a.rec has changed meanwhile. Any other error is the
// last one when the settling time is over.
func (e *engine) send(s *settling, a *attempt, op string, next protocol.Record, writes []any) error {
	old := a.rec.Version
	for try := 0; ; try++ {
		ctx := s.context()
		var err error
		if len(writes) == 0 {
			err = e.store.Swap(ctx, old, next)
		} else {
			err = a.effects.committer.Commit(ctx, old, next, writes)
		}
		if err == nil || answered(err) {
			return err
		}
		e.hooks.StoreFailed(a.Attempt, op, err)
		ctx = s.failed()
		if len(writes) > 0 && errors.Is(err, ErrUnavailable) {
			ctx = s.caller // refused, which no retry cures: the settling time is for the release
		}
		if backoff.Sleep(ctx, min(pauseOf(ctx, try), s.untilRenewal(a))) != nil {
			return err
		}
		if s.untilRenewal(a) <= 0 && e.renewed(s, a) {
			return errRenewed
		}
	}
}

// renewed renews the lease and reports whether the record has changed.
func (e *engine) renewed(s *settling, a *attempt) bool {
	was := a.rec.Version
	if err := e.renew(s.context(), a); err != nil { // Step decides on the record as it is
		s.due = time.Now().Add(e.terms.Lease / renewalRetry)
	} else {
		s.due = e.renewalDue(a.lease)
	}
	return a.rec.Version != was
}

// settling is the time in which an outcome may be recorded.
type settling struct {
	caller context.Context
	grace  time.Duration      // after the caller's end
	due    time.Time          // of the next renewal
	over   context.Context    // ends with the settling time; nil: every try so far was answered
	end    context.CancelFunc // of over
}

// settling begins with the caller's context, and costs nothing while that lives and
// the store answers.
func (e *engine) settling(ctx context.Context, a *attempt) *settling {
	s := &settling{caller: ctx, grace: e.cfg.Settle, due: e.renewalDue(a.lease), end: func() {}}
	if ctx.Err() != nil {
		s.failed()
	}
	return s
}

// untilRenewal returns how long the lease need not be renewed.
func (s *settling) untilRenewal(a *attempt) time.Duration {
	if a.rec.Status != protocol.InProgress {
		return maxSettle // there is no lease any more
	}
	return time.Until(s.due)
}

// context returns the context of one try, which its caller's end does not cut off.
func (s *settling) context() context.Context {
	if s.over != nil {
		return s.over
	}
	return context.WithoutCancel(s.caller)
}

// failed returns the context that ends with the settling time, after a try that had no
// answer.
func (s *settling) failed() context.Context {
	if s.over != nil {
		return s.over
	}
	over, cancel := context.WithTimeout(context.WithoutCancel(s.caller), maxSettle)
	grace := make(chan *time.Timer, 1)
	stop := context.AfterFunc(s.caller, func() { grace <- time.AfterFunc(s.grace, cancel) })
	s.over = over
	s.end = func() {
		if !stop() {
			(<-grace).Stop()
		}
		cancel()
	}
	return over
}

// answered reports whether err says what is stored.
func answered(err error) bool {
	if _, ok := errors.AsType[*ConflictError](err); ok {
		return true
	}
	_, ok := errors.AsType[*EffectError](err)
	return ok
}
