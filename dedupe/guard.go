package dedupe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Guard runs work once per name. It is safe for concurrent use, and starts
// goroutines only to renew a lease. R is the type of the work's result:
// anything that encodes to JSON, or [Payload].
type Guard[R any] struct{ e *engine }

// engine is what of a guard does not depend on the type of its results.
type engine struct {
	store   Store
	cfg     Config
	hooks   Hooks // cfg.Hooks, none of them nil
	terms   protocol.Terms
	flights flights
	looks   looks
	cache   *cache    // nil: off
	begun   time.Time // renewals are due at whole tenths of a lease since then
}

// New returns a guard over s, or an error that lists everything wrong with s and cfg.
func New[R any](s Store, cfg Config) (*Guard[R], error) {
	cfg = cfg.WithDefaults()
	if err := errors.Join(cfg.validate(), checkStore(s, cfg.Lease)); err != nil {
		return nil, fmt.Errorf("dedupe: %w", err)
	}
	e := &engine{store: s, cfg: cfg, hooks: cfg.Hooks, terms: cfg.terms(), begun: time.Now()}
	if cfg.CacheAge > 0 {
		c, err := newCache(cfg.CacheBytes, cfg.CacheAge)
		if err != nil {
			return nil, fmt.Errorf("dedupe: cache: %w", err)
		}
		e.cache = c
	}
	return &Guard[R]{e}, nil
}

// Key says whose turn is asked for.
type Key struct {
	Name         string               // required, see [protocol.CheckName]
	Fingerprint  protocol.Fingerprint // zero: payloads are not compared
	MessageID    string               // message that asks; recorded
	RedriveOrder bool                 // the message was dead-lettered by a worker and came back
	LastDelivery bool                 // it will not be delivered again: a failure is final
	Compared     string               // what Fingerprint was taken over, for the text of a mismatch; empty: the whole payload
	SeenBefore   bool                 // it was delivered before, so reading before claiming is likely to save a write
}

// attempt returns what hooks get to know before an attempt begins.
func (k Key) attempt() Attempt { return Attempt{Name: k.Name, MessageID: k.MessageID} }

// Result is the outcome of a name.
type Result[R any] struct {
	// Value is what the work returned: now, or, when Replayed, as recorded.
	Value R

	// Replayed: recorded earlier, or by an attempt that was joined; the work did
	// not run now.
	Replayed bool

	// Omitted: the recorded result was larger than [Config.MaxResult] or could
	// not be encoded, so that a replayed Value is zero (a [Payload] shows the
	// marker, see [protocol.OmittedType]).
	Omitted bool
}

// Attempt identifies a running attempt to its handler.
type Attempt struct {
	Name      string
	MessageID string           // of the message that asked, see [Key]; empty when the caller gave none
	Fence     protocol.Version // rises from attempt to attempt of a name; a resource that remembers the highest can refuse a late one
	Number    int              // 1 for the first attempt
}

type attemptKey struct{}

// AttemptFrom returns the attempt that ctx, a handler's context, belongs to.
func AttemptFrom(ctx context.Context) (Attempt, bool) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return Attempt{}, false
	}
	return a.Attempt, true
}

// Do runs fn unless the name has an outcome, holding the name while fn runs,
// and records what became of it. fn runs in the calling goroutine, and Do
// returns after it: a fn that ignores its cancellation keeps its caller, and
// its lease is renewed for as long as nobody else holds the name.
//
// The context of fn carries an [Attempt] and is cancelled with cause
// [ErrLeaseLost] when the lease cannot be renewed in time, before anybody else
// may start. When ctx itself is cancelled, fn should return soon: the outcome
// may be recorded for [Config.Settle] more. Until then Do tries to record the
// outcome, and renews the lease, for as long as no other attempt holds the name, up
// to 12 hours.
//
// A panic of fn is recorded as a failure, and then returned as an error, or
// raised again (see [Config.Repanic]).
//
// A name that another attempt holds is not waited for, unless [Config.Wait] says so.
//
// Errors: fn's own, wrapped, when the name will be tried again (it has the method
// Deferred when the work may still run elsewhere, see [failure.StillRunning]);
// *[RejectedError] when it will not; *[InProgressError] and *[MismatchError] when fn
// did not run (the first, for a message, at first with the method Snoozed: it should
// wait where it is, and look again after 1, 2, 4, 8 and 16 s); *[UnknownOutcomeError] when it did not run, or was parked;
// *[EffectError] when a write handed to [AddEffect] failed; errors wrapping
// [ErrLeaseLost], [ErrUnavailable], [ErrUnreadable] and [protocol.ErrBadName].
//
// An error that wraps [ErrResult] says that the name is completed, but that its
// recorded result does not decode to R; the Result is returned beside it, without a
// Value. [Wrap] needs no value, and takes such a name for what it is: completed.
func (g *Guard[R]) Do(ctx context.Context, key Key, fn func(context.Context) (R, error)) (Result[R], error) {
	value, rec, ran, err := g.run(ctx, key, fn)
	if err != nil {
		return Result[R]{}, err
	}
	res := Result[R]{Value: value, Replayed: !ran, Omitted: rec.ResultType == protocol.OmittedType}
	if !ran {
		if res.Value, err = decode[R](rec.Result, rec.ResultType); err != nil {
			err = fmt.Errorf("%w: %q is completed: %w", ErrResult, key.Name, err)
		}
	}
	return res, err
}

// run is Do that leaves a recorded result encoded.
func (g *Guard[R]) run(
	ctx context.Context, key Key, fn func(context.Context) (R, error),
) (value R, rec protocol.Record, ran bool, err error) {
	rec, ran, err = g.e.do(ctx, key, func(ctx context.Context) (output, error) {
		v, err := fn(ctx)
		if err != nil {
			return output{}, err
		}
		value = v
		return encode(v, g.e.cfg.MaxResult), nil
	})
	if p, ok := errors.AsType[*panicError](err); ok && g.e.cfg.Repanic {
		panic(p.value)
	}
	return value, rec, ran, err
}

// work is a handler whose result is ready to be stored.
type work func(context.Context) (output, error)

// attempt is one try of this guard to get a name's work done.
type attempt struct {
	Attempt
	key      Key
	owner    protocol.Token
	takeover bool // another attempt's lease had lapsed
	effects  effects
	flight   *flight
	keeper   keeper        // renews the lease while the handler runs
	ran      bool          // Claimed was called: the handler was called, or was about to be
	took     time.Duration // how long the handler ran
	lease                  // while the handler runs, guarded by keeper.mu
}

// do answers from the cache, from an attempt that runs here, or by an attempt of its
// own. ran says whether the work ran now.
func (e *engine) do(ctx context.Context, key Key, fn work) (rec protocol.Record, ran bool, err error) {
	if err := protocol.CheckName(key.Name); err != nil {
		return protocol.Record{}, false, err
	}
	if rec, ok := e.cache.get(key, e.now()); ok {
		e.hooks.Replayed(key.attempt(), "cached")
		return rec, false, nil
	}
	fl, rec, err := e.flights.join(ctx, key, e.terms, e.cfg.Wait)
	switch {
	case err != nil:
		return protocol.Record{}, false, e.patient(key, e.hooks.refused(key.attempt(), err))
	case fl == nil:
		e.hooks.Replayed(key.attempt(), "joined")
		return rec, false, nil
	}
	defer func() { e.flights.leave(fl, rec, err) }()
	rec, ran, err = e.attempt(ctx, key, fl, fn)
	if err == nil {
		e.cache.put(rec, fl.asked, e.now())
	}
	return rec, ran, e.patient(key, err)
}

// patient lets a duplicate of work in progress look again soon, for a few times. A
// message on its last delivery waits in its worker anyway.
func (e *engine) patient(key Key, err error) error {
	held, ok := err.(*InProgressError) //nolint:errorlint // of this name, not of one that its handler needs
	if !ok {
		e.looks.end(key)
		return err
	}
	if key.LastDelivery {
		return err
	}
	if after := e.looks.again(key); after > 0 {
		return &lookAgain{InProgressError: held, after: after}
	}
	return err
}

// attempt claims, runs and settles.
func (e *engine) attempt(ctx context.Context, key Key, fl *flight, fn work) (protocol.Record, bool, error) {
	for look := 0; ; look++ {
		a := &attempt{Attempt: key.attempt(), key: key, owner: newToken(), flight: fl, lease: lease{end: leaseEnd(ctx)}}
		verdict, err := e.claim(ctx, a)
		switch {
		case err != nil:
			return protocol.Record{}, false, err
		case verdict == protocol.VerdictReplay:
			e.hooks.Replayed(key.attempt(), "recorded")
			return a.rec, false, nil
		case verdict != protocol.VerdictApply:
			err := refusal(a.rec, verdict, key, e.terms, e.now())
			if held, ok := err.(*InProgressError); ok && e.cfg.Wait { //nolint:errorlint // as refusal made it
				if err = wait(ctx, look, held); err == nil {
					key.SeenBefore = true // a read, which costs less than a claim that fails
					continue
				}
			}
			return protocol.Record{}, false, e.hooks.refused(key.attempt(), err)
		}
		if err = e.begin(ctx, a); errors.Is(err, ErrLeaseLost) {
			continue // before it ran: another attempt has the name now, so ask again
		} else if err != nil {
			rec, err := e.settle(ctx, a, output{}, handled{err: err, stop: ctx.Err(), notBegun: true})
			return rec, false, err
		}
		rec, err := e.run(ctx, a, fn)
		return rec, true, err
	}
}

// run calls fn under a renewed lease and records what it returns.
func (e *engine) run(ctx context.Context, a *attempt, fn work) (protocol.Record, error) {
	working, cancel := context.WithCancelCause(context.WithValue(ctx, attemptKey{}, a))
	defer cancel(nil)
	a.effects.recordID = a.rec.ID
	a.effects.committer, _ = e.store.(Committer)
	a.keeper.e, a.keeper.a, a.keeper.caller, a.keeper.cancel, a.ran = e, a, ctx, cancel, true
	if a.takeover {
		e.hooks.TookOver(a.Attempt)
	}
	e.hooks.Claimed(a.Attempt)
	// Once more: the hooks may have taken long, or this goroutine's turn.
	if err := e.begin(ctx, a); err != nil {
		return e.settle(ctx, a, output{}, handled{err: err, stop: ctx.Err(), notBegun: true})
	}
	a.keeper.start()
	begun, returned := time.Now(), false
	ended := func(err error) handled {
		returned, a.took = true, time.Since(begun)
		h := handled{err: err, lost: errors.Is(context.Cause(working), ErrLeaseLost), stop: ctx.Err()}
		a.keeper.stop()
		h.lost = h.lost || e.left(a.lease) < 0 // this process was suspended, or its clock was set
		return h
	}
	defer func() {
		if !returned { // fn has ended this goroutine: only deferred calls still run
			_, _ = e.settle(ctx, a, output{}, ended(errGoexit))
		}
	}()
	out, err := call(working, fn)
	h := ended(err)
	if err != nil && h.lost && !errors.Is(err, ErrLeaseLost) {
		h.err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
	}
	return e.settle(ctx, a, out, h)
}

// now is the time by the clock that leases are counted with, without a monotonic reading:
// that stands still while the machine is suspended.
func (e *engine) now() time.Time { return e.cfg.Now().Round(0) }

// Wrap turns a function that returns a result into a plain handler of
// messages of type M that runs at most one attempt per name at a time and none
// after it has completed. keyOf returns the name that a message stands for; its
// errors are returned as they are.
//
// The returned function's type is not named, so that it is assignable to any
// package's handler type.
func Wrap[M, R any](
	g *Guard[R], keyOf func(M) (Key, error), h func(context.Context, M) (R, error),
) func(context.Context, M) error {
	return func(ctx context.Context, m M) error {
		key, err := keyOf(m)
		if err != nil {
			return err
		}
		_, _, _, err = g.run(ctx, key, func(ctx context.Context) (R, error) { return h(ctx, m) })
		return err
	}
}
