package dedupe

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// cache remembers completed names, so that most duplicates cost no call. It is
// bounded by bytes: what was not used for the longest time goes first. What is
// older than age, or has expired, is not used. A nil cache remembers nothing.
//
// Only names that are COMPLETED go in: that is final but for an operator's
// Forget, which therefore takes effect everywhere only after age.
type cache struct {
	age   time.Duration
	bytes int // the bound
	begun time.Time

	mu      sync.Mutex
	entries *simplelru.LRU[string, cached] // guarded by mu; by name
	held    int                            // guarded by mu; what the entries take
}

// cached is what a replay needs of a completed record.
type cached struct {
	result      []byte
	resultType  string
	fingerprint protocol.Fingerprint
	expiresAt   time.Time     // by the clock of leases: not used from then on
	till        time.Duration // since the cache's beginning, by the monotonic clock: likewise
}

// entryOverhead is about what an entry takes besides its texts: the value, the
// links, and its place in the table.
const entryOverhead = 320

// size is about what the entry of a name takes, in bytes.
func (e *cached) size(name string) int {
	return entryOverhead + len(name) + len(e.resultType) + len(e.result)
}

func newCache(bytes int, age time.Duration) (*cache, error) {
	// Never full by number, as every entry takes more than its overhead.
	entries, err := simplelru.NewLRU[string, cached](bytes/entryOverhead+1, nil)
	return &cache{age: age, bytes: bytes, begun: time.Now(), entries: entries}, err
}

// put remembers a completed record. The store was asked for it at a time, and its age
// counts from then: whoever has made it forget the name since counts on that.
func (c *cache) put(rec protocol.Record, asked, now time.Time) {
	if c == nil || rec.Status != protocol.Completed {
		return
	}
	left := min(c.age-time.Since(asked), rec.ExpiresAt.Sub(now))
	if left <= 0 {
		return
	}
	e := cached{
		// Of their own: the record's may be parts of a larger text, of all that came with it.
		result: bytes.Clone(rec.Result), resultType: strings.Clone(rec.ResultType),
		fingerprint: rec.Fingerprint, expiresAt: now.Add(left), till: time.Since(c.begun) + left,
	}
	name := strings.Clone(rec.Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(name)
	c.entries.Add(name, e)
	for c.held += e.size(name); c.held > c.bytes; {
		oldest, value, _ := c.entries.RemoveOldest() // there is one: something is held
		c.held -= value.size(oldest)
	}
}

// get returns the outcome of key's name as a record with a result and little else.
// There is none if the payload is another one, or if the message was redriven: the
// record must know of that.
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
		return protocol.Record{}, false // the store's answer names the mismatch, and may have expired
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

// drop forgets the name. The caller holds mu.
func (c *cache) drop(name string) {
	if e, ok := c.entries.Peek(name); ok {
		c.held -= e.size(name)
		c.entries.Remove(name)
	}
}
