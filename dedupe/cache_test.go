package dedupe

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func recordOf(name string, now time.Time) protocol.Record {
	return protocol.Record{Status: protocol.Completed, ID: protocol.RecordID("work", name), Name: name, Result: []byte(`{}`), ExpiresAt: now.Add(time.Hour)}
}

func cacheOf(t *testing.T, bytes int) *cache {
	t.Helper()
	c, err := newCache(bytes, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheCacheDropsWhatWasNotUsedForLongest(t *testing.T) {
	now := time.Now()
	first := pack(recordOf("n0", now), 0)
	c := cacheOf(t, 3*first.size())
	for _, name := range []string{"n0", "n1", "n2", "n2", "n2"} { // what is put again counts once
		c.put(recordOf(name, now), time.Now(), now)
	}
	for _, name := range []string{"n1", "n2", "n0"} {
		if _, ok := c.get(Key{Name: name}, now); !ok {
			t.Errorf("%s is gone, with room for three", name)
		}
	}
	c.put(recordOf("n3", now), time.Now(), now)
	for name, want := range map[string]bool{"n0": true, "n1": false, "n2": true, "n3": true} {
		if got := c.has(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if _, ok := c.get(Key{Name: "n2"}, now.Add(2*time.Hour)); ok || c.has("n2") {
		t.Error("n2 is there after its record has expired")
	}
	if c.held != 2*first.size() {
		t.Errorf("%d bytes are held, want those of two", c.held)
	}
	large := recordOf("large", now)
	large.Result = make([]byte, 3*first.size())
	c.put(large, time.Now(), now)
	if c.held != 0 || c.entries.Len() != 0 {
		t.Errorf("%d bytes are held in %d entries after one that is larger than the cache", c.held, c.entries.Len())
	}
}

// A record comes back from the cache as it went in.
func TestACachedRecordIsTheRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(what string) time.Time {
			if rapid.Bool().Draw(t, "no time "+what) {
				return time.Time{}
			}
			return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, what)).UTC()
		}
		text := func(what string) string { return rapid.String().Draw(t, what) }
		want := protocol.Record{
			Status: protocol.Completed, ID: text("id"), Name: text("name"), Format: rapid.Int().Draw(t, "format"), Attempts: rapid.Int().Draw(t, "attempts"),
			Version: protocol.Version(rapid.Int64().Draw(t, "version")), Fence: protocol.Version(rapid.Int64().Draw(t, "fence")),
			Result: rapid.SliceOf(rapid.Byte()).Draw(t, "result"), ResultType: text("type"), Error: text("error"),
			MessageID: text("message"), ReopenedBy: text("reopened by"),
			CreatedAt: at("created"), CompletedAt: at("completed"), ExpiresAt: at("expires"),
		}
		copy(want.Owner[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "owner"))
		copy(want.Fingerprint[:], rapid.SliceOfN(rapid.Byte(), 37, 37).Draw(t, "fingerprint"))
		e := pack(want, 0)
		if got := e.record(); !reflect.DeepEqual(got, want) || e.name() != want.Name {
			t.Fatalf("%+v\nwent in as %+v", got, want)
		}
	})
	fields := 0
	for f := range reflect.TypeFor[protocol.Record]().Fields() {
		if f.Name != "LeaseUntil" { // zero unless the name is in progress
			fields++
		}
	}
	if fields != 17 {
		t.Errorf("a record has %d fields; does the cache keep all of them?", fields)
	}
}

// The bound is one of memory: a record counts for no less than it takes, also
// when its texts came as parts of a larger one.
func TestTheCacheTakesNoMoreThanItCounts(t *testing.T) {
	const n = 20_000
	now := time.Now()
	c := cacheOf(t, 1<<30)
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	for i := range n {
		answer := strings.Repeat("x", 4096) + fmt.Sprintf("order-%d", i) + "message-id"
		rec := recordOf(answer[4096:len(answer)-len("message-id")], now)
		rec.MessageID, rec.ReopenedBy = answer[len(answer)-len("message-id"):], answer[:1]
		c.put(rec, time.Now(), now)
	}
	took := heap() - before
	if c.entries.Len() != n || took > c.held {
		t.Errorf("%d entries of %d bytes take %d", c.entries.Len(), c.held, took)
	}
	t.Logf("an entry takes %d bytes of %d counted, %d of them the record", took/n, c.held/n, unsafe.Sizeof(cached{}))
	runtime.KeepAlive(c)
}
