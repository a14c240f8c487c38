package dedupe

import (
	"context"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/pinned"
)

// waitPauses are the pauses of a caller that waits for a name ([Config.Wait]), between
// two looks at the store, and before its own attempt after one of this process has
// failed.
var waitPauses = backoff.Policy{First: 100 * time.Millisecond, Max: 2 * time.Second}

// untilLook returns for how long a caller waits before it looks again at a name that is
// held for so long. Just after the lease has lapsed, the caller is there to take over.
func untilLook(look int, held time.Duration, random func() float64) time.Duration {
	return min(waitPauses.Delay(look, random), held+time.Millisecond)
}

// wait waits before the next look at a name that is held. It returns a *[gaveUp] when
// ctx ends first.
func wait(ctx context.Context, look int, held *InProgressError) error {
	if backoff.Sleep(ctx, untilLook(look, held.After, pinned.From(ctx).Random)) != nil {
		return newGaveUp(ctx, held)
	}
	return nil
}

// gaveUp is the error of a caller that has waited for a name until its context ended.
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
