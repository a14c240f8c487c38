package dedupe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/pinned"
)

// claim claims the name. It retries until the store answers or ctx ends.
func (e *engine) claim(ctx context.Context, a *attempt) (protocol.Verdict, error) {
	if ctx.Err() != nil {
		return 0, &stopped{err: context.Cause(ctx)}
	}
	a.flight.asked = time.Now()
	cur := e.known(ctx, a.key)
	var sent, was protocol.Record // the last claim sent, and the record on which it was built
	for try := 0; ; try++ {
		start, now := time.Now(), e.now()
		if e.tooLate(a.end, now) && !cur.OwnedBy(a.owner) {
			return 0, &stopped{attempts: cur.Attempts, err: errTooLate}
		}
		next, verdict := protocol.Step(cur, e.claimOf(a, now))
		if next.Version == cur.Version {
			if verdict == protocol.VerdictApply {
				e.hooks.OwnWrite(a.Attempt, "claim")
			} else {
				was = cur
			}
			e.decided(a, was, next, verdict, start, now)
			return verdict, nil
		}
		sent, was = next, cur
		a.flight.asked = start
		// The call must not be cancelled with ctx: the store may already have sent the claim, and a
		// read before it arrives would not show it.
		err := e.store.Swap(context.WithoutCancel(ctx), cur.Version, next)
		if err == nil {
			e.decided(a, was, next, verdict, start, now)
			return verdict, nil
		}
		if conflict, ok := errors.AsType[*ConflictError](err); ok {
			e.hooks.Conflicted(a.Attempt, "claim")
			cur = conflict.Current
			if ctx.Err() != nil && !cur.OwnedBy(a.owner) {
				return 0, &stopped{attempts: cur.Attempts, err: context.Cause(ctx)}
			}
			continue
		}
		e.hooks.StoreFailed(a.Attempt, "claim", err)
		if !pause(ctx, try) {
			err = fmt.Errorf("%w: claim %q: %w", ErrUnavailable, a.key.Name, err)
			if attempts, free := e.giveUp(ctx, cur.Version, sent, a.owner); free {
				return 0, &stopped{attempts: attempts, err: err}
			}
			return 0, &unavailable{err: err}
		}
	}
}

func (e *engine) claimOf(a *attempt, now time.Time) protocol.Claim {
	return protocol.Claim{
		Now: now, Owner: a.owner, Terms: e.termsUntil(a.end, now), ID: protocol.RecordID(e.cfg.Scope, a.key.Name), Name: a.key.Name,
		Fingerprint: a.key.Fingerprint, MessageID: a.key.MessageID, RedriveOrder: a.key.RedriveOrder,
	}
}

// known reads the record of a name that is likely to have one. A failed claim costs as much as a
// write of the stored item, a read less. It returns the zero record if no read is worthwhile or the
// read fails.
func (e *engine) known(ctx context.Context, key Key) protocol.Record {
	reader, ok := e.store.(Reader)
	if !ok || !key.SeenBefore && !e.cache.has(key.Name) && !e.looks.has(key) {
		return protocol.Record{}
	}
	r, err := reader.Get(ctx, protocol.RecordID(e.cfg.Scope, key.Name))
	if err != nil {
		return protocol.Record{} // the claim will return the record
	}
	return r
}

// decided stores the outcome of a claim that replaced was. The claim was built at start, when the
// clock of leases showed now.
func (e *engine) decided(a *attempt, was, rec protocol.Record, v protocol.Verdict, start, now time.Time) {
	a.Fence, a.Number = rec.Fence, rec.Attempts
	a.lease = lease{rec, provenUntil(rec, start, now), a.end}
	a.takeover = was.Status == protocol.InProgress
	if none := (protocol.Fingerprint{}); was.Fingerprint != none && a.key.Fingerprint != none && !was.Fingerprint.Comparable(a.key.Fingerprint) {
		e.hooks.Uncompared(a.key.attempt())
	}
	if v == protocol.VerdictApply {
		a.flight.hold(a.proven)
	}
}

// provenUntil returns the end of rec's lease on the monotonic clock.
func provenUntil(rec protocol.Record, start, now time.Time) time.Time {
	return start.Add(rec.LeaseUntil.Sub(now))
}

// giveUp tries once to release a claim that has no answer and may have been written over version
// over. Without that the name would be held for a lease. It reports whether the record is known to
// be free of this attempt, and the record's number of attempts.
func (e *engine) giveUp(ctx context.Context, over protocol.Version, sent protocol.Record, owner protocol.Token) (attempts int, free bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.Settle)
	defer cancel()
	cur, err := e.afterClaim(ctx, over, sent)
	if err != nil {
		e.cfg.Logger.Warn("abandoned claim may hold its name until the lease ends", "name", sent.Name, "error", err)
		return 0, false
	}
	for range 3 {
		next, verdict := protocol.Step(cur, protocol.Release{Now: e.now(), Owner: owner, Terms: e.terms})
		if verdict != protocol.VerdictApply || next.Version == cur.Version {
			return cur.Attempts, true
		}
		err := e.store.Swap(ctx, cur.Version, next)
		if err == nil {
			return next.Attempts, true
		}
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok {
			e.cfg.Logger.Warn("abandoned claim may hold its name until the lease ends", "name", sent.Name, "error", err)
			return 0, false
		}
		cur = conflict.Current
	}
	return 0, false
}

// afterClaim returns the stored record after a claim without an answer. The sent record must not be
// assumed: another worker's claim over the same version can have the same new version, in the same
// millisecond or by a slower clock. A write over that version would end the other attempt. If the
// store cannot read, the same claim is sent again, which writes at most once.
func (e *engine) afterClaim(ctx context.Context, over protocol.Version, sent protocol.Record) (protocol.Record, error) {
	reader, ok := e.store.(Reader)
	if !ok {
		err := e.store.Swap(ctx, over, sent)
		if conflict, ok := errors.AsType[*ConflictError](err); ok {
			return conflict.Current, nil
		}
		return sent, err
	}
	return reader.Get(ctx, sent.ID)
}

// begin ensures that at least half of the lease is left, so that the handler has time before its
// cancellation. A claim may wait for its answer longer than its lease, and the process may have
// been suspended. The error wraps [ErrLeaseLost] if another attempt has the name. Other errors say
// that ctx has ended or ends too soon.
func (e *engine) begin(ctx context.Context, a *attempt) error {
	for try := 0; ; try++ {
		if ctx.Err() != nil {
			return fmt.Errorf("not started: %w", context.Cause(ctx))
		}
		switch left := e.left(a.lease); {
		case e.tooLate(a.end, e.now()):
			return fmt.Errorf("not started: %w", errTooLate)
		case left >= e.terms.Lease/2, a.final() && left > e.terms.Skew:
			return nil
		case a.final():
			return fmt.Errorf("not started: %w", errTooLate)
		}
		err := e.renew(ctx, a)
		if errors.Is(err, ErrLeaseLost) {
			return err
		}
		if err != nil && !pause(ctx, try) {
			return fmt.Errorf("not started: %w", context.Cause(ctx))
		}
	}
}

// newToken returns a random token.
func newToken() (t protocol.Token) {
	_, _ = rand.Read(t[:]) // never fails: crypto/rand ends the program instead
	return t
}

// storePauses are the pauses between two tries of a call to the store.
var storePauses = backoff.Policy{First: 50 * time.Millisecond, Max: 5 * time.Second}

// pause waits before the next try of a call to the store. It reports whether ctx is still alive.
func pause(ctx context.Context, try int) bool {
	return backoff.Sleep(ctx, pauseOf(ctx, try)) == nil
}

func pauseOf(ctx context.Context, try int) time.Duration {
	return storePauses.Delay(try, pinned.From(ctx).Random)
}
