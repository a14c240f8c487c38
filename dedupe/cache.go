package dedupe

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
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

	mu      sync.Mutex
	entries *simplelru.LRU[string, cached] // guarded by mu; by name
	held    int                            // guarded by mu; what the entries take
}

type cached struct {
	rec  Record
	till time.Time // monotonic: not used from then on
}

// entryOverhead is about what an entry takes besides its texts: the record, the
// links, and its place in the table.
const entryOverhead = 576

// size is about what the entry takes, in bytes.
func (e *cached) size() int {
	r := &e.rec
	return entryOverhead + len(r.ID) + len(r.Name) + len(r.Result) + len(r.ResultType) + len(r.Error) + len(r.MessageID) + len(r.ReopenedBy)
}

// gather copies the texts into one: those of a message may be parts of a larger
// one, of all that came with it, and each by itself is one more for the garbage
// collector to look at.
func (e *cached) gather() {
	r := &e.rec
	all := r.ID + r.Name + r.ResultType + r.Error + r.MessageID + r.ReopenedBy
	for _, text := range []*string{&r.ID, &r.Name, &r.ResultType, &r.Error, &r.MessageID, &r.ReopenedBy} {
		*text, all = all[:len(*text)], all[len(*text):]
	}
}

func newCache(bytes int, age time.Duration) (*cache, error) {
	// Never full by number, as every entry takes more than its overhead.
	entries, err := simplelru.NewLRU[string, cached](bytes/entryOverhead+1, nil)
	return &cache{age: age, bytes: bytes, entries: entries}, err
}

// put remembers a completed record.
func (c *cache) put(rec Record, now time.Time) {
	if c == nil || rec.Status != Completed {
		return
	}
	left := min(c.age, rec.ExpiresAt.Sub(now))
	if left <= 0 {
		return
	}
	e := cached{rec, time.Now().Add(left)}
	e.gather()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(e.rec.Name)
	c.entries.Add(e.rec.Name, e)
	for c.held += e.size(); c.held > c.bytes; {
		_, oldest, _ := c.entries.RemoveOldest() // there is one: something is held
		c.held -= oldest.size()
	}
}

// get returns the completed record of key's name, unless its payload is another
// one, or key is an order to try again, of which the record must know.
func (c *cache) get(key Key, now time.Time) (Record, bool) {
	if c == nil || key.RedriveOrder {
		return Record{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries.Get(key.Name)
	switch {
	case !ok:
		return Record{}, false
	case !time.Now().Before(e.till) || !now.Before(e.rec.ExpiresAt):
		c.drop(key.Name)
		return Record{}, false
	case e.rec.Fingerprint.Differs(key.Fingerprint):
		return Record{}, false // the store's answer names the mismatch, and may have expired
	}
	return e.rec, true
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
		c.held -= e.size()
		c.entries.Remove(name)
	}
}
