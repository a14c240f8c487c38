package pinned_test

import (
	"context"
	"testing"

	"github.com/sqsonce/sqsonce/internal/pinned"
)

func TestFrom(t *testing.T) {
	t.Run("defaults", func(t *testing.T) {
		s := pinned.From(context.Background())
		s.Yield("ReceiveMessage")
		if x := s.Random(); x < 0 || x >= 1 {
			t.Errorf("random number %g, want 0 <= x < 1", x)
		}
	})
	t.Run("pinned", func(t *testing.T) {
		var yielded string
		ctx := pinned.With(context.Background(), pinned.Sources{
			Random: func() float64 { return 0.25 }, Yield: func(operation string) { yielded = operation },
		})
		s := pinned.From(context.WithoutCancel(ctx))
		s.Yield("ReceiveMessage")
		if x := s.Random(); x != 0.25 || yielded != "ReceiveMessage" {
			t.Errorf("random number %g and yield before %q, want the pinned ones", x, yielded)
		}
	})
}
