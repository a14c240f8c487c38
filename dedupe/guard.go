package dedupe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Guard runs work once per name. It is safe for concurrent use, and starts goroutines only to renew
// leases. R is the type of the work's result: any type that encodes to JSON, or [Payload].
type Guard[R any] struct{ e *engine }

// engine is the part of a guard that does not depend on its result type.
type engine struct {
	store   Store
	cfg     Config
	hooks   Hooks // cfg.Hooks with all fields set
	terms   protocol.Terms
	flights flights
	looks   looks
	cache   *cache    // nil if off
	begun   time.Time // renewals are due at multiples of a tenth of a lease since then
}

// New returns a guard over s. Its error lists every problem of s and cfg.
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

// Key identifies the work that a caller asks for.
type Key struct {
	Name         string               // required, see [protocol.CheckName]
	Fingerprint  protocol.Fingerprint // zero means that payloads are not compared
	MessageID    string               // message of the caller; recorded
	RedriveOrder bool                 // the message was dead-lettered by a worker and redriven
	LastDelivery bool                 // the message will not be delivered again, so a failure is final
	Compared     string               // covered part of the payload, for the text of a mismatch; empty means all of it
	SeenBefore   bool                 // it was delivered before, so a read before the claim is likely to save a write
}

// attempt returns the part of an attempt that hooks get before it begins.
func (k Key) attempt() Attempt { return Attempt{Name: k.Name, MessageID: k.MessageID} }

// Result is the outcome of a name.
type Result[R any] struct {
	// Value is the result of the work: of this call, or as recorded if Replayed.
	Value R

	// Replayed reports that the work did not run in this call. The result was recorded earlier, or
	// by an attempt that this call has joined.
	Replayed bool

	// Omitted reports that the recorded result was larger than [Config.MaxResult] or could not be
	// encoded. A replayed Value is then zero, or the marker for a [Payload]; see
	// [protocol.OmittedType].
	Omitted bool
}

// Attempt identifies a running attempt to its handler.
type Attempt struct {
	Name      string
	MessageID string           // from [Key]; empty if the caller gave none
	Fence     protocol.Version // rises with each attempt of a name; lets a resource refuse a late attempt
	Number    int              // 1 for the first attempt
}

type attemptKey struct{}

// AttemptFrom returns the attempt of a handler's context. It returns false for any other context.
func AttemptFrom(ctx context.Context) (Attempt, bool) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return Attempt{}, false
	}
	return a.Attempt, true
}

// Do runs fn unless the name has an outcome. It holds the name while fn runs and records the
// outcome. fn runs in the calling goroutine, and Do returns after fn. If fn ignores its
// cancellation, Do waits, and renews the lease while no other attempt holds the name.
//
// The context of fn carries an [Attempt]. It is cancelled with cause [ErrLeaseLost] if the lease
// cannot be renewed in time, before another attempt may start. If ctx itself is cancelled, fn
// should return soon. Do then tries to record the outcome for up to [Config.Settle]. While ctx is
// alive, Do renews the lease and tries to record the outcome for up to 12 hours, or until another
// attempt holds the name.
//
// A panic of fn is recorded as a failure. It is then returned as an error, or raised again with
// [Config.Repanic].
//
// Do does not wait for a name that another attempt holds, except with [Config.Wait].
//
// Errors:
//
//   - the error of fn, wrapped, if the name will be tried again. It has the method Deferred if the
//     work may still run elsewhere; see [failure.StillRunning].
//   - *[RejectedError] if the name has failed for good.
//   - *[InProgressError] if another attempt holds the name; fn did not run. For a message the first
//     five such errors also have the method Snoozed: the message should wait in its worker for 1,
//     2, 4, 8 and 16 s.
//   - *[MismatchError] if the payload differs from the recorded one; fn did not run.
//   - *[UnknownOutcomeError] if the name is UNKNOWN, now or from earlier.
//   - *[EffectError] if a write passed to [AddEffect] failed.
//   - errors that wrap [ErrLeaseLost], [ErrUnavailable], [ErrUnreadable] or [protocol.ErrBadName].
//   - an error that wraps [ErrResult] if the name is completed but its recorded result does not
//     decode into R. Do then also returns the Result, without a Value. A handler from [Wrap]
//     ignores this case, because it needs no value.
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

// run is Do without decoding a recorded result.
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

// work is a handler that returns its result encoded for the store.
type work func(context.Context) (output, error)

// attempt is one attempt of this guard on a name.
type attempt struct {
	Attempt
	key      Key
	owner    protocol.Token
	takeover bool // the lease of another attempt had lapsed
	effects  effects
	flight   *flight
	keeper   keeper        // renews the lease while the handler runs
	ran      bool          // Claimed was called, so the handler was called or was about to be
	took     time.Duration // run time of the handler
	lease                  // guarded by keeper.mu while the handler runs
}

// do answers from the cache, from an attempt in this process, or with an attempt of its own. ran
// reports whether the work ran in this call.
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

// patient makes the first few InProgressErrors of a message ask again soon. A message on its last
// delivery waits in its worker anyway.
func (e *engine) patient(key Key, err error) error {
	held, ok := err.(*InProgressError) //nolint:errorlint // only for this name, not for one that its handler needs
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

// attempt claims the name, runs fn and records the outcome.
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
					key.SeenBefore = true // a read costs less than a failed claim
					continue
				}
			}
			return protocol.Record{}, false, e.hooks.refused(key.attempt(), err)
		}
		if err = e.begin(ctx, a); errors.Is(err, ErrLeaseLost) {
			continue // another attempt took the name before the handler began: ask again
		} else if err != nil {
			rec, err := e.settle(ctx, a, output{}, handled{err: err, stop: ctx.Err(), notBegun: true})
			return rec, false, err
		}
		rec, err := e.run(ctx, a, fn)
		return rec, true, err
	}
}

// run calls fn under a renewed lease and records its outcome.
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
	// Checked again, because the hooks, or this goroutine's turn, may have taken long.
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
		if !returned { // fn has ended this goroutine, and only deferred calls still run
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

// now returns the time by the clock of leases. Its monotonic reading is removed, because that
// stands still while the machine is suspended.
func (e *engine) now() time.Time { return e.cfg.Now().Round(0) }

// Wrap turns a function with a result into a handler of messages of type M. The handler runs at
// most one attempt per name at a time, and none after the name is completed. keyOf returns the key
// of a message; its errors are returned unchanged.
//
// The returned function has an unnamed type, so that it is assignable to any package's handler
// type.
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
