package dedupe

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// lease is a name held: the record as last stored, and until when, on the
// monotonic clock, that is proven.
type lease struct {
	rec    protocol.Record
	proven time.Time
}

// renewals keep the leases of all running attempts of a guard, from one timer
// that is set while there are any: most handlers end before it fires, and cost
// no goroutine. Renewals that are due at about the same time go out together,
// so that the store can batch them.
type renewals struct {
	engine *engine

	mu      sync.Mutex
	running []*renewal    // guarded by mu; each knows its place
	added   uint64        // guarded by mu
	timer   *time.Timer   // guarded by mu; nil: never set
	armed   bool          // guarded by mu: the timer is set, and has not fired
	next    time.Time     // guarded by mu: when it is to fire; on a busy processor it is late
	round   chan struct{} // guarded by mu: closed when the round that is under way has ended; nil: none
}

// renewal is what a round knows of an attempt. Its fields, and the attempt's
// lease while it is among the running ones, are guarded by renewals.mu.
type renewal struct {
	a       *attempt
	place   int                // in renewals.running; -1: it has ended
	number  uint64             // in the order of their beginnings
	due     time.Time          // of the next renewal
	expired bool               // the handler has been cancelled
	lost    bool               // somebody else has the name: no more renewals
	told    chan struct{}      // closed when the last hook about it has returned; nil: there was none
	out     chan struct{}      // closed when the renewal that is out has returned; nil: none
	ctx     context.Context    // of the handler's caller
	stop    context.CancelFunc // ends the renewal that is out
}

// add begins to keep a's lease.
func (r *renewals) add(ctx context.Context, a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.added++
	w := &a.renewal
	*w = renewal{a: a, place: len(r.running), ctx: ctx, due: r.dueAfter(a.proven), number: r.added}
	r.running = append(r.running, w)
	r.wakeBy(w.due)
}

// remove ends that, and returns when no renewal of a, no round that may cancel it,
// and no hook that tells of either is under way any more: from then on a's lease is its attempt's
// alone. The last one stops the timer, so that nothing is left behind.
func (r *renewals) remove(a *attempt) {
	r.mu.Lock()
	w := &a.renewal
	last := len(r.running) - 1
	r.running[w.place] = r.running[last]
	r.running[w.place].place = w.place
	r.running[last] = nil
	r.running, w.place = r.running[:last], -1
	out, round, told := w.out, r.round, w.told
	stop := w.stop
	if len(r.running) == 0 {
		r.timer.Stop()
		r.armed = false
	}
	r.mu.Unlock()
	if out != nil {
		stop()
		<-out
	}
	if round != nil {
		<-round
	}
	if out != nil || round != nil {
		r.mu.Lock()
		told = w.told
		r.mu.Unlock()
	}
	if told != nil {
		<-told
	}
}

// tells returns what calls a hook after those before it. Nobody waits for it but who
// removes the attempt: a hook may take its time. The caller holds mu.
func (w *renewal) tells(hook func()) func() {
	before, told := w.told, make(chan struct{})
	w.told = told
	return func() {
		defer close(told)
		if before != nil {
			<-before
		}
		hook()
	}
}

// dueAfter is when a lease that is proven for so long should be renewed: when
// two thirds of it are left.
func (r *renewals) dueAfter(proven time.Time) time.Time {
	return proven.Add(-r.engine.terms.Lease * 2 / 3)
}

// wake sets the timer. The caller holds mu.
func (r *renewals) wake(at time.Time) {
	r.armed, r.next = true, at
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Until(at), r.fire)
		return
	}
	r.timer.Reset(time.Until(at))
}

// wakeBy sets the timer unless it fires early enough. One whose time has come and
// that has not fired yet is late, and is left alone: to set it again would put
// off those whose time has come. The caller holds mu.
func (r *renewals) wakeBy(at time.Time) {
	if !r.armed || at.Before(r.next) {
		r.wake(at)
	}
}

// wakeForFirst sets the timer for what comes first. The caller holds mu.
func (r *renewals) wakeForFirst() {
	var first time.Time
	for _, w := range r.running {
		if at, ok := w.next(w.a.proven.Add(-r.engine.terms.Skew)); ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !first.IsZero() {
		r.wake(first)
	}
}

// next is when there is something to do for a lease that ends for its handler
// at the given time; not ok while only its renewal is waited for.
func (w *renewal) next(end time.Time) (at time.Time, ok bool) {
	switch {
	case w.waits() && (w.expired || w.due.Before(end)):
		return w.due, true
	case !w.expired:
		return end, true
	default:
		return time.Time{}, false
	}
}

// fire is one round, in a goroutine of the timer's. It starts the renewals that
// are due; each is waited for by its attempt.
func (r *renewals) fire() {
	r.mu.Lock()
	r.armed = false
	if len(r.running) == 0 || r.round != nil { // all have ended meanwhile, or two timers have met
		r.mu.Unlock()
		return
	}
	ended := make(chan struct{})
	r.round = ended
	due, expired := r.decide(time.Now())
	tell := make([]func(), len(expired))
	for i, a := range expired {
		tell[i] = a.renewal.tells(func() { r.engine.hooks.LeaseLost(a.Attempt) })
	}
	r.mu.Unlock()

	for _, a := range expired {
		a.cancel(ErrLeaseLost)
	}
	for _, d := range due {
		go r.once(d)
	}
	for _, hook := range tell {
		go hook()
	}

	r.mu.Lock()
	r.round = nil
	r.wakeForFirst()
	r.mu.Unlock()
	close(ended)
}

// dueRenewal is a renewal to be sent, with the lease that it starts from.
type dueRenewal struct {
	w     *renewal
	lease lease
	ctx   context.Context // its own; ends when the handler has returned
}

// decide says whose renewal goes out now, and whose lease can no longer be
// proven. The caller holds mu.
func (r *renewals) decide(now time.Time) (due []dueRenewal, expired []*attempt) {
	t := r.engine.terms
	anyDue := false
	for _, w := range r.running {
		if !w.expired && !now.Before(w.a.proven.Add(-t.Skew)) {
			w.expired = true
			expired = append(expired, w.a)
		}
		anyDue = anyDue || w.waits() && !now.Before(w.due)
	}
	if !anyDue {
		return nil, expired
	}
	for _, w := range r.running {
		if w.waits() && w.due.Before(now.Add(t.Lease/renewTogether)) {
			w.out = make(chan struct{})
			d := dueRenewal{w: w, lease: w.a.lease}
			d.ctx, w.stop = context.WithCancel(context.WithoutCancel(w.ctx))
			due = append(due, d)
		}
	}
	slices.SortFunc(due, func(a, b dueRenewal) int { return cmp.Compare(a.w.number, b.w.number) })
	return due, expired
}

// waits reports whether a renewal is to be sent some time.
func (w *renewal) waits() bool { return !w.lost && w.out == nil }

// once renews one lease and notes what became of it.
func (r *renewals) once(d dueRenewal) {
	a := d.w.a
	renewed, err := r.engine.renewal(d.ctx, a.Attempt, a.owner, d.lease)
	r.mu.Lock()
	ended := d.ctx.Err() != nil
	d.w.stop()
	a.lease = renewed
	a.flight.hold(renewed.proven)
	cancelled := false
	switch {
	case err == nil:
		d.w.due = r.dueAfter(renewed.proven)
	case errors.Is(err, ErrLeaseLost):
		cancelled = !d.w.expired
		d.w.lost, d.w.expired = true, true
	default:
		d.w.due = time.Now().Add(r.engine.terms.Lease / renewRetry)
	}
	tell := d.w.tells(func() {
		r.engine.hookRenewal(a.Attempt, err, ended)
		if cancelled {
			r.engine.hooks.LeaseLost(a.Attempt)
		}
	})
	out := d.w.out
	d.w.out = nil
	if at, ok := d.w.next(a.proven.Add(-r.engine.terms.Skew)); ok && d.w.place >= 0 {
		r.wakeBy(at)
	}
	r.mu.Unlock()
	if cancelled {
		a.cancel(ErrLeaseLost)
	}
	close(out)
	tell()
}

// renew extends a lease once and returns it as it then is. ErrLeaseLost means
// that somebody else has the name; any other error that nobody knows.
func (e *engine) renew(ctx context.Context, a Attempt, owner protocol.Token, l lease) (lease, error) {
	l, err := e.renewal(ctx, a, owner, l)
	e.hookRenewal(a, err, ctx.Err() != nil)
	return l, err
}

// hookRenewal tells of a renewal, unless it failed because it was ended.
func (e *engine) hookRenewal(a Attempt, err error, ended bool) {
	if err == nil || !ended {
		e.hooks.Renewed(a, err)
	}
}

func (e *engine) renewal(ctx context.Context, a Attempt, owner protocol.Token, l lease) (lease, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.callTimeout())
	defer cancel()
	for {
		start, now := time.Now(), e.now()
		next, verdict := protocol.Step(l.rec, protocol.Renew{Now: now, Owner: owner, Terms: e.terms})
		if verdict != protocol.VerdictApply {
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
		e.hooks.Conflicted(a, "renew")
		if c := conflict.Current; c.OwnedBy(owner) && !c.LeaseUntil.Equal(l.rec.LeaseUntil) {
			e.hooks.OwnWrite(a, "renew")
		}
		l.rec = conflict.Current
	}
}
