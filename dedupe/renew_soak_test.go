//go:build soak

package dedupe_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
)

func TestRenewSoak(t *testing.T) {
	t.Run("busy process keeps its leases", testABusyProcessKeepsItsLeases)
}

// A process has more work than processors, so that its timers are late, and short attempts begin
// all the time. Its long attempts keep their leases in a store that answers at once, and no other
// attempt's handler starts beside theirs. The test runs in real time, because no timer is late in a
// synctest bubble.
func testABusyProcessKeepsItsLeases(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store := memstore.New()
	cfg := setup().cfg
	cfg.Lease, cfg.Skew, cfg.CacheAge, cfg.MaxAttempts = time.Second, 50*time.Millisecond, -1, 1000
	another, err := dedupe.New[string](store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var short, renewed, lost, beside atomic.Int64
	cfg.Hooks.Renewed = func(dedupe.Attempt, error) { renewed.Add(1) }
	cfg.Hooks.LeaseLost = func(dedupe.Attempt) { lost.Add(1) }
	busy, err := dedupe.New[string](store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_, err := busy.Do(context.Background(), dedupe.Key{Name: fmt.Sprintf("short-%d-%d", w, i)}, func(context.Context) (string, error) {
					for until := time.Now().Add(2 * time.Millisecond); time.Now().Before(until); {
						_ = fmt.Sprint(until) // work
					}
					return "", nil
				})
				if err != nil {
					t.Error(err)
				}
				short.Add(1)
			}
		})
	}
	for w := range 3 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				holdBesides(ctx, busy, another, dedupe.Key{Name: fmt.Sprintf("long-%d-%d", w, i)}, &beside)
			}
		})
	}
	all.Wait()
	t.Logf("%d short attempts, %d renewals, %d leases lost, %d handlers beside another", short.Load(), renewed.Load(), lost.Load(), beside.Load())
	if renewed.Load() < 3 || lost.Load() > 0 || beside.Load() > 0 {
		t.Error("leases were not kept")
	}
}

// holdBesides runs a handler under busy until ctx ends or its lease is lost. Meanwhile it asks
// another for the name, and counts the handlers that start beside the first.
func holdBesides(ctx context.Context, busy, another *dedupe.Guard[string], name dedupe.Key, beside *atomic.Int64) {
	started, ended := make(chan context.Context, 1), make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = busy.Do(context.Background(), name, func(running context.Context) (string, error) {
			started <- running
			select {
			case <-running.Done():
			case <-ctx.Done():
			}
			return "", nil
		})
	}()
	running := <-started
	for {
		select {
		case <-ended:
			return
		case <-time.After(20 * time.Millisecond):
			_, _ = another.Do(context.Background(), name, func(context.Context) (string, error) {
				if running.Err() == nil {
					beside.Add(1)
				}
				return "", nil
			})
		}
	}
}
