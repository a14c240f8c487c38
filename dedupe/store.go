package dedupe

import (
	"context"
	"fmt"
)

// Store keeps one [Record] per ID. Implementations are safe for concurrent
// use; package storetest holds the contract as a test suite.
type Store interface {
	// Swap writes next if the stored version of next.ID is still old; old 0
	// means that the ID must be absent. next.Version must be greater than old.
	//
	// A lost race returns a *[ConflictError] with the record as stored (the
	// zero Record when there is none). Any other error is ambiguous: the write
	// may have happened, or may still happen. Errors that no retry can cure,
	// such as a missing table or denied access, wrap [ErrUnavailable] too;
	// the guard retries while its caller waits. Swap keeps no reference to
	// next.Result after it has returned.
	Swap(ctx context.Context, old Version, next Record) error
}

// Reader is implemented by stores that can read a record without writing one.
type Reader interface {
	// Get returns the record as stored, by a strongly consistent read, or the
	// zero Record when there is none. Expired records are returned as stored.
	Get(ctx context.Context, id string) (Record, error)
}

// ConflictError says that a Swap lost: somebody else (or an earlier try of our
// own whose answer was lost) has written since.
type ConflictError struct {
	Current Record // the record as stored; zero when absent
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("dedupe: %q is at version %d (%s)", e.Current.Name, e.Current.Version, e.Current.Status)
}
