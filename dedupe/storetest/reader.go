package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

var readerContract = []contract{
	{"an unwritten name reads as the zero record", func(t *testing.T, b *bench) {
		if got := get(t, b.h.Open(t), b.record(1).ID); !Same(got, protocol.Record{}) {
			t.Errorf("got %+v", got)
		}
	}},
	{"a read sees a write, at once and in another process too", func(t *testing.T, b *bench) {
		here, there, r := b.h.Open(t), b.h.Open(t), full(b)
		for v := protocol.Version(10); v < 20; v++ {
			old := v - 1
			if v == 10 {
				old = 0
			}
			r.Version = v
			put(t, here, old, r)
			if got := get(t, there, r.ID); !Same(got, r) {
				t.Fatalf("read %+v, want %+v", got, r)
			}
		}
	}},
	{"an expired record reads as it is stored", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		r.ExpiresAt = time.Unix(1_000_000_000, 0)
		put(t, s, 0, r)
		if got := get(t, s, r.ID); !Same(got, r) {
			t.Errorf("read %+v, want %+v", got, r)
		}
	}},
	{"a result that is read is the reader's", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		r.Result, r.ResultType = []byte("as it was"), "text/plain"
		put(t, s, 0, r)
		copy(get(t, s, r.ID).Result, "scribbled")
		if got := get(t, s, r.ID); !Same(got, r) {
			t.Errorf("read %+v, want %+v", got, r)
		}
	}},
	{"many reads at once each get their own name's record, also several of one name", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		var records [30]protocol.Record
		for i := range records {
			records[i] = b.record(protocol.Version(10 + i))
			if i%3 != 0 { // every third record stays absent
				put(t, s, 0, records[i])
			}
		}
		var got [4 * len(records)]protocol.Record
		var errs [len(got)]error
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				got[i], errs[i] = s.(dedupe.Reader).Get(t.Context(), records[i%len(records)].ID)
			})
		}
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		for i, r := range got {
			want := records[i%len(records)]
			if i%len(records)%3 == 0 {
				want = protocol.Record{}
			}
			if !Same(r, want) {
				t.Errorf("read %d: %+v, want %+v", i, r, want)
			}
		}
	}},
	{"readers of one name at the same moment do not share its result", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		r.Result, r.ResultType = []byte{0xff, 'a', 's', ' ', 'i', 't'}, "application/octet-stream"
		put(t, s, 0, r)
		var got [8]protocol.Record
		var errs [len(got)]error
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() { got[i], errs[i] = s.(dedupe.Reader).Get(t.Context(), r.ID) })
		}
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if !Same(got[i], r) {
				t.Errorf("read %d: %+v, want %+v", i, got[i], r)
			}
			clear(got[i].Result)
		}
	}},
	{"under an ended context a read's error wraps the context's", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		if _, err := s.(dedupe.Reader).Get(cancelled(t), b.record(1).ID); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}},
}

func get(t *testing.T, s dedupe.Store, id string) protocol.Record {
	t.Helper()
	r, err := s.(dedupe.Reader).Get(t.Context(), id)
	if err != nil {
		t.Fatalf("read %q: %v", id, err)
	}
	return r
}
