package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// attention are the statuses that are listed.
var attention = []protocol.Status{protocol.Retrying, protocol.Rejected, protocol.Unknown}

var listerContract = []contract{
	{"a name that needs attention is listed under its status, and no other name", func(t *testing.T, b *bench) {
		s, l := b.h.Open(t), b.lists(t)
		for i, status := range append([]protocol.Status{protocol.InProgress, protocol.Completed, protocol.Forgotten}, attention...) {
			r := l.record(fmt.Sprint("n", i))
			put(t, s, 0, r)
			r.Version, r.Status, r.Attempts, r.Error = 11, status, i, "oh dear"
			put(t, s, 10, r)
		}
		for i, status := range attention {
			l.want(t, s, status, 10, listing.Entry{
				Name: fmt.Sprint("n", i+3), Status: status, Version: 11, Attempts: i + 3, Error: "oh dear",
			})
		}
	}},
	{"a record that is created with such a status is listed too", func(t *testing.T, b *bench) {
		s, l := b.h.Open(t), b.lists(t)
		r := l.record("n")
		r.Status = protocol.Rejected
		put(t, s, 0, r)
		l.want(t, s, protocol.Rejected, 10, listing.Entry{Name: "n", Status: protocol.Rejected, Version: 10, Attempts: 1})
	}},
	{"the latest write is listed first, page by page, each name once", func(t *testing.T, b *bench) {
		s, l := b.h.Open(t), b.lists(t)
		var want []listing.Entry
		for i := range 25 {
			r := l.record(fmt.Sprintf("n %02d/#", i))
			put(t, s, 0, r)
			r.Version, r.Status = protocol.Version(100-i/2), protocol.Retrying // two of each
			put(t, s, 10, r)
			want = append(want, listing.Entry{Name: r.Name, Status: r.Status, Version: r.Version, Attempts: 1})
		}
		for i := 0; i+1 < len(want); i += 2 {
			want[i], want[i+1] = want[i+1], want[i] // entries of one version are in the order of their ids
		}
		for _, limit := range []int{1, 7, 25, 1000} {
			l.want(t, s, protocol.Retrying, limit, want...)
		}
	}},
	{"a name that goes on is listed no more", func(t *testing.T, b *bench) {
		s, l := b.h.Open(t), b.lists(t)
		for i, status := range []protocol.Status{protocol.InProgress, protocol.Completed, protocol.Forgotten} {
			for _, from := range attention {
				r := l.record(fmt.Sprint("n", i, from))
				r.Status = from
				put(t, s, 0, r)
				r = stored(t, s, r.ID) // the record as a worker reads it
				r.Version, r.Status, r.Attempts = 11, status, i
				put(t, s, 10, r)
				isStored(t, s, r)
				if status == protocol.InProgress { // complete it next
					r = stored(t, s, r.ID)
					r.Version, r.Status = 12, protocol.Completed
					put(t, s, 11, r)
					isStored(t, s, r)
				}
			}
		}
		for _, status := range attention {
			l.want(t, s, status, 10)
		}
	}},
	{"a name that needs attention in another way is listed under that", func(t *testing.T, b *bench) {
		s, l := b.h.Open(t), b.lists(t)
		r := l.record("n")
		put(t, s, 0, r)
		for i, status := range attention {
			r.Version, r.Status = r.Version+1, status
			put(t, s, r.Version-1, r)
			for j, other := range attention {
				var want []listing.Entry
				if i == j {
					want = []listing.Entry{{Name: "n", Status: status, Version: r.Version, Attempts: 1}}
				}
				l.want(t, s, other, 10, want...)
			}
			r = stored(t, s, r.ID)
		}
	}},
	{"a bad query is refused", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		for what, q := range map[string]listing.Query{
			"no scope": {Status: protocol.Retrying, Limit: 1}, "no limit": {Scope: "q", Status: protocol.Retrying},
			"a large limit": {Scope: "q", Status: protocol.Retrying, Limit: 1001}, "no status": {Scope: "q", Limit: 1},
			"a status that is not listed": {Scope: "q", Status: protocol.Completed, Limit: 1},
			"a cursor of no page":         {Scope: "q", Status: protocol.Retrying, Limit: 1, After: "then"},
		} {
			_, err := s.(listing.Lister).List(t.Context(), q)
			if err == nil || errors.Is(err, listing.ErrNoList) || errors.Is(err, listing.ErrAfter) != (q.After != "") {
				t.Errorf("%s: got %v", what, err)
			}
		}
	}},
}

// list is a scope that belongs to one test.
type list struct{ scope string }

func (b *bench) lists(t *testing.T) list {
	t.Helper()
	return list{b.record(0).Name}
}

func (l list) record(name string) protocol.Record {
	b := &bench{scope: l.scope}
	return b.named(name, 10)
}

// want reads a whole list, page by page, until it is as wanted: a list may lag behind the
// records.
func (l list) want(t *testing.T, s dedupe.Store, status protocol.Status, limit int, want ...listing.Entry) {
	t.Helper()
	const tries = 100
	var got []listing.Entry
	for range tries {
		got = nil
		q := listing.Query{Scope: l.scope, Status: status, Limit: limit}
		for {
			page, err := s.(listing.Lister).List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, page.Entries...); len(page.Entries) > limit || len(got) > len(want)+limit {
				t.Fatalf("a page of %d entries, %d in all", len(page.Entries), len(got))
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if reflect.DeepEqual(got, want) {
			return
		}
	}
	t.Errorf("%s, %d at a time:\n got %+v\nwant %+v", status, limit, got, want)
}
