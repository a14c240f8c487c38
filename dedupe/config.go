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

// Bounds of Config.
const (
	minLease  = time.Second
	maxResult = 300 << 10 // an item holds at most 400 KB, with name and error
	maxCache  = 1 << 30
)

// Fixed times and shares.
const (
	maxSettle    = 12 * time.Hour  // of one final write; SQS holds no message for longer
	joinFor      = time.Second     // wait of a duplicate for an attempt in the same process
	joinDefer    = 5 * time.Second // delay of a duplicate if the end of the other lease is not known
	renewalGrid  = 10              // renewals are due at multiples of this part of a lease
	renewalRetry = 12              // a failed renewal is retried after this part of a lease
	callsInLease = 3               // a call to the store may take this part of a lease
)

// Config configures a [Guard]. Only Scope is required. The zero value of any other field means its
// default.
type Config struct {
	// Scope prefixes every name in the store, so that several queues can share a table. Required;
	// without '#', at most [protocol.MaxScopeBytes] bytes of UTF-8.
	Scope string

	// Lease is how long a claim holds a name without a renewal. It is renewed every third of that
	// time. The names of a crashed worker are free after Lease + Skew. That must be less than the
	// time until its messages become visible. Default 30s; at least 1s and more than twice Skew.
	Lease time.Duration

	// Skew is the largest difference between the clocks of two workers. A handler is cancelled Skew
	// before its lease ends, and another attempt may start only Skew after that end. It must be the
	// same in all workers of a scope. Default 2s; a negative value means no margin.
	Skew time.Duration

	// Window is the lifetime of a record after its last write. It should exceed the retention of
	// the queue plus the retention of its dead-letter queue. Default 720h (30 days); at least
	// Lease.
	Window time.Duration

	// MaxAttempts bounds the attempts on a name, without released ones. After the last failure the
	// name is rejected. Default 5; at least 1.
	MaxAttempts int

	// Hold makes an attempt of unknown outcome UNKNOWN instead of retryable. The outcome is unknown
	// if the lease lapsed, the attempt was cancelled, or its error says so. Default false.
	Hold bool

	// MaxResult bounds a stored result, in bytes. A larger result is replaced by a marker with its
	// size and hash; the name is completed all the same. Default 4 KiB; at most 300 KiB.
	MaxResult int

	// Wait makes [Guard.Do] wait for a name that another attempt holds, until the name has an
	// outcome or the caller's context ends. The error is then an *[InProgressError] that also wraps
	// the context's error. Wait is meant for callers without a queue: HTTP, RPC, cron. If the other
	// attempt fails, or its lease lapses, the waiting caller makes the next attempt. Waiting for
	// attempts of the same process needs no calls. For others, one caller per process reads the
	// record after 0.1 s, then at growing intervals up to 2 s. Default false: Do returns an
	// *[InProgressError] soon.
	Wait bool

	// Settle is how long Do keeps trying to record an outcome after the caller's context has ended.
	// Before that the limit is 12 hours. It must fit between the end of the process's drain time
	// and its kill. Default 3s; not negative.
	Settle time.Duration

	// Repanic raises a handler's panic again after it was recorded as a failure. Default false: Do
	// returns the panic as an error, and the name is tried again.
	Repanic bool

	// CacheAge is how long a completed name is answered from memory without a call to the store, at
	// most until its record expires. [Operator.Forget] takes effect everywhere only after this
	// time. So it must be the same in all workers of a scope and for the operator. Default 60s;
	// negative means no cache.
	CacheAge time.Duration

	// CacheBytes bounds the memory of the cache. Default 16 MiB; at most 1 GiB.
	CacheBytes int

	// Hooks are called on events; see [Hooks]. Default: none.
	Hooks Hooks

	// Now is the clock for leases and versions. A store may offer a clock that its service
	// corrects. It must be safe for concurrent use. Default [time.Now].
	Now func() time.Time

	// Logger gets warnings and errors. Default [slog.Default].
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

// validate returns an error that lists every invalid field of c. Defaults must be filled in.
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

// checkStore returns an error if a guard with the given lease cannot use s.
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

// terms returns the settings of an attempt.
func (c Config) terms() protocol.Terms {
	return protocol.Terms{Lease: c.Lease, Skew: c.Skew, Window: c.Window, MaxAttempts: c.MaxAttempts, Hold: c.Hold}
}
