package dedupe

import (
	"context"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/pinned"
)

// waitPauses are the pauses of a caller with [Config].Wait: between two reads of the record, and
// before its own attempt after a failed one of this process.
var waitPauses = backoff.Policy{First: 100 * time.Millisecond, Max: 2 * time.Second}

// untilLook returns the delay before a caller's next look at a name that is held for the given
// time. The delay ends just after the lease lapses, so that the caller can take over.
func untilLook(look int, held time.Duration, random func() float64) time.Duration {
	return min(waitPauses.Delay(look, random), held+time.Millisecond)
}

// wait waits before the next look at a held name. It returns a *[gaveUp] if ctx ends first.
func wait(ctx context.Context, look int, held *InProgressError) error {
	if backoff.Sleep(ctx, untilLook(look, held.After, pinned.From(ctx).Random)) != nil {
		return newGaveUp(ctx, held)
	}
	return nil
}

// gaveUp is the error of a caller whose context ended while it waited for a name.
type gaveUp struct {
	*InProgressError
	ended, cause error // of the caller's context
}

func newGaveUp(ctx context.Context, held *InProgressError) *gaveUp {
	return &gaveUp{held, ctx.Err(), context.Cause(ctx)}
}

// Error implements error.
func (e *gaveUp) Error() string { return fmt.Sprintf("%v (waited: %v)", e.InProgressError, e.cause) }

// Unwrap returns the *[InProgressError] and the context's errors.
func (e *gaveUp) Unwrap() []error { return []error{e.InProgressError, e.ended, e.cause} }
