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

// settle records the handler's outcome and returns the answer of Do. The handler's writes are
// committed with its completion, or not at all.
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
		// A commit that was thought to have failed was applied after all.
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

// ended returns the outcome of a final write for the hooks, and an error if the outcome was not
// recorded. Such an attempt does not settle its message.
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

// outcomeOf returns the name of a recorded outcome for hooks.
func outcomeOf(s protocol.Status) string {
	if s == protocol.Completed {
		return "completed" // the common case, without an allocation
	}
	return strings.ToLower(string(s))
}

// write records the outcome even after ctx and the lease have ended. It retries until the record is
// written or another attempt holds the name. It gives up when ctx has been over for longer than
// Config.Settle, or after 12 hours. Between two tries it renews the lease.
//
// The record is built once and sent unchanged until there is an answer, because the store
// recognises a repeated commit only if nothing in it has changed. After a conflict or a renewal the
// earlier tries name a version that is not stored any more. Then Step decides on the current
// record.
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

// errRenewed ends the tries of a final write, because a renewal has changed the record.
var errRenewed = errors.New("renewed")

// send sends one write over a.rec until it is answered. It returns nil, a *ConflictError, an
// *EffectError, or errRenewed if a.rec has changed meanwhile. After the settling time it returns
// the last error.
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
			ctx = s.caller // no retry cures a refusal, so the settling time is kept for the release
		}
		if backoff.Sleep(ctx, min(pauseOf(ctx, try), s.untilRenewal(a))) != nil {
			return err
		}
		if s.untilRenewal(a) <= 0 && e.renewed(s, a) {
			return errRenewed
		}
	}
}

// renewed renews the lease and reports whether the record has changed. A conflict renews nothing,
// because the stored record may be that of an earlier try whose answer was lost. If the attempt has
// left, a renewal of that record would end its lease while the work may still run.
func (e *engine) renewed(s *settling, a *attempt) bool {
	was, ctx := a.rec.Version, s.context()
	renewed, err := e.renewOver(ctx, a.Attempt, a.owner, a.lease)
	if _, conflict := errors.AsType[*ConflictError](err); conflict {
		a.lease = renewed
		return true // Step decides on the current record
	}
	if e.keep(ctx, a, renewed, err); err != nil {
		s.due = time.Now().Add(e.terms.Lease / renewalRetry)
	} else {
		s.due = e.renewalDue(a.lease)
	}
	return a.rec.Version != was
}

// settling is the time in which an outcome may be recorded.
type settling struct {
	caller context.Context
	grace  time.Duration      // after the end of the caller's context
	due    time.Time          // next renewal
	over   context.Context    // ends with the settling time; nil while every try was answered
	end    context.CancelFunc // cancels over
}

// settling returns the settling time of an attempt. It starts no timer while ctx lives and the
// store answers.
func (e *engine) settling(ctx context.Context, a *attempt) *settling {
	s := &settling{caller: ctx, grace: e.cfg.Settle, due: e.renewalDue(a.lease), end: func() {}}
	if ctx.Err() != nil {
		s.failed()
	}
	return s
}

// untilRenewal returns the time until the next renewal.
func (s *settling) untilRenewal(a *attempt) time.Duration {
	if a.rec.Status != protocol.InProgress {
		return maxSettle // there is no lease any more
	}
	return time.Until(s.due)
}

// context returns the context of one try. It does not end with the caller's context.
func (s *settling) context() context.Context {
	if s.over != nil {
		return s.over
	}
	return context.WithoutCancel(s.caller)
}

// failed returns the context that ends with the settling time. It is called after a try without an
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

// answered reports whether err tells the state of the stored record.
func answered(err error) bool {
	if _, ok := errors.AsType[*ConflictError](err); ok {
		return true
	}
	_, ok := errors.AsType[*EffectError](err)
	return ok
}
