package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
)

// Three hosts run a job for a day; in the third hour the first host that runs it stops,
// and in the fifth it fails.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		begun := time.Now().Truncate(time.Hour)
		var mu sync.Mutex
		tried, done := map[time.Time]int{}, map[time.Time]int{}
		day, end := context.WithTimeout(t.Context(), 24*time.Hour+30*time.Minute)
		defer end()
		var hosts sync.WaitGroup
		for range 3 {
			hosts.Go(func() {
				host, stop := context.WithCancel(day)
				defer stop()
				err := every(host, time.Hour, store, dedupe.Config{Scope: "cron"}, func(ctx context.Context, due time.Time) (string, error) {
					mu.Lock()
					tried[due]++
					first := tried[due] == 1
					mu.Unlock()
					time.Sleep(10 * time.Minute)
					switch hour := due.Sub(begun) / time.Hour; {
					case hour == 3 && first:
						stop()
						return "", ctx.Err()
					case hour == 5 && first:
						return "", errors.New("broken")
					}
					mu.Lock()
					defer mu.Unlock()
					done[due]++
					return "written", nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		hosts.Wait()
		if len(done) != 24 {
			t.Errorf("%d runs in a day", len(done))
		}
		for due, n := range done {
			if n != 1 {
				t.Errorf("the run of %s was done %d times", due, n)
			}
		}
		if n := tried[begun.Add(3*time.Hour)] + tried[begun.Add(5*time.Hour)]; n != 4 {
			t.Errorf("%d attempts in the third and the fifth hour, want 4", n)
		}
	})
}
