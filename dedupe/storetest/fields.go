package storetest

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// full returns a record of a new name with every field set, at version 10.
func full(b *bench) protocol.Record {
	r := b.record(10)
	r.Fence = 9
	for i := range r.Owner {
		r.Owner[i] = byte(255 - i)
	}
	for i := range r.Fingerprint {
		r.Fingerprint[i] = byte(i + 1)
	}
	r.Attempts = 3
	r.Result = []byte(`{"order":17}`)
	r.Error = "earlier: connection reset"
	r.MessageID = "059f36b4-87a3-44ab-83d2-661975830a7d"
	r.Operated = protocol.Operated("reopen", "alice", time.UnixMilli(1))
	r.ReopenedBy = "b7d1a1f0-0000-4000-8000-000000000000"
	r.CompletedAt = now.Add(time.Second)
	return r
}

var fieldContract = []contract{
	{"every field comes back", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), full(b)
		put(t, s, 0, r)
		isStored(t, s, r)
		r.Version = 11
		put(t, s, 10, r)
		isStored(t, s, r)
	}},
	{"an unset field comes back unset", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		full := b.record(1)
		r := protocol.Record{
			ID: full.ID, Name: full.Name, Format: protocol.Format, Status: protocol.Retrying, Version: 1, ExpiresAt: full.ExpiresAt,
		}
		put(t, s, 0, r)
		isStored(t, s, r)
		r.Version = 2 // a store may handle inserts and updates differently
		put(t, s, 1, r)
		isStored(t, s, r)
	}},
	{"every status comes back", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		for _, status := range []protocol.Status{
			protocol.InProgress, protocol.Completed, protocol.Retrying, protocol.Rejected, protocol.Unknown, protocol.Forgotten,
		} {
			r := b.record(10)
			r.Status = status
			put(t, s, 0, r)
			isStored(t, s, r)
		}
	}},
	{"numbers come back to the last digit", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(math.MaxInt64)
		r.Fence, r.Attempts = math.MaxInt64-1, math.MaxInt32
		put(t, s, 0, r)
		isStoredBelow(t, s, r)
	}},
	{"times come back to the millisecond, the expiry to the second", func(t *testing.T, b *bench) {
		s, r := b.h.Open(t), b.record(10)
		r.LeaseUntil = time.UnixMilli(1_790_000_000_999)
		r.CreatedAt = time.UnixMilli(1)
		r.CompletedAt = time.UnixMilli(253_402_300_799_999) // the end of the year 9999
		r.ExpiresAt = time.Unix(253_402_300_799, 0)
		put(t, s, 0, r)
		isStored(t, s, r)
	}},
	{"names of any script, quotes and separators are names of their own", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		names := []string{
			"order-17", "ORDER-17", "order-17 ", " order-17", "a#b", "a'b", `a"b`, "a''b", `a\b`, "a?b", "a%b", "{}",
			"'; DROP", "Žluťoučký kůň", "注文", "טלפון", "👩‍👩‍👧", "caf\u00e9", "cafe\u0301", "\u00a0", "\ufeffx", "\ufffd",
			strings.Repeat("n", protocol.MaxNameBytes), strings.Repeat("語", protocol.MaxNameBytes/3),
		}
		for i, name := range names {
			put(t, s, 0, b.named(name, protocol.Version(i+1)))
		}
		for i, name := range names {
			isStored(t, s, b.named(name, protocol.Version(i+1)))
		}
	}},
	{"the text of an error comes back to the byte", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		for _, text := range []string{
			"two\nlines\tand\ttabs", `say "no"`, "NUL \x00 inside", "日本語", strings.Repeat("x", protocol.MaxErrorBytes),
		} {
			r := b.record(10)
			r.Status, r.Error = protocol.Rejected, text
			put(t, s, 0, r)
			isStored(t, s, r)
		}
	}},
}

// isStoredBelow is isStored for the highest version, which the probe of isStored cannot exceed.
func isStoredBelow(t *testing.T, s dedupe.Store, want protocol.Record) {
	t.Helper()
	probe := want
	if got := conflict(t, s, want.Version-1, probe); !Same(got, want) {
		t.Errorf("stored:\n got %+v\nwant %+v", got, want)
	}
}

var resultContract = []contract{
	{"a JSON result comes back as the same value", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		var r protocol.Record
		for i, result := range []string{
			`null`, `true`, `false`, `0`, `-1`, `17`, `0.1`, `-273.15`, `""`, `"text"`, `"é ü 語 👍"`, `[]`, `{}`,
			`[null,true,0,"",[],{}]`, `{"a":{"b":[1,{"c":null}]}}`, `{"":1}`, `{"a":1,"a":2}`,
			`12345678901234567890`, `123456789012345678901234567890.12345678`, `1e400`, `1E2`, `1.0`, `-0`, `0.0000001`,
			`1234567890123456789012345678901234567890`, `"\u0000"`, `"\ud800"`, `"\u2028<&>"`, ` { "b" : 1 , "a" : 2 } `,
			strings.Repeat("[", 60) + strings.Repeat("]", 60),
			`[` + strings.Repeat(`1,`, 2_000) + `1]`,
		} {
			// In turn on a new name, and over the previous result.
			old := r.Version
			if i%2 == 0 {
				r, old = b.record(10), 0
			}
			r.Version++
			r.Status, r.Result = protocol.Completed, []byte(result)
			put(t, s, old, r)
			if isStored(t, s, r); t.Failed() {
				t.Fatalf("the result was %.100s", result)
			}
		}
	}},
	{"a result of another type comes back to the byte", func(t *testing.T, b *bench) {
		s := b.h.Open(t)
		for mediaType, data := range map[string][]byte{
			"text/plain":               []byte("plain"),
			"text/html; charset=utf-8": []byte("<p>é"),
			"image/png":                {0x89, 'P', 'N', 'G', 0, 0xff, 0xfe},
			"text/empty":               nil,
			"json":                     []byte(`{"a":1}`),
			"=json":                    []byte(`{"a":1}`),
			protocol.OmittedType:       []byte(`{"omitted":"x"}`),
		} {
			r := b.record(10)
			r.Status, r.Result, r.ResultType = protocol.Completed, data, mediaType
			put(t, s, 0, r)
			isStored(t, s, r)
		}
	}},
	{"the largest result that a guard stores fits, of every kind", func(t *testing.T, b *bench) {
		const most = 300 << 10
		s := b.h.Open(t)
		for what, data := range map[string][]byte{
			"text":    []byte(`"` + strings.Repeat("x", most-2) + `"`),
			"numbers": []byte(`[` + strings.Repeat(`1,`, most/2-2) + `1]`),
			"objects": []byte(`[` + strings.Repeat(`{},`, most/3-2) + `{}]`),
			"opaque":  bytes.Repeat([]byte{0xff}, most),
		} {
			r := b.named(strings.Repeat("n", protocol.MaxNameBytes-len(what))+what, 10)
			r.Status, r.Result, r.Error = protocol.Completed, data, strings.Repeat("e", protocol.MaxErrorBytes)
			if what == "opaque" {
				r.ResultType = "application/octet-stream"
			}
			put(t, s, 0, r)
			if got := stored(t, s, r.ID); !Same(got, r) {
				t.Errorf("%s: %d bytes came back as %d, type %q", what, len(data), len(got.Result), got.ResultType)
			}
		}
	}},
}
