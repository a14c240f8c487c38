package dedupe

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// lease is a name held: the record as last stored, and until when, on the
// monotonic clock, that is proven.
type lease struct {
	rec    protocol.Record
	proven time.Time
	end    time.Time // no renewal reaches past it; zero: no such bound
}

// keeper renews the lease of one attempt while its handler runs, from a timer of its
// own, and cancels the handler when the lease can no longer be proven. A handler that
// returns before the first renewal is due costs no goroutine.
type keeper struct {
	e      *engine
	a      *attempt
	caller context.Context         // of the handler's caller
	cancel context.CancelCauseFunc // of the handler's context

	mu      sync.Mutex
	ctx     context.Context    // guarded by mu; of renewals: ends with the handler, not with its caller; nil before the first
	end     context.CancelFunc // guarded by mu; of ctx
	timer   *time.Timer        // guarded by mu
	stopped bool               // guarded by mu: the handler has returned
	due     time.Time          // guarded by mu: of the next renewal
	expired bool               // guarded by mu: the handler has been cancelled
	lost    bool               // guarded by mu: another attempt has the name; no more renewals
	out     bool               // guarded by mu: a renewal is under way
	told    chan struct{}      // guarded by mu; closed when the last hook has returned; nil: there was none
	running sync.WaitGroup     // fire and its hooks
}

// start begins to renew the attempt's lease. From here on until stop, the lease is
// guarded by mu.
func (k *keeper) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.due = k.e.renewalDue(k.a.lease)
	k.timer = time.AfterFunc(time.Until(k.next()), k.fire)
}

// stop ends that, and returns when no renewal and no hook is under way any more. From
// then on the lease is its attempt's alone.
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

// renewalDue is when a lease should be renewed: when two thirds of it are left, or never. It is a
// point of a grid, a tenth of a lease wide, that all attempts of a guard share, so that renewals
// meet in the store and share its calls.
func (e *engine) renewalDue(l lease) time.Time {
	if l.final() {
		return l.proven.Add(maxSettle)
	}
	due := l.proven.Add(-e.terms.Lease * 2 / 3)
	return due.Add(-(due.Sub(e.begun) % (e.terms.Lease / renewalGrid)))
}

// next is when there is something to do. The caller holds mu.
func (k *keeper) next() time.Time {
	end := k.a.proven.Add(-k.e.terms.Skew)
	switch renews := !k.lost && !k.out; {
	case renews && (k.expired || k.due.Before(end)):
		return k.due
	case !k.expired:
		return end
	default: // when a renewal has been answered, or never
		return time.Now().Add(maxSettle)
	}
}

// fire cancels the handler when its time has come, and renews the lease when that is
// due. While the renewal is out the timer may call it again, for the handler.
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

// expire cancels the handler, once. The caller holds mu.
func (k *keeper) expire() {
	k.expired = true
	k.cancel(ErrLeaseLost)
	k.tell(func() { k.e.hooks.LeaseLost(k.a.Attempt) })
}

// renew extends the lease once and notes the result.
func (k *keeper) renew(ctx context.Context, held lease) {
	renewed, err := k.e.renewal(ctx, k.a.Attempt, k.a.owner, held)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.out = false
	k.a.lease = renewed
	k.a.flight.hold(renewed.proven)
	if err == nil || !k.stopped { // else it has failed because it was ended
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

// tell calls a hook after the attempt's earlier ones, in a goroutine that only stop
// waits for: a slow hook delays no renewal. The caller holds mu.
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

// renew extends a's lease once. ErrLeaseLost means that another attempt has the name,
// or that this one has its outcome; after any other error nothing is known.
func (e *engine) renew(ctx context.Context, a *attempt) error {
	renewed, err := e.renewal(ctx, a.Attempt, a.owner, a.lease)
	a.lease = renewed
	a.flight.hold(renewed.proven)
	if err == nil || ctx.Err() == nil {
		e.hooks.Renewed(a.Attempt, err)
	}
	return err
}

// renewal extends a lease once and returns it as it then is.
func (e *engine) renewal(ctx context.Context, a Attempt, owner protocol.Token, l lease) (lease, error) {
	for {
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
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok {
			return l, err
		}
		e.hooks.Conflicted(a, "renew")
		if c := conflict.Current; c.OwnedBy(owner) && !c.LeaseUntil.Equal(l.rec.LeaseUntil) {
			e.hooks.OwnWrite(a, "renew")
		}
		l.rec = conflict.Current
	}
}
