package dedupe

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

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

func TestCache(t *testing.T) {
	t.Run("cache drops the least recently used", testCacheDropsTheLeastRecentlyUsed)
	t.Run("cache takes no more than it counts", testTheCacheTakesNoMoreThanItCounts)
}

func testCacheDropsTheLeastRecentlyUsed(t *testing.T) {
	now := time.Now()
	first := &cached{result: recordOf("n0", now).Result}
	size := first.size("n0")
	c := cacheOf(t, 3*size)
	for _, name := range []string{"n0", "n1", "n2", "n2", "n2"} { // a repeated entry counts once
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
	if c.held != 2*size {
		t.Errorf("%d bytes are held, want those of two", c.held)
	}
	large := recordOf("large", now)
	large.Result = make([]byte, 3*size)
	c.put(large, time.Now(), now)
	if c.held != 0 || c.entries.Len() != 0 {
		t.Errorf("%d bytes are held in %d entries after an entry larger than the cache", c.held, c.entries.Len())
	}
}

// The bound is one of memory: a record counts for no less than it takes, also
// when its texts came as parts of a larger one.
func testTheCacheTakesNoMoreThanItCounts(t *testing.T) {
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
		rec.ResultType, rec.MessageID = answer[:1], answer[len(answer)-len("message-id"):]
		rec.Result = []byte(answer)[:2:2]
		c.put(rec, time.Now(), now)
	}
	took := heap() - before
	if c.entries.Len() != n || took > c.held {
		t.Errorf("%d entries of %d bytes take %d", c.entries.Len(), c.held, took)
	}
	t.Logf("an entry takes %d bytes of %d counted, %d of them the value", took/n, c.held/n, unsafe.Sizeof(cached{}))
	runtime.KeepAlive(c)
}
