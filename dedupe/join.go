package dedupe

import (
	"context"
	"sync"
	"time"
)

// flights are the attempts that run in this process, by name. A second one of
// the same name and payload joins the first for a moment, because most
// duplicates arrive together, and is then deferred so that it never keeps its
// caller's slot.
type flights struct {
	mu sync.Mutex
	m  map[string]*flight // guarded by mu
}

type flight struct {
	fingerprint Fingerprint
	done        chan struct{} // closed when the attempt has ended
	ok          bool          // whether the name has an outcome; set before done closes
}

// join waits its turn for key. The returned function must be called with
// whether the name now has an outcome. Errors: [*InProgressError] when the
// first one takes too long or failed, [*MismatchError] when it works on another
// payload, or an error that wraps ctx's.
func (f *flights) join(ctx context.Context, key Key) (func(ok bool), error) {
	var wait *time.Timer
	for {
		fl, leader := f.enter(key)
		if leader {
			return func(ok bool) { f.leave(key.Name, fl, ok) }, nil
		}
		if fl.fingerprint.Differs(key.Fingerprint) {
			return nil, &MismatchError{Name: key.Name, Status: InProgress}
		}
		if wait == nil {
			wait = time.NewTimer(joinFor)
			defer wait.Stop()
		}
		select {
		case <-fl.done:
			if !fl.ok {
				return nil, &InProgressError{Name: key.Name, After: joinDefer}
			}
		case <-wait.C:
			return nil, &InProgressError{Name: key.Name, After: joinDefer}
		case <-ctx.Done():
			return nil, &stopped{context.Cause(ctx)}
		}
	}
}

func (f *flights) enter(key Key) (fl *flight, leader bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.m[key.Name]; ok {
		return fl, false
	}
	if f.m == nil {
		f.m = make(map[string]*flight)
	}
	fl = &flight{fingerprint: key.Fingerprint, done: make(chan struct{})}
	f.m[key.Name] = fl
	return fl, true
}

func (f *flights) leave(name string, fl *flight, ok bool) {
	f.mu.Lock()
	delete(f.m, name)
	f.mu.Unlock()
	fl.ok = ok
	close(fl.done)
}
