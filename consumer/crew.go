package consumer

import "sync"

// crew are the goroutines of a run. The zero value is an empty one.
type crew struct {
	mu    sync.Mutex
	n     int                   // guarded by mu; at work
	waits map[chan struct{}]int // guarded by mu; closed when no more than so many are
}

// start runs f in a goroutine of its own.
func (w *crew) start(f func()) {
	w.mu.Lock()
	w.n++
	w.mu.Unlock()
	go func() {
		defer w.end()
		f()
	}()
}

func (w *crew) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
	for done, n := range w.waits {
		if w.n <= n {
			close(done)
			delete(w.waits, done)
		}
	}
}

// left returns a channel that closes when no more than n are at work.
func (w *crew) left(n int) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	done := make(chan struct{})
	if w.n <= n {
		close(done)
		return done
	}
	if w.waits == nil {
		w.waits = make(map[chan struct{}]int)
	}
	w.waits[done] = n
	return done
}
