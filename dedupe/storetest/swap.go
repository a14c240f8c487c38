package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

var swapContract = []contract{
	{"a new name is written over version 0", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		put(t, s, 0, r)
		isStored(t, s, r)
	}},
	{"over version 0 a name that exists conflicts and is shown", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		put(t, s, 0, r)
		next := r
		next.Version, next.Owner = 11, protocol.Token{9}
		if got := conflict(t, s, 0, next); !Same(got, r) {
			t.Errorf("the conflict shows %+v, want %+v", got, r)
		}
		isStored(t, s, r)
	}},
	{"over any other version an absent name conflicts with the zero record", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(11)
		if got := conflict(t, s, 10, r); !Same(got, protocol.Record{}) {
			t.Errorf("the conflict shows %+v", got)
		}
		if got := stored(t, s, r.ID); got.Version != 0 {
			t.Errorf("a lost swap has written %+v", got)
		}
	}},
	{"over the stored version the record is replaced", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		put(t, s, 0, r)
		next := r
		next.Version, next.Attempts = 11, 2
		put(t, s, 10, next)
		isStored(t, s, next)
	}},
	{"over an older version the stored record is shown and stays", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		put(t, s, 0, r)
		r.Version = 20
		put(t, s, 10, r)
		late := r
		late.Version, late.Status = 21, protocol.Rejected
		if got := conflict(t, s, 10, late); !Same(got, r) {
			t.Errorf("the conflict shows %+v, want %+v", got, r)
		}
		isStored(t, s, r)
	}},
	{"over a newer version the stored record is shown and stays", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		put(t, s, 0, r)
		late := r
		late.Version = 12
		if got := conflict(t, s, 11, late); !Same(got, r) {
			t.Errorf("the conflict shows %+v, want %+v", got, r)
		}
		isStored(t, s, r)
	}},
	{"versions that differ beyond the precision of a float are told apart", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(1<<60)
		put(t, s, 0, r)
		late := r
		late.Version = 1<<60 + 2
		conflict(t, s, 1<<60+1, late)
		put(t, s, 1<<60, late)
		isStored(t, s, late)
	}},
	{"nothing of the old record is left in the new one", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), full(b)
		put(t, s, 0, r)
		bare := protocol.Record{
			ID: r.ID, Name: r.Name, Format: protocol.Format, Status: protocol.Forgotten, Version: 11, ExpiresAt: r.ExpiresAt,
		}
		put(t, s, 10, bare)
		isStored(t, s, bare)
		r.Version = 12
		put(t, s, 11, r)
		isStored(t, s, r)
	}},
	{"names do not meet", func(t *testing.T, b *bench) {
		s, one, other := b.h.Open(t), b.record(10), b.record(20)
		put(t, s, 0, one)
		put(t, s, 0, other)
		isStored(t, s, one)
		isStored(t, s, other)
	}},
	{"another process sees a write at once", func(t *testing.T, b *bench) {
		here, there, r := b.h.Open(t), b.h.Open(t), b.record(10)
		put(t, here, 0, r)
		isStored(t, there, r)
		r.Version = 11
		put(t, there, 10, r)
		isStored(t, here, r)
	}},
	{"under an ended context the error is no conflict, and wraps the context's", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		put(t, s, 0, r)
		r.Version = 11
		err := s.Swap(cancelled(t), 5, r)
		if _, lost := errors.AsType[*dedupe.ConflictError](err); lost || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}},
	{"the store keeps no reference to the result", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		r.Result, r.ResultType = []byte("as it was"), "text/plain"
		put(t, s, 0, r)
		want := r
		want.Result = slices.Clone(r.Result)
		copy(r.Result, "scribbled")
		isStored(t, s, want)
	}},
	{"a result that is handed out is the caller's", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		r.Result, r.ResultType = []byte("as it was"), "text/plain"
		put(t, s, 0, r)
		copy(stored(t, s, r.ID).Result, "scribbled")
		isStored(t, s, r)
	}},
}

// contenders is the number of concurrent writers, a few more than the statements of a batch.
const contenders = 40

var concurrencyContract = []contract{
	{"of many creations of one name exactly one wins, and the losers get its record", func(t *testing.T, b *bench) {
		race(t, b, 0, b.record(1))
	}},
	{"of many swaps of one version exactly one wins, and the losers get its record", func(t *testing.T, b *bench) {
		r := b.record(10)
		put(t, b.h.Open(t), 0, r)
		race(t, b, 10, r)
	}},
	{"writes of many names at once do not wait for each other, and all win", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		var records [contenders]protocol.Record
		var errs [contenders]error
		var wg sync.WaitGroup
		for i := range records {
			records[i] = b.record(10)
			wg.Go(func() {
				r := records[i]
				for v := protocol.Version(10); v < 14 && errs[i] == nil; v++ {
					old := v - 1
					if v == 10 {
						old = 0
					}
					r.Version = v
					errs[i] = s.Swap(t.Context(), old, r)
				}
				records[i] = r
			})
		}
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			isStored(t, s, r)
		}
	}},
}

// race writes r over version old with all contenders at once, half of them through a second store.
func race(t *testing.T, b *bench, old protocol.Version, r protocol.Record) {
	t.Helper()
	stores := [2]dedupe.Store{b.h.Open(t), b.h.Open(t)}
	var tries [contenders]protocol.Record
	var errs [contenders]error
	var wg sync.WaitGroup
	for i := range tries {
		tries[i] = r
		tries[i].Version = old + protocol.Version(1+i)
		tries[i].Owner = protocol.Token{byte(i + 1)}
		wg.Go(func() { errs[i] = stores[i%2].Swap(t.Context(), old, tries[i]) })
	}
	wg.Wait()
	var winner *protocol.Record
	for i, err := range errs {
		if err != nil {
			continue
		}
		if winner != nil {
			t.Fatalf("both %d and %d have won", winner.Version, tries[i].Version)
		}
		winner = &tries[i]
	}
	if winner == nil {
		t.Fatalf("nobody has won: %v", errs[0])
	}
	for i, err := range errs {
		if err == nil {
			continue
		}
		lost, ok := errors.AsType[*dedupe.ConflictError](err)
		if !ok {
			t.Errorf("loser %d: got %v, want a conflict", i, err)
		} else if !Same(lost.Current, *winner) {
			t.Errorf("loser %d is shown %+v, want %+v", i, lost.Current, *winner)
		}
	}
	isStored(t, stores[0], *winner)
}
