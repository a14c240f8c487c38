// Package storetest is the contract of a [dedupe.Store] as a test suite. Every
// store runs it; one that passes can be put under a guard.
//
// What is optional ([dedupe.Bounded], [dedupe.Reader], [dedupe.Committer]) is tested where the
// store implements it.
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
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Harness opens the kind of store under test.
type Harness struct {
	// Open returns a store. Every call opens the same records, as a second
	// process would; a store that lives in memory may return itself again. What
	// has to be closed is closed by t's cleanup. Required.
	Open func(t *testing.T) dedupe.Store

	// Silent opens a store of the same kind whose calls nothing answers: a server
	// that accepts requests and is silent. It is called in a [synctest] bubble.
	// Required for a store that is [dedupe.Bounded].
	Silent func(t *testing.T) dedupe.Store

	// Effects makes effects for a store that is a [dedupe.Committer]. Required
	// then.
	Effects Effects
}

// Effects are a handler's writes as the store under test takes them, on
// counters that it keeps beside its records. A counter that nobody has written
// stands at 0; keys are new ones of the test's choice.
type Effects struct {
	// Increment returns an effect that adds 1 to a counter.
	Increment func(key string) any
	// Require returns an effect that fails unless a counter stands at want, which
	// is at least 1.
	Require func(key string, want int) any
	// Count returns where a counter stands.
	Count func(t *testing.T, key string) int
}

// contract is one sentence and its test.
type contract struct {
	sentence string
	check    func(*testing.T, *bench)
}

// Run runs the contract, one sub-test for every sentence.
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
	if _, ok := s.(dedupe.Lister); ok {
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

// bench is what the sub-tests share: the store's kind, and a scope that keeps
// this run's records apart from all others.
type bench struct {
	h     Harness
	scope string
}

// now is the time at which the sample records are written. Records carry
// milliseconds.
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

// put writes r over old, which must succeed.
func put(t *testing.T, s dedupe.Store, old protocol.Version, r protocol.Record) {
	t.Helper()
	if err := s.Swap(t.Context(), old, r); err != nil {
		t.Fatalf("swap %q from version %d to %d: %v", r.Name, old, r.Version, err)
	}
}

// conflict writes r over old, which must lose, and returns the stored record.
func conflict(t *testing.T, s dedupe.Store, old protocol.Version, r protocol.Record) protocol.Record {
	t.Helper()
	err := s.Swap(t.Context(), old, r)
	lost, ok := errors.AsType[*dedupe.ConflictError](err)
	if !ok {
		t.Fatalf("swap %q from version %d: got %v, want a conflict", r.Name, old, err)
	}
	return lost.Current
}

// stored returns the record of an id by losing against it: what every store
// can do, reader or not.
func stored(t *testing.T, s dedupe.Store, id string) protocol.Record {
	t.Helper()
	probe := protocol.Record{
		ID: id, Name: "probe", Format: protocol.Format, Status: protocol.Forgotten, Version: 1 << 62, ExpiresAt: now,
	}
	return conflict(t, s, 1<<61, probe)
}

// isStored fails the test unless want is what is stored of its id.
func isStored(t *testing.T, s dedupe.Store, want protocol.Record) {
	t.Helper()
	if got := stored(t, s, want.ID); !Same(got, want) {
		t.Errorf("stored:\n got %+v\nwant %+v", got, want)
	}
}

// Same reports whether two records are equal as far as a store must keep them:
// times as instants, a JSON result as a value whose numbers are exact, all else
// to the byte. Whether a record is listed is the store's own affair.
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

// value decodes JSON without touching its numbers.
func value(data []byte) (v any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return v, dec.Decode(&v) == nil && !dec.More()
}

// cancelled returns a context that has ended.
func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
