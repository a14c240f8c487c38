package sqsoncelambda

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/powertools"
)

// earlier is what another program knows of names.
type earlier struct{ result, held string }

func (e earlier) Earlier(_ context.Context, m sqsonce.Message) ([]byte, bool, error) {
	switch m.Body {
	case `{"name":"` + e.result + `"}`:
		return []byte(`"before"`), true, nil
	case `{"name":"` + e.held + `"}`:
		return nil, false, &powertools.InProgressError{Key: "k", Until: time.Now().Add(time.Minute), After: 15 * time.Second}
	}
	return nil, false, nil
}

func TestEarlier(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.cfg.Earlier = earlier{result: "a", held: "b"}
		b.send("", "a", "b", "c", "a", "b")
		equal(t, "failures", b.invoke(), []string{"b", "b"})
		equal(t, "runs", b.took(), []string{"c"})
		if set := b.visibilities(); len(set) != 2 || slices.Min(set) != 15 || slices.Max(set) != 15 {
			t.Errorf("visibility timeouts %v, want 15 s", set)
		}
		if r := b.record("a"); r.Status != protocol.Completed || string(r.Result) != `"before"` {
			t.Errorf("record %s with %s", r.Status, r.Result)
		}
		if r := b.record("b"); r.Status != protocol.Retrying || r.Attempts != 0 {
			t.Errorf("record %s with %d attempts", r.Status, r.Attempts)
		}
	})
}
