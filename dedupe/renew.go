package dedupe

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// lease is a held name: the record as last stored, and the proven end of the lease on the monotonic
// clock.
type lease struct {
	rec    protocol.Record
	proven time.Time
	end    time.Time // no renewal reaches past it; zero means no such bound
}

// keeper renews the lease of one attempt while its handler runs, from a timer. It cancels the
// handler when the lease can no longer be proven. A handler that returns before the first renewal
// needs no goroutine.
type keeper struct {
	e      *engine
	a      *attempt
	caller context.Context         // of the handler's caller
	cancel context.CancelCauseFunc // cancels the handler's context

	mu      sync.Mutex
	ctx     context.Context    // guarded by mu; of renewals: ends with the handler; nil before the first
	end     context.CancelFunc // guarded by mu; cancels ctx
	timer   *time.Timer        // guarded by mu
	stopped bool               // guarded by mu; the handler has returned
	due     time.Time          // guarded by mu; time of the next renewal
	expired bool               // guarded by mu; the handler has been cancelled
	lost    bool               // guarded by mu; another attempt has the name; no more renewals
	out     bool               // guarded by mu; a renewal is in flight
	told    chan struct{}      // guarded by mu; closed when the last hook has returned; nil before the first
	running sync.WaitGroup     // fire and its hooks
}

// start starts to renew the attempt's lease. Until stop returns, mu guards the lease.
func (k *keeper) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.due = k.e.renewalDue(k.a.lease)
	k.timer = time.AfterFunc(time.Until(k.next()), k.fire)
}

// stop ends the renewals. It returns when no renewal and no hook is running. After that only the
// attempt uses the lease.
func (k *keeper) stop() {
	k.mu.Lock()
	k.stopped = true
	k.timer.Stop()
	if k.end != nil {
		k.end()
	}
	k.mu.Unlock()
	k.running.Wait()
}

// renewalDue returns when a lease should be renewed: when two thirds of it are left, or never. The
// time is rounded down to a multiple of a tenth of a lease, so that the renewals of a guard's
// attempts reach the store together and share calls.
func (e *engine) renewalDue(l lease) time.Time {
	if l.final() {
		return l.proven.Add(maxSettle)
	}
	due := l.proven.Add(-e.terms.Lease * 2 / 3)
	return due.Add(-(due.Sub(e.begun) % (e.terms.Lease / renewalGrid)))
}

// next returns the time of the next action. The caller holds mu.
func (k *keeper) next() time.Time {
	end := k.a.proven.Add(-k.e.terms.Skew)
	switch renews := !k.lost && !k.out; {
	case renews && (k.expired || k.due.Before(end)):
		return k.due
	case !k.expired:
		return end
	default: // after the answer to the renewal, or never
		return time.Now().Add(maxSettle)
	}
}

// fire cancels the handler if the lease is no longer proven, and renews the lease if that is due.
// During a renewal the timer may call it again, to cancel the handler.
func (k *keeper) fire() {
	k.mu.Lock()
	if k.stopped {
		k.mu.Unlock()
		return
	}
	k.running.Add(1)
	defer k.running.Done()
	now := time.Now()
	if !k.expired && !now.Before(k.a.proven.Add(-k.e.terms.Skew)) {
		k.expire()
	}
	renews := !k.lost && !k.out && !now.Before(k.due)
	k.out = k.out || renews
	if renews && k.ctx == nil {
		k.ctx, k.end = context.WithCancel(context.WithoutCancel(k.caller))
	}
	held, ctx := k.a.lease, k.ctx
	k.timer.Reset(time.Until(k.next()))
	k.mu.Unlock()
	if renews {
		k.renew(ctx, held)
	}
}

// expire cancels the handler. It is called once. The caller holds mu.
func (k *keeper) expire() {
	k.expired = true
	k.cancel(ErrLeaseLost)
	k.tell(func() { k.e.hooks.LeaseLost(k.a.Attempt) })
}

// renew renews the lease once and stores the result.
func (k *keeper) renew(ctx context.Context, held lease) {
	renewed, err := k.e.renewal(ctx, k.a.Attempt, k.a.owner, held)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.out = false
	k.a.lease = renewed
	k.a.flight.hold(renewed.proven)
	if err == nil || !k.stopped { // otherwise stop has cancelled it
		k.tell(func() { k.e.hooks.Renewed(k.a.Attempt, err) })
	}
	switch {
	case err == nil:
		k.due = k.e.renewalDue(renewed)
	case errors.Is(err, ErrLeaseLost):
		k.lost = true
		if !k.expired {
			k.expire()
		}
	default:
		k.due = time.Now().Add(k.e.terms.Lease / renewalRetry)
	}
	if !k.stopped {
		k.timer.Reset(time.Until(k.next()))
	}
}

// tell calls a hook after the attempt's earlier hooks, in a goroutine of its own. Only stop waits
// for it, so a slow hook delays no renewal. The caller holds mu.
func (k *keeper) tell(hook func()) {
	before, told := k.told, make(chan struct{})
	k.told = told
	k.running.Go(func() {
		defer close(told)
		if before != nil {
			<-before
		}
		hook()
	})
}

// renew renews a's lease once. ErrLeaseLost means that another attempt has the name, or that the
// name has its outcome. After any other error the stored record is not known.
func (e *engine) renew(ctx context.Context, a *attempt) error {
	renewed, err := e.renewal(ctx, a.Attempt, a.owner, a.lease)
	e.keep(ctx, a, renewed, err)
	return err
}

// keep stores the result of a's renewal.
func (e *engine) keep(ctx context.Context, a *attempt, renewed lease, err error) {
	a.lease = renewed
	a.flight.hold(renewed.proven)
	if err == nil || ctx.Err() == nil {
		e.hooks.Renewed(a.Attempt, err)
	}
}

// renewal renews a lease once and returns the resulting lease.
func (e *engine) renewal(ctx context.Context, a Attempt, owner protocol.Token, l lease) (lease, error) {
	for {
		next, err := e.renewOver(ctx, a, owner, l)
		if _, conflict := errors.AsType[*ConflictError](err); !conflict {
			return next, err
		}
		l = next
	}
}

// renewOver renews a lease if its record is the stored one. Otherwise it returns a *ConflictError
// and the lease with the stored record.
func (e *engine) renewOver(ctx context.Context, a Attempt, owner protocol.Token, l lease) (lease, error) {
	start, now := time.Now(), e.now()
	if !l.end.IsZero() && !now.Before(l.end) {
		return l, ErrLeaseLost
	}
	next, verdict := protocol.Step(l.rec, protocol.Renew{Now: now, Owner: owner, Terms: e.termsUntil(l.end, now)})
	if verdict != protocol.VerdictApply {
		return l, ErrLeaseLost
	}
	err := e.store.Swap(ctx, l.rec.Version, next)
	if err == nil {
		return lease{next, provenUntil(next, start, now), l.end}, nil
	}
	if conflict, ok := errors.AsType[*ConflictError](err); ok {
		e.hooks.Conflicted(a, "renew")
		if c := conflict.Current; c.OwnedBy(owner) && !c.LeaseUntil.Equal(l.rec.LeaseUntil) {
			e.hooks.OwnWrite(a, "renew")
		}
		l.rec = conflict.Current
	}
	return l, err
}
