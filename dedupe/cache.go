package dedupe

import (
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

// cached is a completed record, packed: a [protocol.Record] has a dozen texts and times that
// each point somewhere, and the garbage collector follows them all.
type cached struct {
	text   string    // its texts, one after the other
	ends   [6]uint32 // where they end: ID, Name, ResultType, Error, MessageID, ReopenedBy
	result []byte

	format, attempts              int
	version, fence                protocol.Version
	created, completed, expiresAt int64 // milliseconds since 1970, as precise as a record's
	owner                         protocol.Token
	fingerprint                   protocol.Fingerprint

	till time.Duration // since the cache's beginning: not used from then on
}

// entryOverhead is about what an entry takes besides its texts: the record, the
// links, and its place in the table.
const entryOverhead = 384

// pack gathers the texts into one: those of a message may be parts of a larger
// one, of all that came with it.
func pack(r protocol.Record, till time.Duration) cached {
	e := cached{
		text:   r.ID + r.Name + r.ResultType + r.Error + r.MessageID + r.ReopenedBy,
		result: r.Result, format: r.Format, attempts: r.Attempts, version: r.Version, fence: r.Fence,
		created: r.CreatedAt.UnixMilli(), completed: r.CompletedAt.UnixMilli(), expiresAt: r.ExpiresAt.UnixMilli(),
		owner: r.Owner, fingerprint: r.Fingerprint, till: till,
	}
	end := 0
	for i, text := range [...]string{r.ID, r.Name, r.ResultType, r.Error, r.MessageID, r.ReopenedBy} {
		end += len(text)
		e.ends[i] = uint32(end)
	}
	return e
}

// record undoes pack.
func (e *cached) record() protocol.Record {
	return protocol.Record{
		ID: e.part(0), Name: e.part(1), ResultType: e.part(2), Error: e.part(3), MessageID: e.part(4), ReopenedBy: e.part(5),
		Status: protocol.Completed, Result: e.result, Format: e.format, Attempts: e.attempts, Version: e.version, Fence: e.fence,
		CreatedAt: time.UnixMilli(e.created).UTC(), CompletedAt: time.UnixMilli(e.completed).UTC(), ExpiresAt: time.UnixMilli(e.expiresAt).UTC(),
		Owner: e.owner, Fingerprint: e.fingerprint,
	}
}

func (e *cached) part(i int) string {
	start := uint32(0)
	if i > 0 {
		start = e.ends[i-1]
	}
	return e.text[start:e.ends[i]]
}

func (e *cached) name() string { return e.part(1) }

// size is about what the entry takes, in bytes.
func (e *cached) size() int { return entryOverhead + len(e.text) + len(e.result) }

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
	e := pack(rec, time.Since(c.begun)+left)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(rec.Name)
	c.entries.Add(e.name(), e)
	for c.held += e.size(); c.held > c.bytes; {
		_, oldest, _ := c.entries.RemoveOldest() // there is one: something is held
		c.held -= oldest.size()
	}
}

// get returns the completed record of key's name, unless its payload is another
// one, or key is an order to try again, of which the record must know.
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
	case time.Since(c.begun) >= e.till || now.UnixMilli() >= e.expiresAt:
		c.drop(key.Name)
		return protocol.Record{}, false
	case e.fingerprint.Differs(key.Fingerprint):
		return protocol.Record{}, false // the store's answer names the mismatch, and may have expired
	}
	return e.record(), true
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
