package consumer

import "sync"

// group counts the goroutines of a run. The zero value is an empty one.
type group struct {
	mu    sync.Mutex
	n     int                   // guarded by mu; at work
	waits map[chan struct{}]int // guarded by mu; closed when no more than so many are
}

// start runs f in a goroutine of its own.
func (g *group) start(f func()) {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	go func() {
		defer g.end()
		f()
	}()
}

func (g *group) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	for done, n := range g.waits {
		if g.n <= n {
			close(done)
			delete(g.waits, done)
		}
	}
}

// left returns a channel that closes when no more than n goroutines are at work.
func (g *group) left(n int) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	done := make(chan struct{})
	if g.n <= n {
		close(done)
		return done
	}
	if g.waits == nil {
		g.waits = make(map[chan struct{}]int)
	}
	g.waits[done] = n
	return done
}
