package dedupe

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// cache remembers completed names, so that most duplicates need no call to the store. The least
// recently used entries go first when their total size reaches the bound. Entries expire after age,
// and with their record. A nil cache is valid and empty.
//
// Only completed names are stored, because that status is final. Only an operator's Forget can end
// it, and Forget therefore takes effect everywhere only after age.
type cache struct {
	age   time.Duration
	bytes int // bound on held
	begun time.Time

	mu      sync.Mutex
	entries *simplelru.LRU[string, cached] // guarded by mu; by name
	held    int                            // guarded by mu; total size of the entries
}

// cached is the part of a completed record that a replay needs.
type cached struct {
	result      []byte
	resultType  string
	fingerprint protocol.Fingerprint
	expiresAt   time.Time     // end of use by the clock of leases
	till        time.Duration // end of use by the monotonic clock, since cache.begun
}

// entryOverhead is the approximate size of an entry without its texts: the value, the links, and
// its place in the hash table.
const entryOverhead = 320

// size returns the approximate size in bytes of the entry for a name.
func (e *cached) size(name string) int {
	return entryOverhead + len(name) + len(e.resultType) + len(e.result)
}

func newCache(bytes int, age time.Duration) (*cache, error) {
	// The bound on the number of entries is never reached, because every entry is larger than its
	// overhead.
	entries, err := simplelru.NewLRU[string, cached](bytes/entryOverhead+1, nil)
	return &cache{age: age, bytes: bytes, begun: time.Now(), entries: entries}, err
}

// put stores a completed record. Its age counts from asked, the time when the store was asked: an
// operator who has forgotten the name after that relies on it.
func (c *cache) put(rec protocol.Record, asked, now time.Time) {
	if c == nil || rec.Status != protocol.Completed {
		return
	}
	left := min(c.age-time.Since(asked), rec.ExpiresAt.Sub(now))
	if left <= 0 {
		return
	}
	e := cached{
		// Clones, because the record's texts may share memory with the whole response.
		result: bytes.Clone(rec.Result), resultType: strings.Clone(rec.ResultType),
		fingerprint: rec.Fingerprint, expiresAt: now.Add(left), till: time.Since(c.begun) + left,
	}
	name := strings.Clone(rec.Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(name)
	c.entries.Add(name, e)
	for c.held += e.size(name); c.held > c.bytes; {
		oldest, value, _ := c.entries.RemoveOldest() // not empty, because held is positive
		c.held -= value.size(oldest)
	}
}

// get returns a completed record with the name, the result and the fingerprint. It returns false
// for another payload and for a redriven message, because the store must decide these.
func (c *cache) get(key Key, now time.Time) (protocol.Record, bool) {
	if c == nil || key.RedriveOrder {
		return protocol.Record{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries.Get(key.Name)
	switch {
	case !ok:
		return protocol.Record{}, false
	case time.Since(c.begun) >= e.till || !now.Before(e.expiresAt):
		c.drop(key.Name)
		return protocol.Record{}, false
	case e.fingerprint.Differs(key.Fingerprint):
		return protocol.Record{}, false // the store decides: its record may have expired
	}
	return protocol.Record{
		Name: key.Name, Status: protocol.Completed, Result: e.result, ResultType: e.resultType, Fingerprint: e.fingerprint,
	}, true
}

// has reports whether the name is likely to have a record.
func (c *cache) has(name string) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries.Contains(name)
}

// drop removes the name. The caller holds mu.
func (c *cache) drop(name string) {
	if e, ok := c.entries.Peek(name); ok {
		c.held -= e.size(name)
		c.entries.Remove(name)
	}
}
