package dedupe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Guard runs work once per name. It is safe for concurrent use and holds no
// goroutine of its own. R is the type of the work's result: anything that
// encodes to JSON, or [Payload].
type Guard[R any] struct {
	store   Store
	cfg     Config
	terms   Terms
	flights flights
}

// New returns a guard over s, or an error that lists everything wrong with cfg.
func New[R any](s Store, cfg Config) (*Guard[R], error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("dedupe: %w", err)
	}
	return &Guard[R]{store: s, cfg: cfg, terms: cfg.terms()}, nil
}

// Key says whose turn is asked for.
type Key struct {
	Name         string      // required, see [CheckName]
	Fingerprint  Fingerprint // zero: payloads are not compared
	MessageID    string      // message that asks; recorded
	RedriveOrder bool        // the message was dead-lettered by a worker and came back
	LastDelivery bool        // it will not be delivered again: a failure is final
	SeenBefore   bool        // it was delivered before, so reading before claiming is likely to save a write
}

// Result is the outcome of a name.
type Result[R any] struct {
	Value    R
	Replayed bool // recorded earlier; the work did not run now
}

// Attempt identifies a running attempt to its handler.
type Attempt struct {
	Name   string
	Fence  Version // rises from attempt to attempt of a name; a resource that remembers the highest can refuse a late one
	Number int     // 1 for the first attempt
}

type attemptKey struct{}

// AttemptFrom returns the attempt that ctx, a handler's context, belongs to.
func AttemptFrom(ctx context.Context) (Attempt, bool) {
	a, ok := ctx.Value(attemptKey{}).(Attempt)
	return a, ok
}

// Do runs fn unless the name has an outcome, holding the name while fn runs,
// and records what became of it.
//
// The context of fn carries an [Attempt] and is cancelled with cause
// [ErrLeaseLost] when the lease cannot be renewed in time, before anybody else
// may start. When ctx itself is cancelled, fn should return soon; the outcome
// is recorded for a few seconds more.
//
// Errors: fn's own, when the name will be tried again; [*RejectedError] when
// it will not; [*InProgressError], [*MismatchError], [*ExhaustedError] and
// [*UnknownOutcomeError] when fn did not run (or, the last, was parked);
// errors wrapping [ErrLeaseLost], [ErrUnavailable], [ErrUnreadable] and
// [ErrBadName].
func (g *Guard[R]) Do(ctx context.Context, key Key, fn func(context.Context) (R, error)) (Result[R], error) {
	if err := CheckName(key.Name); err != nil {
		return Result[R]{}, err
	}
	done, err := g.flights.join(ctx, key)
	if err != nil {
		return Result[R]{}, err
	}
	rec, replayed, err := g.attempt(ctx, key, fn)
	done(err == nil)
	if err != nil {
		return Result[R]{}, err
	}
	return g.result(rec, replayed)
}

// result decodes what the record holds.
func (g *Guard[R]) result(rec Record, replayed bool) (Result[R], error) {
	v, err := decode[R](rec.Result, rec.ResultType)
	if err != nil {
		// The work is done all the same: only the value is not to be had.
		g.cfg.Logger.Warn("recorded result cannot be decoded", "name", rec.Name, "error", err)
	}
	return Result[R]{Value: v, Replayed: replayed}, nil
}

// attempt claims, runs and settles.
func (g *Guard[R]) attempt(ctx context.Context, key Key, fn func(context.Context) (R, error)) (Record, bool, error) {
	owner := newToken()
	h, verdict, err := g.claim(ctx, key, owner)
	if err != nil {
		return Record{}, false, err
	}
	switch verdict {
	case VerdictApply:
	case VerdictReplay:
		return h.rec, true, nil
	default:
		return Record{}, false, g.refusal(h.rec, verdict)
	}
	value, err := g.run(ctx, h, fn)
	return g.settle(ctx, h, key, value, err)
}

// holding is a name held by this attempt: the record as stored, and until
// when, on the monotonic clock, the lease is proven.
type holding struct {
	rec    Record
	owner  Token
	proven time.Time // LeaseUntil, counted from before the write
}

// claim asks for the name until the store answers or ctx ends.
func (g *Guard[R]) claim(ctx context.Context, key Key, owner Token) (*holding, Verdict, error) {
	var cur Record
	id := RecordID(g.cfg.Scope, key.Name)
	sent := false
	if reader, ok := g.store.(Reader); ok && key.SeenBefore {
		if r, err := reader.Get(ctx, id); err == nil {
			cur = r
		}
	}
	for try := 0; ; try++ {
		now := time.Now()
		next, verdict := Step(cur, Claim{
			Now: now, Owner: owner, Terms: g.terms, ID: id, Name: key.Name,
			Fingerprint: key.Fingerprint, MessageID: key.MessageID, RedriveOrder: key.RedriveOrder,
		})
		if next.Version == cur.Version {
			h := &holding{rec: next, owner: owner, proven: now.Add(next.LeaseUntil.Sub(now))}
			return h, verdict, nil
		}
		sent = true
		err := g.store.Swap(ctx, cur.Version, next)
		if err == nil {
			h := &holding{rec: next, owner: owner, proven: now.Add(next.LeaseUntil.Sub(now))}
			return h, verdict, nil
		}
		if conflict, ok := errors.AsType[*ConflictError](err); ok {
			cur = conflict.Current
			continue
		}
		if !pause(ctx, try) {
			if sent {
				g.giveUpClaim(ctx, cur, id, key, owner)
			}
			return nil, 0, &unavailable{fmt.Errorf("%w: claim %q: %w", ErrUnavailable, key.Name, err)}
		}
	}
}

// giveUpClaim makes one try to release a claim that may have been written
// although its answer never came, so that the name is not held for a lease.
func (g *Guard[R]) giveUpClaim(ctx context.Context, cur Record, id string, key Key, owner Token) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	if reader, ok := g.store.(Reader); ok {
		r, err := reader.Get(ctx, id)
		if err != nil {
			return
		}
		cur = r
	}
	next, verdict := Step(cur, Release{Now: time.Now(), Owner: owner, Terms: g.terms})
	if verdict == VerdictApply && next.Version != cur.Version {
		if err := g.store.Swap(ctx, cur.Version, next); err != nil {
			g.cfg.Logger.Warn("claim given up may hold its name until the lease ends", "name", key.Name, "error", err)
		}
	}
}

// refusal is the error for a claim that did not start an attempt.
func (g *Guard[R]) refusal(r Record, v Verdict) error {
	switch v {
	case VerdictWait:
		after := max(time.Until(r.LeaseUntil), 0) + g.terms.Skew
		return &InProgressError{Name: r.Name, Until: r.LeaseUntil, After: after}
	case VerdictMismatch:
		return &MismatchError{Name: r.Name, Status: r.Status}
	case VerdictRejected:
		return &RejectedError{Name: r.Name, Attempts: r.Attempts, Text: r.Error}
	case VerdictExhausted:
		return &ExhaustedError{Name: r.Name, Attempts: r.Attempts, Text: r.Error}
	case VerdictUnknown:
		return &UnknownOutcomeError{Name: r.Name, Text: r.Error}
	case VerdictUnreadable:
		return &leftAlone{fmt.Errorf("%w: %q has format %d and status %q", ErrUnreadable, r.Name, r.Format, r.Status)}
	default:
		return &leftAlone{fmt.Errorf("%w: %q", ErrLeaseLost, r.Name)}
	}
}

// run calls fn under a renewed lease. When it returns, the renewal has ended
// and h.rec is the record as last stored by it.
func (g *Guard[R]) run(ctx context.Context, h *holding, fn func(context.Context) (R, error)) (value R, err error) {
	if time.Until(h.proven) < g.terms.Lease/2 {
		// The claim waited too long for its answer: start with a fresh lease.
		if err := g.renew(ctx, h); err != nil {
			return value, &notStarted{err}
		}
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work = context.WithValue(work, attemptKey{}, Attempt{Name: h.rec.Name, Fence: h.rec.Fence, Number: h.rec.Attempts})

	stop := make(chan struct{})
	joined := make(chan struct{})
	renewing, stopRenewing := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(joined)
		g.keep(renewing, h, stop, cancel)
	}()
	defer func() {
		close(stop)
		stopRenewing()
		<-joined
		if cause := context.Cause(work); err != nil && errors.Is(cause, ErrLeaseLost) {
			err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return fn(work)
}

// keep renews the lease every third of it until stop closes, and cancels the
// work when the lease is lost or can no longer be proven.
func (g *Guard[R]) keep(ctx context.Context, h *holding, stop <-chan struct{}, cancel context.CancelCauseFunc) {
	expire := time.AfterFunc(time.Until(h.proven)-g.terms.Skew, func() { cancel(ErrLeaseLost) })
	defer expire.Stop()
	tick := time.NewTicker(g.terms.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		switch err := g.renew(ctx, h); {
		case err == nil:
			expire.Reset(time.Until(h.proven) - g.terms.Skew)
		case errors.Is(err, ErrLeaseLost):
			cancel(ErrLeaseLost)
			return
		}
	}
}

// renew extends the lease once. ErrLeaseLost means that somebody else has the
// name; any other error that nobody knows.
func (g *Guard[R]) renew(ctx context.Context, h *holding) error {
	ctx, cancel := context.WithTimeout(ctx, g.terms.Lease/3)
	defer cancel()
	for {
		now := time.Now()
		next, verdict := Step(h.rec, Renew{Now: now, Owner: h.owner, Terms: g.terms})
		if verdict != VerdictApply {
			return ErrLeaseLost
		}
		err := g.store.Swap(ctx, h.rec.Version, next)
		if err == nil {
			h.rec, h.proven = next, now.Add(next.LeaseUntil.Sub(now))
			return nil
		}
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok {
			return err
		}
		h.rec = conflict.Current
	}
}

// settle records what fn returned and turns it into Do's answer.
func (g *Guard[R]) settle(ctx context.Context, h *holding, key Key, value R, err error) (Record, bool, error) {
	if err == nil {
		data, mediaType := encode(value, g.cfg.MaxResult)
		rec, werr := g.write(ctx, h, func(now time.Time) Event {
			return Complete{Now: now, Owner: h.owner, Terms: g.terms, Result: data, ResultType: mediaType}
		})
		return rec, false, werr
	}
	out := judge(ctx, err, key.LastDelivery, g.terms.Hold)
	rec, werr := g.write(ctx, h, func(now time.Time) Event {
		if out.release {
			return Release{Now: now, Owner: h.owner, Terms: g.terms}
		}
		return Fail{
			Now: now, Owner: h.owner, Terms: g.terms,
			Kind: out.kind, Error: out.text, LastDelivery: key.LastDelivery,
		}
	})
	if werr != nil {
		return Record{}, false, fmt.Errorf("%w (after: %w)", werr, err)
	}
	return Record{}, false, out.wrap(rec, err)
}

// write settles the record, past cancellation and past the end of the lease:
// until it is written, or somebody else holds the name, or ctx has been
// cancelled for longer than the settling time.
func (g *Guard[R]) write(ctx context.Context, h *holding, event func(time.Time) Event) (Record, error) {
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(settle)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-detached.Done():
		}
	})
	defer stop()
	cur := h.rec
	for try := 0; ; try++ {
		next, verdict := Step(cur, event(time.Now()))
		switch {
		case verdict == VerdictUnreadable:
			return Record{}, g.refusal(cur, verdict)
		case verdict != VerdictApply:
			return Record{}, &leftAlone{fmt.Errorf("%w: %q was taken over", ErrLeaseLost, h.rec.Name)}
		case next.Version == cur.Version:
			return cur, nil
		}
		err := g.store.Swap(detached, cur.Version, next)
		if err == nil {
			return next, nil
		}
		if conflict, ok := errors.AsType[*ConflictError](err); ok {
			cur = conflict.Current
			continue
		}
		if !pause(detached, try) {
			return Record{}, &leftAlone{fmt.Errorf("%w: outcome of %q is not recorded: %w", ErrUnavailable, h.rec.Name, err)}
		}
	}
}

// newToken returns a fresh identity.
func newToken() (t Token) {
	_, _ = rand.Read(t[:]) // never fails: crypto/rand ends the program instead
	return t
}

// pause waits before the next try at the store and reports whether ctx still
// lives.
func pause(ctx context.Context, try int) bool {
	d := min(50*time.Millisecond<<min(try, 8), 5*time.Second)
	t := time.NewTimer(d/2 + jitter(d/2))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
