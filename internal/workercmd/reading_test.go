package workercmd

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sqsonce/sqsonce/names"
)

// gateNamer reads a message for as long as its gate is closed.
type gateNamer struct {
	gate    chan struct{}
	mu      sync.Mutex
	reading int // guarded by mu
}

func (g *gateNamer) Extract(m names.Message) (names.Named, error) {
	if m.Fetch != nil {
		if _, err := m.Fetch(names.Pointer{}); err != nil {
			return names.Named{}, err
		}
	}
	g.mu.Lock()
	g.reading++
	g.mu.Unlock()
	<-g.gate
	g.mu.Lock()
	g.reading--
	g.mu.Unlock()
	return names.Named{Name: m.Body}, nil
}

func (g *gateNamer) now() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reading
}

// As many messages are read at a time as there are processors. Fetches do not count.
func TestReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		namer := &gateNamer{gate: make(chan struct{})}
		keys := newFewAtATime(namer)
		most := runtime.GOMAXPROCS(0)
		arrives := make(chan struct{})
		var done sync.WaitGroup
		for range 3 * most {
			done.Go(func() {
				_, err := keys.Extract(names.Message{Fetch: func(names.Pointer) (string, error) { <-arrives; return "", nil }})
				if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		for range 3 * most {
			done.Go(func() {
				if named, err := keys.Extract(names.Message{Body: "a"}); named.Name != "a" || err != nil {
					t.Errorf("got %+v, %v", named, err)
				}
			})
		}
		synctest.Wait()
		if got := namer.now(); got != most {
			t.Errorf("%d messages are read beside fetches, want %d", got, most)
		}
		close(arrives)
		synctest.Wait()
		if got := namer.now(); got != most {
			t.Errorf("%d messages are read after the fetches, want %d", got, most)
		}
		close(namer.gate)
		done.Wait()
	})
}
