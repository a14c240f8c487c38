package dedupe_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

// counted is a store that counts reads and claims.
type counted struct {
	*memstore.Store
	reads, writes int
}

func (c *counted) Get(ctx context.Context, id string) (protocol.Record, error) {
	c.reads++
	return c.Store.Get(ctx, id)
}

func (c *counted) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	c.writes++
	return c.Store.Swap(ctx, old, next)
}

// A duplicate of work in progress looks again after 1, 2, 4, 8 and 16 seconds, by one
// read each, and is then deferred.
func TestADuplicateLooksAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		work  time.Duration
		last  bool // delivery
		waits []time.Duration
		told  time.Duration // of the deferral; 0: replayed
	}{
		"short work":          {2 * time.Second, false, []time.Duration{time.Second, 2 * time.Second}, 0},
		"longer":              {12 * time.Second, false, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}, 0},
		"long":                {time.Hour, false, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}, 28 * time.Second},
		"on the last receive": {time.Hour, true, nil, 32 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() {
					_, _ = b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
						time.Sleep(tc.work)
						return "done", nil
					})
				})
				synctest.Wait()
				store := &counted{Store: b.store.Store}
				g, err := dedupe.New[string](store, b.cfg)
				if err != nil {
					t.Fatal(err)
				}
				duplicate := dedupe.Key{Name: key.Name, MessageID: "m2", LastDelivery: tc.last}
				var waits []time.Duration
				for {
					res, err := g.Do(t.Context(), duplicate, returns("", nil))
					again, _ := errors.AsType[failure.RetryAfter](err)
					if failure.Is(err, failure.Snoozed.Snoozed) {
						if !errors.As(err, new(*dedupe.InProgressError)) {
							t.Errorf("%v is no InProgressError", err)
						}
						waits = append(waits, again.RetryAfter())
						time.Sleep(again.RetryAfter())
						continue
					}
					if tc.told == 0 && (err != nil || res.Value != "done") {
						t.Errorf("got %+v, %v", res, err)
					}
					if tc.told > 0 && (again == nil || again.RetryAfter() > 32*time.Second || again.RetryAfter() < tc.told-5*time.Second) {
						t.Errorf("deferred by %v, want about %s", err, tc.told)
					}
					break
				}
				if !slices.Equal(waits, tc.waits) {
					t.Errorf("looks again after %v, want %v", waits, tc.waits)
				}
				if store.writes != 1 || store.reads != len(waits) {
					t.Errorf("%d writes and %d reads for %d looks, want one write, then a read each", store.writes, store.reads, len(waits))
				}
			})
		})
	}
}

func TestLooks(t *testing.T) {
	t.Run("caller without a message does not look again", testACallerWithoutAMessageDoesNotLookAgain)
}

// A caller that is no message is deferred at once.
func testACallerWithoutAMessageDoesNotLookAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			_, _ = b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) { time.Sleep(time.Minute); return "", nil })
		})
		synctest.Wait()
		_, err := b.guard(t).Do(t.Context(), dedupe.Key{Name: key.Name}, returns("", nil))
		if failure.Is(err, failure.Snoozed.Snoozed) || !errors.As(err, new(*dedupe.InProgressError)) {
			t.Errorf("got %v", err)
		}
	})
}
