package dedupe

import (
	"context"
	"errors"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// errTooLate means that an attempt has not begun, because its process ends too soon.
var errTooLate = errors.New("too late to begin: the process ends first")

type leaseEndKey struct{}

// WithLeaseEnd returns a context for [Guard.Do] whose attempts hold no lease beyond end, by the
// guard's clock. It is for a process that is killed at a known time, as AWS Lambda ends a process
// at the deadline of its invocation. The names of such a process are free at end + [Config].Skew.
// If less than twice Skew is left before end, Do begins no attempt, and its error wraps
// [context.Canceled].
func WithLeaseEnd(ctx context.Context, end time.Time) context.Context {
	return context.WithValue(ctx, leaseEndKey{}, end.Round(0))
}

// leaseEnd returns the end of all leases under ctx; zero if there is none.
func leaseEnd(ctx context.Context) time.Time {
	end, _ := ctx.Value(leaseEndKey{}).(time.Time)
	return end
}

// termsUntil returns the terms of a claim or renewal whose lease ends by end.
func (e *engine) termsUntil(end, now time.Time) protocol.Terms {
	t := e.terms
	if !end.IsZero() {
		t.Lease = min(t.Lease, end.Sub(now))
	}
	return t
}

// tooLate reports whether no attempt should begin under a lease that ends at end.
func (e *engine) tooLate(end, now time.Time) bool {
	return !end.IsZero() && end.Sub(now) <= 2*e.terms.Skew
}

// final reports whether no renewal can extend the lease.
func (l lease) final() bool {
	return !l.end.IsZero() && l.rec.LeaseUntil.UnixMilli() >= l.end.UnixMilli()
}

// left returns how long a lease is still proven, by the monotonic clock and by the clock of leases,
// of which the shorter counts. The monotonic clock is right if the other is set back. It stands
// still while the machine is suspended, as AWS Lambda suspends a sandbox, and then the clock of
// leases is right.
func (e *engine) left(l lease) time.Duration {
	return min(time.Until(l.proven), l.rec.LeaseUntil.Sub(e.now()))
}
