// Package memstore is the reference [dedupe.Store]: a map behind a mutex. The worker uses it with
// --local, and so do examples and simulations. All data ends with the process. Expired records are
// kept until they are overwritten.
//
// It is also a [dedupe.Committer]: the store holds values beside its records, and a handler writes
// them with [Add] in one transaction with its completion.
package memstore

import (
	"context"
	"slices"
	"sync"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Store is an in-memory store, safe for concurrent use. Use New: the zero value panics on a write.
type Store struct {
	mu      sync.Mutex
	records map[string]protocol.Record // guarded by mu
	values  map[string]value           // guarded by mu
}

var (
	_ dedupe.Store     = (*Store)(nil)
	_ dedupe.Reader    = (*Store)(nil)
	_ listing.Lister   = (*Store)(nil)
	_ dedupe.Committer = (*Store)(nil)
)

// New returns a Store without records and values.
func New() *Store {
	return &Store{records: make(map[string]protocol.Record), values: make(map[string]value)}
}

// Swap implements [dedupe.Store]. Its errors are a *[dedupe.ConflictError] and ctx's error. After
// an error the stored record is unchanged.
func (s *Store) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	return s.Commit(ctx, old, next, nil)
}

// Get implements [dedupe.Reader]. Its only error is ctx's.
func (s *Store) Get(ctx context.Context, id string) (protocol.Record, error) {
	if err := ctx.Err(); err != nil {
		return protocol.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return clone(s.records[id]), nil
}

func clone(r protocol.Record) protocol.Record {
	r.Result = slices.Clone(r.Result)
	return r
}
