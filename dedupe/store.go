package dedupe

import (
	"context"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Store keeps one [protocol.Record] per ID. Implementations must be safe for concurrent use.
// Package storetest tests the contract.
//
// A store must bound its calls: each returns within a time well below the lease, even if its
// context never ends and the service does not answer. The guard sets no deadlines. See [Bounded].
type Store interface {
	// Swap writes next if the stored version of next.ID is old. An old of 0 means that the ID must
	// be absent. next.Version must be greater than old. ID, Name, Format, Status, Version and
	// ExpiresAt of next must be set. Swap must not keep a reference to next.Result after it has
	// returned.
	//
	// If the stored version is not old, Swap returns a *[ConflictError] with the stored record, or
	// the zero Record if there is none. Any other error is ambiguous: the write may have happened,
	// or may still happen. Errors that no retry can cure, such as a missing table or denied access,
	// also wrap [ErrUnavailable]. The guard retries all ambiguous errors while its caller waits.
	Swap(ctx context.Context, old protocol.Version, next protocol.Record) error
}

// Bounded is implemented by stores with a known limit on the duration of a call. A guard refuses a
// store whose calls may take more than a third of [Config.Lease], because a failed renewal must
// leave time for the next one.
type Bounded interface {
	// CallTimeout returns the longest duration of a call.
	CallTimeout() time.Duration
}

// Reader is implemented by stores that can read a record without a write.
type Reader interface {
	// Get returns the stored record by a strongly consistent read, or the zero Record if there is
	// none. It returns expired records, too.
	Get(ctx context.Context, id string) (protocol.Record, error)
}

// Committer is implemented by stores that can write a record and a handler's own writes in one
// transaction.
type Committer interface {
	// Commit is Swap that also applies effects in the same transaction. effects are the arguments
	// of [AddEffect], in that order, at most [MaxEffects].
	//
	// A *[ConflictError] means that the record was not at old. An *[EffectError] means that the
	// record was at old, but the condition of an effect failed, or an effect cannot be written. In
	// both cases nothing was written. If the record is not at old and an effect fails, too, Commit
	// must return a *[ConflictError]: an earlier try of the commit may have been applied, which
	// makes its effects fail now. Any other error is ambiguous.
	//
	// After an ambiguous error the guard repeats the call with the same old, next and effects until
	// it gets another answer. An implementation may derive an idempotency token from them.
	Commit(ctx context.Context, old protocol.Version, next protocol.Record, effects []any) error

	// CheckEffect returns an error if effect can never be committed together with the record
	// recordID, for example because it writes that record. [AddEffect] returns this error.
	// CheckEffect makes no call.
	CheckEffect(recordID string, effect any) error
}

// EffectError is returned when one of a handler's own writes failed and nothing was written. The
// attempt has failed: for good if Err is permanent, otherwise it is tried again. The lease was not
// lost.
type EffectError struct {
	Index int   // position in the order of [AddEffect]
	Err   error // the store's error
}

// Error implements error.
func (e *EffectError) Error() string { return fmt.Sprintf("effect %d: %v", e.Index, e.Err) }

// Unwrap returns the store's error.
func (e *EffectError) Unwrap() error { return e.Err }

// ConflictError is returned by a Swap over an outdated version. Another writer, or an earlier try
// of the same writer whose answer was lost, has changed the record.
type ConflictError struct {
	Current protocol.Record // the stored record; zero if absent
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("dedupe: %q is at version %d (%s)", e.Current.Name, e.Current.Version, e.Current.Status)
}
