package dedupe

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// lease is a name held: the record as last stored, and until when, on the
// monotonic clock, that is proven.
type lease struct {
	rec    Record
	proven time.Time
}

// renewals keep the leases of all running attempts of a guard, from one
// goroutine that lives while there are any: the first attempt to start begins
// it, the last one to end waits for it. Renewals that are due at about the same
// time go out together, so that the store can batch them.
type renewals struct {
	engine *engine

	mu      sync.Mutex
	running map[*attempt]*renewal // guarded by mu
	added   uint64                // guarded by mu
	loop    *renewLoop            // guarded by mu; nil: nothing runs
}

// renewal is what the loop knows of an attempt. Its fields, and the attempt's
// lease while it is among the running ones, are guarded by renewals.mu.
type renewal struct {
	number  uint64        // in the order of their beginnings
	due     time.Time     // of the next renewal
	expired bool          // the handler has been cancelled
	lost    bool          // somebody else has the name: no more renewals
	out     chan struct{} // closed when the renewal that is out has returned; nil: none
	ctx     context.Context
	stop    context.CancelFunc // ends ctx, which the attempt's renewals run under
}

type renewLoop struct {
	wake chan struct{} // capacity 1
	stop chan struct{}
	done chan struct{}
	next time.Time // when it wakes by itself; guarded by renewals.mu
}

// add begins to keep a's lease.
func (r *renewals) add(ctx context.Context, a *attempt) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.added++
	w := &renewal{ctx: ctx, stop: stop, due: r.dueAfter(a.proven), number: r.added}
	if r.running == nil {
		r.running = make(map[*attempt]*renewal)
	}
	r.running[a] = w
	if r.loop == nil {
		r.loop = &renewLoop{wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
		go r.run(r.loop)
	} else if w.due.Before(r.loop.next) {
		r.loop.rouse()
	}
}

// remove ends that, and returns when no renewal of a is out any more: from
// then on a's lease is its attempt's alone.
func (r *renewals) remove(a *attempt) {
	r.mu.Lock()
	w := r.running[a]
	delete(r.running, a)
	out, loop := w.out, r.loop
	last := len(r.running) == 0
	if last {
		r.loop = nil
		close(loop.stop)
	}
	r.mu.Unlock()
	w.stop()
	if out != nil {
		<-out
	}
	if last {
		<-loop.done
	}
}

// dueAfter is when a lease that is proven for so long should be renewed: when
// two thirds of it are left.
func (r *renewals) dueAfter(proven time.Time) time.Time {
	return proven.Add(-r.engine.terms.Lease * 2 / 3)
}

func (l *renewLoop) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run is the loop: it sleeps until something is due.
func (r *renewals) run(l *renewLoop) {
	defer close(l.done)
	var calls sync.WaitGroup
	defer calls.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.wake:
		case <-timer.C:
		}
		now := time.Now()
		due, expired, next := r.round(l, now)
		for _, a := range expired {
			a.cancel(ErrLeaseLost)
			r.engine.hookLeaseLost(a.Attempt)
		}
		for _, d := range due {
			calls.Go(func() { r.once(l, d) })
		}
		timer.Reset(next.Sub(now))
	}
}

// dueRenewal is a renewal to be sent, with the lease that it starts from.
type dueRenewal struct {
	a     *attempt
	w     *renewal
	lease lease
}

// round decides: whose renewal goes out now, whose lease can no longer be
// proven, and when to look again.
func (r *renewals) round(l *renewLoop, now time.Time) (due []dueRenewal, expired []*attempt, next time.Time) {
	t := r.engine.terms
	next = now.Add(t.Lease)
	sooner := func(at time.Time) {
		if at.Before(next) {
			next = at
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	anyDue := false
	for a, w := range r.running {
		if end := a.proven.Add(-t.Skew); !w.expired {
			if !now.Before(end) {
				w.expired = true
				expired = append(expired, a)
			} else {
				sooner(end)
			}
		}
		anyDue = anyDue || w.waits() && !now.Before(w.due)
	}
	for a, w := range r.running {
		switch {
		case !w.waits():
		case anyDue && w.due.Before(now.Add(t.Lease/renewTogether)):
			w.out = make(chan struct{})
			due = append(due, dueRenewal{a, w, a.lease})
		default:
			sooner(w.due)
		}
	}
	slices.SortFunc(due, func(a, b dueRenewal) int { return cmp.Compare(a.w.number, b.w.number) })
	l.next = next
	return due, expired, next
}

// waits reports whether a renewal is to be sent some time.
func (w *renewal) waits() bool { return !w.lost && w.out == nil }

// once renews one lease and notes what became of it.
func (r *renewals) once(l *renewLoop, d dueRenewal) {
	renewed, err := r.engine.renew(d.w.ctx, d.a.Attempt, d.a.owner, d.lease)
	r.mu.Lock()
	d.a.lease = renewed
	d.a.flight.hold(renewed.proven)
	tell := false
	switch {
	case err == nil:
		d.w.due = r.dueAfter(renewed.proven)
	case errors.Is(err, ErrLeaseLost):
		tell = !d.w.expired
		d.w.lost, d.w.expired = true, true
	default:
		d.w.due = time.Now().Add(r.engine.terms.Lease / renewRetry)
	}
	out := d.w.out
	d.w.out = nil
	l.rouse()
	r.mu.Unlock()
	if tell {
		d.a.cancel(ErrLeaseLost)
		r.engine.hookLeaseLost(d.a.Attempt)
	}
	close(out)
}

// renew extends a lease once and returns it as it then is. ErrLeaseLost means
// that somebody else has the name; any other error that nobody knows.
func (e *engine) renew(ctx context.Context, a Attempt, owner Token, l lease) (lease, error) {
	l, err := e.renewal(ctx, a, owner, l)
	if ctx.Err() == nil || err == nil {
		e.hookRenewed(a, err)
	}
	return l, err
}

func (e *engine) renewal(ctx context.Context, a Attempt, owner Token, l lease) (lease, error) {
	ctx, cancel := context.WithTimeout(ctx, e.terms.callTimeout())
	defer cancel()
	for {
		start, now := time.Now(), e.now()
		next, verdict := Step(l.rec, Renew{Now: now, Owner: owner, Terms: e.terms})
		if verdict != VerdictApply {
			return l, ErrLeaseLost
		}
		err := e.store.Swap(ctx, l.rec.Version, next)
		if err == nil {
			return lease{next, provenUntil(next, start, now)}, nil
		}
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok {
			return l, err
		}
		e.hookConflicted("renew", a.Name)
		if c := conflict.Current; c.ownedBy(owner) && !c.LeaseUntil.Equal(l.rec.LeaseUntil) {
			e.hookOwnWrite("renew", a.Name)
		}
		l.rec = conflict.Current
	}
}
