package producerapi

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// postAndWait sends a message and waits for its outcome. It first reads the record: it refuses a
// different body, and returns an existing outcome without sending the message.
func (a *API) postAndWait(c *exchange, m message, wait time.Duration) (*response[any], error) {
	deadline := c.began.Add(wait)
	before, err := a.watches.look(c.Context(), m.name)
	if err != nil {
		return nil, err
	}
	again := m.retry && before.Status == protocol.Rejected
	if !again && before.Name != "" && before.Fingerprint.Differs(m.fingerprint) {
		return nil, newProblem(http.StatusUnprocessableEntity, "body",
			fmt.Sprintf("%q was used before with a different body (its record is %s)", m.name, before.Status))
	}
	if before.Status.Final() && !again {
		return c.outcomeIn(wait, before), nil
	}
	known, attempts := protocol.Version(0), generation(before)
	if again {
		known, attempts = before.Version, before.Version
	}
	took, err := a.send(c.Context(), m, attempts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(c.Context(), deadline)
	defer cancel()
	if r, ok := a.watches.await(ctx, awaited{m.name, known}); ok {
		return c.outcomeIn(wait, r), nil
	}
	out := c.queued(m, took)
	out.PreferenceApplied = applied(wait)
	return out, nil
}

// outcomeIn returns the answer with an outcome to a POST that waited.
func (c *exchange) outcomeIn(wait time.Duration, r protocol.Record) *response[any] {
	found := c.found(r, "")
	return &response[any]{
		Status: found.Status, ETag: found.ETag, CacheControl: found.CacheControl, PreferenceApplied: applied(wait), Body: found.Body,
	}
}

// applied returns the value of Preference-Applied.
func applied(wait time.Duration) string { return "wait=" + seconds(wait) }

// generation returns the version of a record that an operator has forgotten or re-opened; 0 for
// other records. It distinguishes attempts before and after that.
func generation(r protocol.Record) protocol.Version {
	if r.Status == protocol.Forgotten || r.Status == protocol.Retrying && r.Attempts == 0 {
		return r.Version
	}
	return 0
}

// Bounds of the interval at which the record of an awaited name is read.
const (
	firstLook   = 20 * time.Millisecond
	longestLook = time.Second
)

// watches shares reads between requests: at most one at a time for each name.
type watches struct {
	read    func(ctx context.Context, name string) (protocol.Record, error)
	running sync.WaitGroup

	mu    sync.Mutex
	looks map[string]*look   // guarded by mu; reads under way
	names map[awaited]*watch // guarded by mu; awaited names
}

// awaited is a name whose outcome is awaited, in a later version than after.
type awaited struct {
	name  string
	after protocol.Version // 0: any
}

// look is a read that is shared by all callers while it is under way.
type look struct {
	done   chan struct{}
	record protocol.Record
	err    error
}

// watch is a name whose record is read until it is final or the last waiter leaves.
type watch struct {
	done    chan struct{}
	record  protocol.Record // final; set before done closes
	waiting int             // guarded by watches.mu
	stop    context.CancelFunc
	hurry   chan struct{} // another waiter has joined: start with short pauses again
}

// look reads a name's record, or waits for a read under way.
func (w *watches) look(ctx context.Context, name string) (protocol.Record, error) {
	w.mu.Lock()
	l, under := w.looks[name]
	if !under {
		l = &look{done: make(chan struct{})}
		if w.looks == nil {
			w.looks = make(map[string]*look)
		}
		w.looks[name] = l
		shared := context.WithoutCancel(ctx)
		w.running.Go(func() {
			l.record, l.err = w.contained(shared, name)
			w.mu.Lock()
			delete(w.looks, name)
			w.mu.Unlock()
			close(l.done)
		})
	}
	w.mu.Unlock()
	select {
	case <-l.done:
		return l.record, l.err
	case <-ctx.Done():
		return protocol.Record{}, unavailable("the record could not be read in time", context.Cause(ctx))
	}
}

// contained reads a record and returns a panic as an error, because on the goroutines of watches a
// panic would end the process.
func (w *watches) contained(ctx context.Context, name string) (r protocol.Record, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	return w.read(ctx, name)
}

// await waits for the outcome of a name. It returns false if ctx ends first.
func (w *watches) await(ctx context.Context, name awaited) (protocol.Record, bool) {
	t := w.join(ctx, name)
	defer w.leave(name, t)
	select {
	case <-t.done:
		return t.record, true
	case <-ctx.Done():
		return protocol.Record{}, false
	}
}

func (w *watches) join(ctx context.Context, name awaited) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t, ok := w.names[name]; ok {
		t.waiting++
		select {
		case t.hurry <- struct{}{}:
		default: // a signal is pending
		}
		return t
	}
	shared, stop := context.WithCancel(context.WithoutCancel(ctx))
	t := &watch{done: make(chan struct{}), waiting: 1, stop: stop, hurry: make(chan struct{}, 1)}
	if w.names == nil {
		w.names = make(map[awaited]*watch)
	}
	w.names[name] = t
	w.running.Go(func() { w.follow(shared, name, t) })
	return t
}

// leave ends the watch with its last waiter.
func (w *watches) leave(name awaited, t *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.waiting--; t.waiting == 0 {
		t.stop()
		w.drop(name, t)
	}
}

// drop removes the watch, so that a later waiter starts a new one. The caller holds w.mu.
func (w *watches) drop(name awaited, t *watch) {
	if w.names[name] == t {
		delete(w.names, name)
	}
}

// follow reads the record in growing intervals until it is final. It ignores failed reads.
func (w *watches) follow(ctx context.Context, name awaited, t *watch) {
	defer t.stop()
	for every := firstLook; ; every = min(every*2, longestLook) {
		timer := time.NewTimer(every/2 + rand.N(every/2))
		select {
		case <-timer.C:
		case <-t.hurry:
			timer.Stop()
			every = firstLook / 2
			continue
		case <-ctx.Done():
			timer.Stop()
			return
		}
		r, err := w.contained(ctx, name.name)
		if err != nil || !r.Status.Final() || r.Version <= name.after {
			continue
		}
		w.mu.Lock()
		w.drop(name, t)
		w.mu.Unlock()
		t.record = r
		close(t.done)
		return
	}
}

// wait returns when no read is under way.
func (w *watches) wait() { w.running.Wait() }
