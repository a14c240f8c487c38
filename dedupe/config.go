package dedupe

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Defaults of [Config]; see [Config.WithDefaults].
const (
	defaultLease       = 30 * time.Second
	defaultSkew        = 2 * time.Second
	defaultWindow      = 720 * time.Hour
	defaultMaxAttempts = 5
	defaultMaxResult   = 4 << 10
	defaultSettle      = 3 * time.Second
	defaultCacheAge    = time.Minute
	defaultCacheBytes  = 16 << 20
)

// Bounds that Config is checked against.
const (
	minLease  = time.Second
	maxResult = 300 << 10 // an item holds 400 KB, names and errors included
	maxCache  = 1 << 30
)

// What is not configurable, because nobody should have to think of it.
const (
	maxSettle    = 12 * time.Hour  // of one final write; no message can be held any longer
	joinFor      = time.Second     // how long a second one waits for the first in the same process
	joinDefer    = 5 * time.Second // when to look again at a name that is held for an unknown time
	renewalGrid  = 10              // renewals go out at whole parts of a lease, of which there are so many
	renewalRetry = 12              // a renewal that failed is tried again after this part of a lease
	callsInLease = 3               // a call of the store may take this part of a lease
)

// Config says how a [Guard] works. The zero value of a field, Scope apart,
// means its default.
type Config struct {
	// Scope prefixes every name in the store, so that two queues can share a
	// table. Required; must not contain '#'.
	Scope string

	// Lease is how long a claim holds a name without being renewed; it is
	// renewed every third of it. A crashed worker's names are free again after
	// Lease + Skew, which must be less than the time after which its messages
	// come back. Default 30s; at least 1s and more than twice Skew.
	Lease time.Duration

	// Skew is by how much the clocks of two workers may differ. A handler is
	// cancelled that long before its lease ends, and nobody takes over until
	// that long after. Default 2s; must be the same in all workers of a scope.
	// A negative value means no margin at all.
	Skew time.Duration

	// Window is how long a record counts after its last write. Default 720h
	// (30 days); should exceed the time a message can stay in the queue and in
	// its dead-letter queue together.
	Window time.Duration

	// MaxAttempts bounds the attempts on a name, released ones not counted;
	// after that it is rejected. Default 5.
	MaxAttempts int

	// Hold parks an attempt of unknown outcome (lease lapsed, cancelled, or an
	// error that says so) as UNKNOWN instead of running it again. Default false.
	Hold bool

	// MaxResult bounds a stored result, in bytes. A larger one never fails the
	// completion: a marker with its size and hash is stored instead.
	// Default 4 KiB; at most 300 KiB.
	MaxResult int

	// Wait makes [Guard.Do] wait for a name that another attempt holds, until that
	// name has an outcome or its caller's context ends; the error is then an
	// *[InProgressError] that also wraps the context's. It is meant for callers without
	// a queue: HTTP, RPC, cron. If the other attempt fails, or its lease lapses, the
	// waiting caller makes the next attempt. A caller waits for attempts of its own
	// process at no cost; for those of others, one of its process reads the record after
	// 0.1 s, then ever more rarely, and at least every 2 s. Default false: the name's
	// caller is told to come back.
	Wait bool

	// Settle is for how long after the caller's context has ended an outcome is
	// still tried to be recorded. Until that context ends there is no such limit
	// but 12 hours. Default 3s; must fit into what the process has between the
	// end of its drain time and being killed.
	Settle time.Duration

	// Repanic raises a handler's panic again once it is recorded as a failure.
	// Default false: Do returns it as an error that is tried again.
	Repanic bool

	// CacheAge is for how long a completed name is answered from memory without
	// asking the store, never past its expiry. [Operator.Forget] takes effect
	// everywhere only after it, so it must be the same in all workers of a scope
	// and where the verb is used. Default 60s; negative: no cache.
	CacheAge time.Duration

	// CacheBytes bounds the memory that the cache takes. Default 16 MiB; at most
	// 1 GiB.
	CacheBytes int

	// Hooks watch what happens. Default: none.
	Hooks Hooks

	// Now is the clock that leases and versions are counted with; a store may
	// offer one that is corrected by its service. Safe for concurrent use. Default
	// [time.Now].
	Now func() time.Time

	// Logger gets what an operator should know. Default [slog.Default].
	Logger *slog.Logger
}

// WithDefaults returns a copy of c with the defaults filled in, as [New] uses it.
func (c Config) WithDefaults() Config {
	c.Lease = cmp.Or(c.Lease, defaultLease)
	c.Skew = max(0, cmp.Or(c.Skew, defaultSkew))
	c.Window = cmp.Or(c.Window, defaultWindow)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, defaultMaxAttempts)
	c.MaxResult = cmp.Or(c.MaxResult, defaultMaxResult)
	c.Settle = cmp.Or(c.Settle, defaultSettle)
	c.CacheAge = max(0, cmp.Or(c.CacheAge, defaultCacheAge))
	c.CacheBytes = cmp.Or(c.CacheBytes, defaultCacheBytes)
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Hooks = c.Hooks.withDefaults()
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// validate reports everything that is wrong with c, defaults filled in.
func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := protocol.CheckScope(c.Scope); err != nil {
		bad("Scope: %w", err)
	}
	if c.Lease < minLease {
		bad("Lease %s: must be at least %s", c.Lease, minLease)
	}
	if c.Lease <= 2*c.Skew {
		bad("Lease %s: must be more than twice Skew %s", c.Lease, c.Skew)
	}
	if c.Window < c.Lease {
		bad("Window %s: must not be shorter than Lease %s", c.Window, c.Lease)
	}
	if c.MaxAttempts < 1 {
		bad("MaxAttempts %d: must be at least 1", c.MaxAttempts)
	}
	if c.MaxResult < 1 || c.MaxResult > maxResult {
		bad("MaxResult %d: must be 1 to %d bytes", c.MaxResult, maxResult)
	}
	if c.Settle < 0 {
		bad("Settle %s: must not be negative", c.Settle)
	}
	if c.CacheBytes < 1 || c.CacheBytes > maxCache {
		bad("CacheBytes %d: must be 1 to %d", c.CacheBytes, maxCache)
	}
	return errors.Join(errs...)
}

// checkStore reports what is wrong with s for a guard with the given lease.
func checkStore(s Store, lease time.Duration) error {
	if s == nil {
		return errors.New("store is nil")
	}
	b, ok := s.(Bounded)
	if most := lease / callsInLease; ok && b.CallTimeout() > most {
		return fmt.Errorf("Lease %s: the store's calls may take %s, more than a third of it", lease, b.CallTimeout())
	}
	return nil
}

// terms are the rules that c gives an attempt.
func (c Config) terms() protocol.Terms {
	return protocol.Terms{Lease: c.Lease, Skew: c.Skew, Window: c.Window, MaxAttempts: c.MaxAttempts, Hold: c.Hold}
}
