package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

var committerContract = []contract{
	{"a commit without effects is a swap", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		if err := commit(t, s, 0, r); err != nil {
			t.Fatal(err)
		}
		isStored(t, s, r)
		late := r
		late.Version = 11
		if lost := conflicted(t, commit(t, s, 0, late)); !Same(lost, r) {
			t.Errorf("the conflict shows %+v, want %+v", lost, r)
		}
	}},
	{"a commit writes the record and every effect", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), full(b)
		keys := []string{b.record(0).Name, b.record(0).Name, b.record(0).Name}
		var effects []any
		for _, key := range keys {
			effects = append(effects, b.h.Effects.Increment(key))
		}
		if err := commit(t, s, 0, r, effects...); err != nil {
			t.Fatal(err)
		}
		isStored(t, s, r)
		b.stands(t, 1, keys...)
	}},
	{"as many effects as are allowed are written together", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		var effects []any
		var keys []string
		for range dedupe.MaxEffects {
			keys = append(keys, b.record(0).Name)
			effects = append(effects, b.h.Effects.Increment(keys[len(keys)-1]))
		}
		if err := commit(t, s, 0, r, effects...); err != nil {
			t.Fatal(err)
		}
		b.stands(t, 1, keys...)
	}},
	{"over another version the record is shown, and no effect is written", func(t *testing.T, b *bench) {
		s, r, key := b.h.Open(t), b.record(10), b.record(0).Name
		put(t, s, 0, r)
		late := r
		late.Version = 21
		for _, old := range []protocol.Version{0, 9, 20} {
			if lost := conflicted(t, commit(t, s, old, late, b.h.Effects.Increment(key))); !Same(lost, r) {
				t.Errorf("over %d the conflict shows %+v, want %+v", old, lost, r)
			}
		}
		absent := b.record(11)
		if lost := conflicted(t, commit(t, s, 10, absent, b.h.Effects.Increment(key))); !Same(lost, protocol.Record{}) {
			t.Errorf("the conflict shows %+v, want no record", lost)
		}
		b.stands(t, 0, key)
		isStored(t, s, r)
	}},
	{"an effect whose condition fails is named, and nothing is written", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		put(t, s, 0, r)
		one, other := b.record(0).Name, b.record(0).Name
		next := r
		next.Version, next.Status = 11, protocol.Completed
		err := commit(t, s, 10, next, b.h.Effects.Increment(one), b.h.Effects.Require(other, 7))
		failed, ok := errors.AsType[*dedupe.EffectError](err)
		if !ok || failed.Index != 1 || failed.Err == nil || failure.Is(failed, failure.Permanent.Permanent) {
			t.Fatalf("got %#v, want effect 1 to have failed for now", err)
		}
		b.stands(t, 0, one, other)
		isStored(t, s, r)
	}},
	{"a condition that holds lets the commit through", func(t *testing.T, b *bench) {
		s, r, key, other := b.h.Open(t), b.record(10), b.record(0).Name, b.record(0).Name
		if err := commit(t, s, 0, r, b.h.Effects.Increment(key)); err != nil {
			t.Fatal(err)
		}
		next := r
		next.Version = 11
		if err := commit(t, s, 10, next, b.h.Effects.Require(key, 1), b.h.Effects.Increment(other)); err != nil {
			t.Fatal(err)
		}
		b.stands(t, 1, key, other)
	}},
	{"when the record is not at its version and an effect fails too, it is a conflict", func(t *testing.T, b *bench) {
		s, r, key := b.h.Open(t), b.record(10), b.record(0).Name
		put(t, s, 0, r)
		late := r
		late.Version = 12
		if lost := conflicted(t, commit(t, s, 9, late, b.h.Effects.Require(key, 7))); !Same(lost, r) {
			t.Errorf("the conflict shows %+v, want %+v", lost, r)
		}
	}},
	{"the same commit again is applied once", func(t *testing.T, b *bench) {
		s, r, key := b.h.Open(t), b.record(10), b.record(0).Name
		put(t, s, 0, r)
		next := r
		next.Version, next.Status = 11, protocol.Completed
		effects := []any{b.h.Effects.Increment(key)}
		if err := commit(t, s, 10, next, effects...); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			// Both answers are correct: success, or a conflict with the written record.
			if err := commit(t, b.h.Open(t), 10, next, effects...); err != nil {
				if lost := conflicted(t, err); !Same(lost, next) {
					t.Errorf("the conflict shows %+v, want %+v", lost, next)
				}
			}
		}
		b.stands(t, 1, key)
		isStored(t, s, next)
	}},
	{"of many commits over one version exactly one is applied", func(t *testing.T, b *bench) {
		s, r, key := b.h.Open(t), b.record(10), b.record(0).Name
		put(t, s, 0, r)
		var errs [8]error
		var wg sync.WaitGroup
		for i := range errs {
			next := r
			next.Version, next.Owner = protocol.Version(11+i), protocol.Token{byte(i + 1)}
			wg.Go(func() { errs[i] = commit(t, s, 10, next, b.h.Effects.Increment(key)) })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				continue
			}
			if _, ok := errors.AsType[*dedupe.ConflictError](err); !ok {
				t.Errorf("loser %d: %v", i, err)
			}
		}
		if won != 1 {
			t.Errorf("%d commits were applied", won)
		}
		b.stands(t, 1, key)
	}},
	{"an effect of another store is refused, and nothing is written", func(t *testing.T, b *bench) {
		s, r, key := b.h.Open(t), b.record(10), b.record(0).Name
		err := commit(t, s, 0, r, b.h.Effects.Increment(key), struct{ what string }{"nothing"})
		if failed, ok := errors.AsType[*dedupe.EffectError](err); !ok || failed.Index != 1 {
			t.Errorf("got %v", err)
		}
		b.stands(t, 0, key)
		if got := stored(t, s, r.ID); got.Version != 0 {
			t.Errorf("the record was written: %+v", got)
		}
	}},
	{"under an ended context nothing is committed, and the error wraps the context's", func(t *testing.T, b *bench) {
		s, r, key := b.h.Open(t), b.record(10), b.record(0).Name
		err := s.(dedupe.Committer).Commit(cancelled(t), 0, r, []any{b.h.Effects.Increment(key)})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		b.stands(t, 0, key)
	}},
}

func commit(t *testing.T, s dedupe.Store, old protocol.Version, next protocol.Record, effects ...any) error {
	t.Helper()
	return s.(dedupe.Committer).Commit(t.Context(), old, next, effects)
}

// conflicted returns the record in err, which must be a conflict.
func conflicted(t *testing.T, err error) protocol.Record {
	t.Helper()
	lost, ok := errors.AsType[*dedupe.ConflictError](err)
	if !ok {
		t.Fatalf("got %v, want a conflict", err)
	}
	return lost.Current
}

// stands fails the test unless every counter is want.
func (b *bench) stands(t *testing.T, want int, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if got := b.h.Effects.Count(t, key); got != want {
			t.Errorf("counter %s stands at %d, want %d", key, got, want)
		}
	}
}
