package dedupe_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
)

func TestResult(t *testing.T) {
	t.Run("recorded result that does not decode is an error", testARecordedResultThatDoesNotDecodeIsAnError)
	t.Run("omitted result is no error", testAnOmittedResultIsNoError)
}

// A release that decodes another type than the recorded one gets an error.
func testARecordedResultThatDoesNotDecodeIsAnError(t *testing.T) {
	type before struct{ Receipt int }
	type after struct{ Receipt string }
	ran := func(context.Context) (after, error) { t.Error("ran again"); return after{}, nil }
	for name, tc := range map[string]struct {
		record func(b *bench) error
	}{
		"another type": {func(b *bench) error {
			_, err := guardOf[before](t, b).Do(t.Context(), key, func(context.Context) (before, error) { return before{4711}, nil })
			return err
		}},
		"not JSON": {func(b *bench) error {
			_, err := guardOf[dedupe.Payload](t, b).Do(t.Context(), key, func(context.Context) (dedupe.Payload, error) {
				return dedupe.Payload{Data: []byte("4711"), Type: "text/plain"}, nil
			})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup()
			if err := tc.record(b); err != nil {
				t.Fatal(err)
			}
			g := guardOf[after](t, b)
			for range 2 { // by the store, then from memory
				res, err := g.Do(t.Context(), key, ran)
				if !errors.Is(err, dedupe.ErrResult) || !res.Replayed || res.Value != (after{}) {
					t.Errorf("got %+v, %v", res, err)
				}
			}
			handle := dedupe.Wrap(g, func(dedupe.Key) (dedupe.Key, error) { return key, nil },
				func(ctx context.Context, _ dedupe.Key) (after, error) { return ran(ctx) })
			if err := handle(t.Context(), key); err != nil {
				t.Errorf("a handler without a use for the value: %v", err)
			}
		})
	}
}

// An omitted result is no error.
func testAnOmittedResultIsNoError(t *testing.T) {
	b := setup()
	b.cfg.MaxResult = 10
	if _, err := b.guard(t).Do(t.Context(), key, returns("longer than ten bytes", nil)); err != nil {
		t.Fatal(err)
	}
	if res, err := b.guard(t).Do(t.Context(), key, returns("", nil)); err != nil || !res.Omitted {
		t.Errorf("got %+v, %v", res, err)
	}
}

func guardOf[R any](t *testing.T, b *bench) *dedupe.Guard[R] {
	t.Helper()
	g, err := dedupe.New[R](b.store, b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
