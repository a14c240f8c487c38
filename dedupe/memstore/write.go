package memstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Write is a handler's own write to the store's values, see [Add].
type Write struct {
	// Key is the key of the value. Within a transaction it must be unique.
	Key string

	// Update returns the new value for the stored one. A stored nil means absent; a returned nil
	// stores nil, which Value reports like an absent value. After an error no write of the
	// transaction is applied. Update must be a pure function, because it may be called several
	// times. It is required.
	Update func(stored any) (any, error)
}

// Add adds w to the attempt of ctx, a handler's context. The store applies w in one transaction
// with the completion, or not at all. Errors: those of [dedupe.AddEffect].
func Add(ctx context.Context, w Write) error { return dedupe.AddEffect(ctx, w) }

// value is one stored value. Every write raises its revision.
type value struct {
	v        any
	revision uint64
}

// Value returns the value of a key, nil if there is none.
func (s *Store) Value(key string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key].v
}

// CheckEffect implements [dedupe.Committer]. It fails unless effect is a [Write] with an Update.
func (s *Store) CheckEffect(_ string, effect any) error {
	switch w, ok := effect.(Write); {
	case !ok:
		return fmt.Errorf("memstore: %T is not a memstore.Write", effect)
	case w.Update == nil:
		return fmt.Errorf("memstore: write of %q has no Update", w.Key)
	}
	return nil
}

// Commit implements [dedupe.Committer]. Effects are [Write]s. Its errors are a
// *[dedupe.ConflictError], a *[dedupe.EffectError] and ctx's error. After an error records and
// values are unchanged.
func (s *Store) Commit(ctx context.Context, old protocol.Version, next protocol.Record, effects []any) error {
	next = clone(next)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Update is the caller's code and runs without the lock. write compares the revisions
		// before it applies the results.
		writes, err := s.prepare(effects)
		done, conflict := s.write(old, next, writes, err == nil)
		switch {
		case conflict != nil:
			return conflict
		case err != nil:
			return err
		case done:
			return nil
		}
	}
}

// prepared is a write with its new value.
type prepared struct {
	key  string
	was  uint64 // revision of the value that Update was given
	next any
}

func (s *Store) prepare(effects []any) ([]prepared, error) {
	var writes []prepared
	seen := make(map[string]bool, len(effects))
	for i, effect := range effects {
		if err := s.CheckEffect("", effect); err != nil {
			return nil, &dedupe.EffectError{Index: i, Err: err}
		}
		w, _ := effect.(Write)
		if seen[w.Key] {
			return nil, &dedupe.EffectError{Index: i, Err: errTwice}
		}
		seen[w.Key] = true
		s.mu.Lock()
		stored := s.values[w.Key]
		s.mu.Unlock()
		next, err := w.Update(stored.v)
		if err != nil {
			return nil, &dedupe.EffectError{Index: i, Err: err}
		}
		writes = append(writes, prepared{w.Key, stored.revision, next})
	}
	return writes, nil
}

var errTwice = errors.New("memstore: a transaction writes each value at most once")

// write applies all writes if apply is set, the record is at version old, and no value has changed
// since prepare. conflict is set if the record is at another version, even without apply.
func (s *Store) write(old protocol.Version, next protocol.Record, writes []prepared, apply bool) (done bool, conflict error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if current := s.records[next.ID]; current.Version != old {
		return false, &dedupe.ConflictError{Current: clone(current)}
	}
	if !apply {
		return false, nil
	}
	for _, w := range writes {
		if s.values[w.key].revision != w.was {
			return false, nil
		}
	}
	for _, w := range writes {
		s.values[w.key] = value{w.next, w.was + 1}
	}
	s.records[next.ID] = next
	return true, nil
}
