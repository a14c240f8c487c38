// Package memstore is the reference [dedupe.Store]: a map behind a mutex. It
// is what the worker runs on with --local, and what examples and simulations
// use. Nothing outlives the process, and expired records are kept until they
// are overwritten.
//
// It is a [dedupe.Committer] too: beside its records it has values, which a
// handler writes with [Add] in one transaction with its completion.
package memstore

import (
	"context"
	"slices"
	"sync"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Store is an in-memory store. Use New.
type Store struct {
	mu      sync.Mutex
	records map[string]protocol.Record // guarded by mu
	values  map[string]value           // guarded by mu
}

var (
	_ dedupe.Store     = (*Store)(nil)
	_ dedupe.Reader    = (*Store)(nil)
	_ dedupe.Lister    = (*Store)(nil)
	_ dedupe.Committer = (*Store)(nil)
)

// New returns an empty store.
func New() *Store {
	return &Store{records: make(map[string]protocol.Record), values: make(map[string]value)}
}

// Swap implements [dedupe.Store]. It fails only with a *[dedupe.ConflictError]
// or with ctx's error, and then has written nothing.
func (s *Store) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	return s.Commit(ctx, old, next, nil)
}

// Get implements [dedupe.Reader].
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
