package dedupe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Store keeps one [protocol.Record] per ID. Implementations are safe for concurrent
// use; package storetest holds the contract as a test suite.
//
// A store bounds its own calls: each returns after a time well below the lease, also
// under a context that never ends and when nothing answers. The guard sets no
// deadlines for calls. See [Bounded].
type Store interface {
	// Swap writes next if the stored version of next.ID is still old; old 0
	// means that the ID must be absent. next.Version must be greater than old.
	// ID, Name, Format, Status, Version and ExpiresAt of next must be set.
	//
	// A lost race returns a *[ConflictError] with the record as stored (the
	// zero Record when there is none). Any other error is ambiguous: the write
	// may have happened, or may still happen. Errors that no retry can cure,
	// such as a missing table or denied access, wrap [ErrUnavailable] too;
	// the guard retries while its caller waits. Swap keeps no reference to
	// next.Result after it has returned.
	Swap(ctx context.Context, old protocol.Version, next protocol.Record) error
}

// Bounded is implemented by stores that say how long a call may take. A guard refuses
// a store whose calls may take more than a third of [Config.Lease]: a renewal must
// fail in time for the next one.
type Bounded interface {
	// CallTimeout returns after which time a call returns at the latest.
	CallTimeout() time.Duration
}

// Reader is implemented by stores that can read a record without writing one.
type Reader interface {
	// Get returns the record as stored, by a strongly consistent read, or the
	// zero Record when there is none. Expired records are returned as stored.
	Get(ctx context.Context, id string) (protocol.Record, error)
}

// Lister is implemented by stores that can list the names that need attention:
// those that are [protocol.Retrying], [protocol.Rejected] or [protocol.Unknown].
type Lister interface {
	// List returns the names of a scope that have a status, those written last
	// first, one page of them. It may be a moment behind, and may name a record
	// that has expired. Its error wraps [ErrNoList] where the store keeps no list.
	List(ctx context.Context, q ListQuery) (ListPage, error)
}

// ErrNoList is wrapped when a store keeps no list: its table lacks the index, say.
var ErrNoList = errors.New("no list of names is kept")

// ListQuery says which names are listed.
type ListQuery struct {
	Scope  string
	Status protocol.Status // Retrying, Rejected or Unknown
	Limit  int             // entries of a page, 1 to 1,000
	After  string          // where the page begins: [ListPage.Next] of the one before; empty: at the first
}

// ListPage is a part of a list.
type ListPage struct {
	Entries []ListEntry
	Next    string // for [ListQuery.After]; empty: this is the last page
}

// ListEntry is a name in a list.
type ListEntry struct {
	Name     string
	Status   protocol.Status
	Version  protocol.Version // of its last write; the time in milliseconds, or a little more
	Attempts int
	Error    string // its last failure
}

// Validate returns an error that names the first bad field of q.
func (q ListQuery) Validate() error {
	switch {
	case protocol.CheckScope(q.Scope) != nil:
		return fmt.Errorf("list: Scope: %w", protocol.CheckScope(q.Scope))
	case !q.Status.NeedsAttention():
		return fmt.Errorf("list: Status %q: must be %s, %s or %s", q.Status, protocol.Retrying, protocol.Rejected, protocol.Unknown)
	case q.Limit < 1 || q.Limit > maxListed:
		return fmt.Errorf("list: Limit %d: must be 1 to %d", q.Limit, maxListed)
	default:
		return nil
	}
}

// maxListed bounds a page of a list.
const maxListed = 1000

// Committer is implemented by stores that can write a record together with a
// handler's own writes, in one transaction: all of them happen or none.
type Committer interface {
	// Commit is Swap that applies effects in the same transaction; effects are
	// what [AddEffect] was given, in that order, at most [MaxEffects].
	//
	// A *[ConflictError] says that the record was not at old; nothing was
	// written. An *[EffectError] says that the record was at old, but an
	// effect's own condition failed, or it cannot be written; nothing was
	// written. When the record is not at old and an effect fails too, it is a
	// conflict: the commit may have been applied by an earlier try, which is
	// what made its effects fail now. Any other error is ambiguous.
	//
	// After an ambiguous error the guard calls again with the very same old,
	// next and effects, until the answer is one of the others: an
	// implementation may derive an idempotency token from them.
	Commit(ctx context.Context, old protocol.Version, next protocol.Record, effects []any) error

	// CheckEffect returns why effect can never be committed together with the
	// record recordID (it is a write of that very record, say), or nil.
	// [AddEffect] returns its error. It makes no call.
	CheckEffect(recordID string, effect any) error
}

// EffectError says that one of a handler's own writes failed and that nothing
// was written. The attempt has failed with it: for good when Err is permanent,
// else it will be tried again. It does not mean that the lease was lost.
type EffectError struct {
	Index int   // which one, in the order of [AddEffect]
	Err   error // the store's error
}

// Error implements error.
func (e *EffectError) Error() string { return fmt.Sprintf("effect %d: %v", e.Index, e.Err) }

// Unwrap returns the store's error.
func (e *EffectError) Unwrap() error { return e.Err }

// ConflictError says that a Swap lost: somebody else (or an earlier try of our
// own whose answer was lost) has written since.
type ConflictError struct {
	Current protocol.Record // the record as stored; zero when absent
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("dedupe: %q is at version %d (%s)", e.Current.Name, e.Current.Version, e.Current.Status)
}
