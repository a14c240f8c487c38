package dedupe

import (
	"time"

	"github.com/maypok86/otter/v2"
)

// cache remembers completed names, so that most duplicates cost no call. It is
// bounded by bytes, and what is older than age, or has expired, is not used. A
// nil cache remembers nothing.
//
// Only names that are COMPLETED go in: that is final but for an operator's
// Forget, which therefore takes effect everywhere only after age.
type cache struct {
	age     time.Duration
	entries *otter.Cache[string, cached]
}

type cached struct {
	rec  Record
	till time.Time // monotonic: not used from then on
}

// entryOverhead is about what an entry takes besides its texts: the record, the
// node, and its place in the table.
const entryOverhead = 512

func newCache(bytes int, age time.Duration) (*cache, error) {
	// No expiration by the library: that would take a goroutine that nobody
	// joins. What is too old is dropped when it is met, or evicted.
	entries, err := otter.New(&otter.Options[string, cached]{
		MaximumWeight: uint64(bytes),
		Weigher: func(name string, c cached) uint32 {
			r := c.rec
			return uint32(entryOverhead + len(name) + len(r.ID) + len(r.Name) + len(r.Result) +
				len(r.ResultType) + len(r.MessageID) + len(r.ReopenedBy))
		},
		Executor: func(fn func()) { fn() },
	})
	return &cache{age: age, entries: entries}, err
}

// put remembers a completed record.
func (c *cache) put(rec Record, now time.Time) {
	if c == nil || rec.Status != Completed {
		return
	}
	if left := min(c.age, rec.ExpiresAt.Sub(now)); left > 0 {
		c.entries.Set(rec.Name, cached{rec, time.Now().Add(left)})
	}
}

// get returns the completed record of key's name, unless its payload is another
// one, or key is an order to try again, of which the record must know.
func (c *cache) get(key Key, now time.Time) (Record, bool) {
	if c == nil || key.RedriveOrder {
		return Record{}, false
	}
	e, ok := c.entries.GetIfPresent(key.Name)
	switch {
	case !ok:
		return Record{}, false
	case !time.Now().Before(e.till) || !now.Before(e.rec.ExpiresAt):
		c.entries.Invalidate(key.Name)
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
	_, ok := c.entries.GetIfPresent(name)
	return ok
}
