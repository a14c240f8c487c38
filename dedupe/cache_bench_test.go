package dedupe

import (
	"fmt"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// BenchmarkCache measures the cost of the cache per message: a look-up of an unknown name, and the
// insertion of its record. The cache is full, as after some ten thousand messages.
func BenchmarkCache(b *testing.B) {
	now := time.Now()
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("order-%d", i)
	}
	c, err := newCache(16<<20, time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	record := protocol.Record{Status: protocol.Completed, Result: []byte(`{"ok":true}`), MessageID: "c0ffee00-0000-0000-0000-000000000000", ExpiresAt: now.Add(time.Hour)}
	message := func(i int) {
		rec := record
		rec.Name = names[i%len(names)]
		rec.ID = protocol.RecordID("work", rec.Name)
		c.get(Key{Name: rec.Name}, now)
		c.put(rec, time.Now(), now)
	}
	for i := range names {
		message(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		message(i)
	}
}
