// Package storetest is a test suite for the contract of [dedupe.Store]. A store that passes it can
// serve a guard.
//
// The optional interfaces ([dedupe.Bounded], [dedupe.Reader], [dedupe.Committer], [listing.Lister])
// are tested if the store implements them.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Harness opens the stores under test.
type Harness struct {
	// Open returns a store. All stores that it returns have the same records, like stores in
	// several processes. An in-memory store may return itself. Close stores in t.Cleanup. Required.
	Open func(t *testing.T) dedupe.Store

	// Silent opens a store of the same kind whose server accepts requests and does not answer. It
	// is called in a [synctest] bubble. Required for a store that is [dedupe.Bounded].
	Silent func(t *testing.T) dedupe.Store

	// Effects makes effects for the store. Required for a store that is a [dedupe.Committer].
	Effects Effects
}

// Effects makes a handler's writes for the store under test, on counters beside its records. A
// counter begins at 0. The tests choose new keys.
type Effects struct {
	// Increment returns an effect that adds 1 to a counter.
	Increment func(key string) any
	// Require returns an effect that fails unless a counter equals want, which is at least 1.
	Require func(key string, want int) any
	// Count returns the value of a counter.
	Count func(t *testing.T, key string) int
}

// contract is one sentence of the contract and its test.
type contract struct {
	sentence string
	check    func(*testing.T, *bench)
}

// Run tests the contract, with one subtest for every sentence.
func Run(t *testing.T, h Harness) {
	t.Helper()
	b := &bench{h: h, scope: rand.Text()}
	sentences := [][]contract{swapContract, concurrencyContract, fieldContract, resultContract}
	s := h.Open(t)
	if _, ok := s.(dedupe.Bounded); ok {
		sentences = append(sentences, boundedContract)
	}
	if _, ok := s.(dedupe.Reader); ok {
		sentences = append(sentences, readerContract)
	}
	if _, ok := s.(listing.Lister); ok {
		sentences = append(sentences, listerContract)
	}
	if _, ok := s.(dedupe.Committer); ok {
		sentences = append(sentences, committerContract)
	}
	for _, group := range sentences {
		for _, c := range group {
			t.Run(c.sentence, func(t *testing.T) { c.check(t, b) })
		}
	}
}

// bench is shared by the subtests. The scope separates this run's records from all others.
type bench struct {
	h     Harness
	scope string
}

// now is the time of the sample records, in milliseconds like the times of all records.
var now = time.UnixMilli(1_790_000_000_123).UTC()

// record returns a small running record of a new name at the given version.
func (b *bench) record(v protocol.Version) protocol.Record {
	return b.named(rand.Text(), v)
}

func (b *bench) named(name string, v protocol.Version) protocol.Record {
	return protocol.Record{
		ID: protocol.RecordID(b.scope, name), Name: name, Format: protocol.Format,
		Status: protocol.InProgress, Version: v, Fence: v, Owner: protocol.Token{1, 2, 3}, Attempts: 1,
		LeaseUntil: now.Add(30 * time.Second), CreatedAt: now,
		ExpiresAt: time.Unix(now.Unix()+3600, 0).UTC(),
	}
}

// put writes r over version old and fails the test on an error.
func put(t *testing.T, s dedupe.Store, old protocol.Version, r protocol.Record) {
	t.Helper()
	if err := s.Swap(t.Context(), old, r); err != nil {
		t.Fatalf("swap %q from version %d to %d: %v", r.Name, old, r.Version, err)
	}
}

// conflict writes r over version old, fails the test unless that conflicts, and returns the stored
// record.
func conflict(t *testing.T, s dedupe.Store, old protocol.Version, r protocol.Record) protocol.Record {
	t.Helper()
	err := s.Swap(t.Context(), old, r)
	lost, ok := errors.AsType[*dedupe.ConflictError](err)
	if !ok {
		t.Fatalf("swap %q from version %d: got %v, want a conflict", r.Name, old, err)
	}
	return lost.Current
}

// stored returns the record of an id from a conflict, which every store can do, even if it is no
// [dedupe.Reader].
func stored(t *testing.T, s dedupe.Store, id string) protocol.Record {
	t.Helper()
	probe := protocol.Record{
		ID: id, Name: "probe", Format: protocol.Format, Status: protocol.Forgotten, Version: 1 << 62, ExpiresAt: now,
	}
	return conflict(t, s, 1<<61, probe)
}

// isStored fails the test unless want is stored.
func isStored(t *testing.T, s dedupe.Store, want protocol.Record) {
	t.Helper()
	if got := stored(t, s, want.ID); !Same(got, want) {
		t.Errorf("stored:\n got %+v\nwant %+v", got, want)
	}
}

// Same reports whether two records are equal for the contract: times as instants, a JSON result as
// a value with exact numbers, all other fields byte for byte. It ignores Listed, which belongs to
// the store.
func Same(a, b protocol.Record) bool {
	for _, times := range [][2]*time.Time{
		{&a.LeaseUntil, &b.LeaseUntil}, {&a.CreatedAt, &b.CreatedAt},
		{&a.CompletedAt, &b.CompletedAt}, {&a.ExpiresAt, &b.ExpiresAt},
	} {
		if !times[0].Equal(*times[1]) {
			return false
		}
		*times[0], *times[1] = time.Time{}, time.Time{}
	}
	a.Listed, b.Listed = false, false
	if a.ResultType == b.ResultType && sameResult(a.Result, b.Result, a.ResultType) {
		a.Result, b.Result = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func sameResult(a, b []byte, mediaType string) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if mediaType != "" {
		return false
	}
	av, aok := value(a)
	bv, bok := value(b)
	return aok && bok && reflect.DeepEqual(av, bv)
}

// value decodes JSON and keeps the digits of numbers.
func value(data []byte) (v any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return v, dec.Decode(&v) == nil && !dec.More()
}

// cancelled returns a cancelled context.
func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
