package operate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

const scope = "orders"

var (
	t0    = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	terms = protocol.Terms{Lease: 30 * time.Second, Skew: 2 * time.Second, Window: 720 * time.Hour, MaxAttempts: 5}
	owner = protocol.Token{7}
)

// bench is a store with an operator, whose clock stands an hour after t0.
type bench struct {
	t        *testing.T
	store    *memstore.Store
	operator *dedupe.Operator
	now      time.Time
	log      bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, store: memstore.New(), now: t0.Add(time.Hour)}
	var err error
	b.operator, err = dedupe.NewOperator(b.store, dedupe.Config{Scope: scope, Now: func() time.Time { return b.now }})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// put lets events happen to a name after a claim at a time.
func (b *bench) put(name string, at time.Time, then ...func(time.Time) protocol.Event) {
	b.t.Helper()
	events := []protocol.Event{protocol.Claim{Now: at, Owner: owner, Terms: terms, ID: protocol.RecordID(scope, name), Name: name, MessageID: "m"}}
	for _, e := range then {
		events = append(events, e(at))
	}
	var r protocol.Record
	for _, e := range events {
		next, verdict := protocol.Step(r, e)
		if verdict != protocol.VerdictApply {
			b.t.Fatalf("%T has verdict %d", e, verdict)
		}
		if err := b.store.Swap(b.t.Context(), r.Version, next); err != nil {
			b.t.Fatal(err)
		}
		r = next
	}
}

func fails(kind protocol.FailKind) func(time.Time) protocol.Event {
	return func(at time.Time) protocol.Event {
		return protocol.Fail{Now: at, Owner: owner, Terms: terms, Kind: kind, Error: "card declined"}
	}
}

func completes(at time.Time) protocol.Event {
	return protocol.Complete{Now: at, Owner: owner, Terms: terms, Result: []byte(`{"x":1}`)}
}

// fill puts names of each status, one a minute from t0 on.
func (b *bench) fill(each int) {
	for i := range each {
		at := t0.Add(time.Duration(i) * time.Minute)
		b.put(fmt.Sprintf("unknown-%03d", i), at, fails(protocol.FailUnknown))
		b.put(fmt.Sprintf("rejected-%03d", i), at, fails(protocol.FailPermanent))
		b.put(fmt.Sprintf("retrying-%03d", i), at, fails(protocol.FailRetryable))
		b.put(fmt.Sprintf("done-%03d", i), at, completes)
	}
}

// all are the names of a list, page by page.
func (b *bench) all(q Query) (names []string, pages int) {
	b.t.Helper()
	q.Scope = scope
	for first := true; first || q.After != ""; first = false {
		page, err := List(b.t.Context(), b.store, q, b.now)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(page.Entries) > q.Limit || pages > 100 {
			b.t.Fatalf("page %d has %d entries", pages, len(page.Entries))
		}
		for _, e := range page.Entries {
			names = append(names, e.Name)
		}
		q.After = page.Next
		pages++
	}
	return names, pages
}

func TestList(t *testing.T) {
	t.Run("pages", testListPages)
	t.Run("filters", testListFilters)
	t.Run("bad query", testListBadQuery)
	t.Run("no list", testListNone)
}

func testListPages(t *testing.T) {
	b := newBench(t)
	b.fill(25)
	for _, limit := range []int{1, 7, 25, 1000} {
		got, _ := b.all(Query{Limit: limit})
		if len(got) != 75 || got[0] != "unknown-024" || got[24] != "unknown-000" || got[25] != "rejected-024" || got[74] != "retrying-000" {
			t.Errorf("%d at a time: %d names, %q", limit, len(got), got)
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(got))); len(unique) != 75 {
			t.Errorf("%d at a time: %d different names", limit, len(unique))
		}
	}
}

func testListFilters(t *testing.T) {
	b := newBench(t)
	b.fill(25)
	got, _ := b.all(Query{Limit: 10, Statuses: ParseStatuses("retrying, Unknown"), Prefix: "un"})
	if len(got) != 25 || got[0] != "unknown-024" {
		t.Errorf("by prefix: %q", got)
	}
	got, _ = b.all(Query{Limit: 10, Statuses: []protocol.Status{protocol.Rejected}, Older: 50 * time.Minute})
	if len(got) != 10 || got[0] != "rejected-009" {
		t.Errorf("older than 50 minutes: %q", got)
	}
	if got, pages := b.all(Query{Limit: 1, Prefix: "nothing"}); len(got) != 0 || pages < 2 {
		t.Errorf("a prefix of none finds %q on %d pages", got, pages)
	}
}

func testListBadQuery(t *testing.T) {
	b := newBench(t)
	b.fill(1)
	for field, q := range map[string]Query{
		"limit": {}, "limit: 1001": {Limit: 1001}, "older": {Limit: 1, Older: -1}, "status": {Limit: 1, Statuses: ParseStatuses("completed")},
		"after": {Limit: 1, After: "x"}, "after: ": {Limit: 1, After: "REJECTED x"},
	} {
		q.Scope = scope
		_, err := List(t.Context(), b.store, q, b.now)
		if bad, ok := errors.AsType[*QueryError](err); !ok || !strings.HasPrefix(bad.Error(), field) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func testListNone(t *testing.T) {
	for _, lister := range []listing.Lister{nil, noList{}} {
		if _, err := List(t.Context(), lister, Query{Scope: scope, Limit: 1}, t0); !errors.Is(err, listing.ErrNoList) {
			t.Errorf("%v: %v", lister, err)
		}
	}
}

type noList struct{}

func (noList) List(context.Context, listing.Query) (listing.Page, error) {
	return listing.Page{}, fmt.Errorf("table: %w", listing.ErrNoList)
}

func TestDo(t *testing.T) {
	t.Run("many names", testDoMany)
	t.Run("verbs that fit the record", testDoFits)
	t.Run("recorded and logged", testDoRecorded)
}

func (b *bench) do(o Order) []Outcome {
	b.t.Helper()
	return Do(b.t.Context(), b.operator, o, func() time.Time { return b.now }, slog.New(slog.NewTextHandler(&b.log, nil)))
}

func testDoMany(t *testing.T) {
	b := newBench(t)
	b.fill(50)
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("unknown-%03d", i))
	}
	for _, out := range b.do(Order{Verb: Completed, Names: names, Result: []byte(`{"by":"hand"}`), Preview: true}) {
		if !out.Done || out.Record.Status != protocol.Unknown {
			t.Fatalf("preview says %+v", out)
		}
	}
	if got, _ := b.all(Query{Limit: 1000, Statuses: []protocol.Status{protocol.Unknown}}); len(got) != 50 {
		t.Fatalf("after a preview %d are UNKNOWN", len(got))
	}
	for i, out := range b.do(Order{Verb: Completed, Names: append(names, "rejected-000"), Result: []byte(`{"by":"hand"}`)}) {
		if i == 50 {
			if out.Done || !strings.Contains(out.Why, "only an UNKNOWN name") {
				t.Errorf("outcome is %+v", out)
			}
		} else if !out.Done || out.Name != names[i] || out.Record.Status != protocol.Completed || string(out.Record.Result) != `{"by":"hand"}` {
			t.Fatalf("outcome is %+v", out)
		}
	}
	if got, _ := b.all(Query{Limit: 1000, Statuses: []protocol.Status{protocol.Unknown}}); len(got) != 0 {
		t.Errorf("%d are still UNKNOWN", len(got))
	}
}

// Each verb, on a name of each status, by itself and as a preview, which says the same.
func testDoFits(t *testing.T) {
	for order, tc := range map[string]struct {
		order Order
		fits  string
	}{
		"retry":            {Order{Verb: Retry}, "unknown rejected retrying vanished"},
		"completed":        {Order{Verb: Completed}, "unknown done vanished"},
		"with a result":    {Order{Verb: Completed, Result: []byte(`{"x":2}`)}, "unknown vanished"},
		"with that result": {Order{Verb: Completed, Result: []byte(`{"x": 1.0}`)}, "unknown done vanished"},
		"forget":           {Order{Verb: Forget}, "unknown rejected retrying done vanished"},
		"import":           {Order{Verb: Import}, "never"},
		"forget by force":  {Order{Verb: Forget, Force: true}, "unknown rejected retrying done vanished running"},
	} {
		for _, name := range []string{"unknown", "rejected", "retrying", "done", "vanished", "running", "never"} {
			for _, preview := range []bool{true, false} {
				b := newBench(t)
				b.put("unknown", t0, fails(protocol.FailUnknown))
				b.put("rejected", t0, fails(protocol.FailPermanent))
				b.put("retrying", t0, fails(protocol.FailRetryable))
				b.put("done", t0, completes)
				b.put("vanished", t0)
				b.put("running", b.now)
				o := tc.order
				o.Names, o.Preview = []string{name}, preview
				out := b.do(o)[0]
				want := slices.Contains(strings.Fields(tc.fits), name)
				if out.Done != want || (out.Why == "") != want || o.Verb != Import && (out.Err == nil) != want {
					t.Errorf("%s %s, preview %t: %+v", order, name, preview, out)
				}
			}
		}
	}
	if out := newBench(t).do(Order{Verb: "delete", Names: []string{"a"}})[0]; out.Done {
		t.Errorf("a verb that there is not: %+v", out)
	}
}

func testDoRecorded(t *testing.T) {
	b := newBench(t)
	b.put("a", t0, fails(protocol.FailUnknown))
	b.do(Order{Verb: Retry, Names: []string{"a", "never"}, By: "alice"})
	r, err := b.operator.Lookup(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if verb, by, at := r.LastVerb(); verb != "reopen" || by != "alice" || !at.Equal(b.now) {
		t.Errorf("the record says %q by %q at %s", verb, by, at)
	}
	for _, want := range []string{"level=INFO", "verb=retry", "name=a", "by=alice", "level=WARN", "name=never", "nothing is known of it"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &b.log)
		}
	}
}
