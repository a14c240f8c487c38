package dedupe

import (
	"context"
	"sync"
	"time"
)

// lazyContext is a [context.Context] for what mostly ends well. One of the standard
// library that ends with another, at a time or by hand costs three to seven
// allocations and a place in its parent's map of children. This one costs one,
// and becomes one of the standard library's when somebody asks for what only that
// can do: to be told of the end. It has to be cancelled. Safe for concurrent use.
type lazyContext struct {
	timers   *timers // to wait with
	parent   context.Context
	at       time.Time // its end; zero: no time
	byHand   bool      // it may be cancelled while somebody waits
	outlives bool
	grace    time.Duration // of one that outlives its parent

	mu        sync.Mutex
	real      context.Context // guarded by mu; nil: nobody has needed it
	end       func(error)     // guarded by mu; of real
	cancelled bool            // guarded by mu
	cause     error           // guarded by mu; of the cancellation
}

var _ context.Context = (*lazyContext)(nil)

// withTimeout is [context.WithTimeout]. When its time and its parent's end have
// both come before anybody has looked, either may be told as the reason.
func (t *timers) withTimeout(parent context.Context, d time.Duration) *lazyContext {
	at := time.Now().Add(d)
	if end, ok := parent.Deadline(); ok && end.Before(at) {
		at = end
	}
	return &lazyContext{timers: t, parent: parent, at: at}
}

// withCancelCause is [context.WithCancelCause].
func (t *timers) withCancelCause(parent context.Context) *lazyContext {
	at, _ := parent.Deadline()
	return &lazyContext{timers: t, parent: parent, at: at, byHand: true}
}

// outliving returns a context with the values of its parent that ends the grace
// after its parent has ended, or after most, whatever comes first. The grace
// begins when the end is seen: at once if somebody waits for it, else when
// somebody looks.
func (t *timers) outliving(parent context.Context, grace, most time.Duration) *lazyContext {
	return &lazyContext{timers: t, parent: parent, at: time.Now().Add(most), outlives: true, grace: grace}
}

// cancel ends the context and frees what it holds, for those who wait for nothing
// under it any more; only one of [timers.withCancelCause] may be cancelled while
// somebody does. It may be called again.
func (c *lazyContext) cancel() { c.cancelCause(nil) }

// cancelCause is cancel with a cause; nil means [context.Canceled]. The first
// end counts, except that one with a timeout is cancelled if nobody has looked at
// it after an earlier end.
func (c *lazyContext) cancelCause(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancelled {
		return
	}
	if c.byHand && c.ended() {
		c.makeReal() // before this: that end counts
	}
	c.cancelled, c.cause = true, cause
	if c.end != nil {
		c.end(cause)
	}
}

// Deadline implements [context.Context].
func (c *lazyContext) Deadline() (time.Time, bool) { return c.at, !c.at.IsZero() }

// Done implements [context.Context].
func (c *lazyContext) Done() <-chan struct{} { return c.made().Done() }

// Err implements [context.Context].
func (c *lazyContext) Err() error {
	if c.open() {
		return nil
	}
	return c.made().Err()
}

// Value implements [context.Context]. Contexts that are derived from this one
// find their parent by it, and the end its cause: those call Done before, or come
// after the end.
func (c *lazyContext) Value(key any) any {
	if c.open() {
		return c.parent.Value(key)
	}
	return c.made().Value(key)
}

// open reports that the context has not ended, as long as nobody has needed to be
// told.
func (c *lazyContext) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.real == nil && !c.cancelled && !c.ended()
}

// ended reports that there is a reason to end, but by hand. The caller holds mu.
func (c *lazyContext) ended() bool {
	return c.parent.Err() != nil || !c.at.IsZero() && !time.Now().Before(c.at)
}

// made returns the context of the standard library that does the same.
func (c *lazyContext) made() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.makeReal()
	return c.real
}

// makeReal makes it, once. The caller holds mu.
func (c *lazyContext) makeReal() {
	if c.real != nil {
		return
	}
	if c.cancelled { // before anything else could end it
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.parent))
		cancel(c.cause)
		c.real, c.end = ctx, cancel
		return
	}
	c.real, c.end = c.standard()
}

// standard returns the context of the standard library that does the same from
// here on.
func (c *lazyContext) standard() (ctx context.Context, end func(error)) {
	if c.outlives {
		return standardOutliving(c.parent, c.grace, c.at)
	}
	ctx, cancel := context.WithCancelCause(c.parent)
	if inherited, ok := c.parent.Deadline(); c.at.IsZero() || ok && inherited.Equal(c.at) {
		return ctx, cancel
	}
	timed, stop := context.WithDeadline(ctx, c.at)
	return timed, func(cause error) {
		cancel(cause)
		stop()
	}
}

func standardOutliving(parent context.Context, grace time.Duration, at time.Time) (ctx context.Context, end func(error)) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(parent), at)
	begun := make(chan struct{})
	var timer *time.Timer
	stop := context.AfterFunc(parent, func() {
		timer = time.AfterFunc(grace, cancel)
		close(begun)
	})
	return ctx, func(error) {
		if !stop() {
			<-begun
			timer.Stop()
		}
		cancel()
	}
}

// sign is closed when there may be a reason to look at the context again before
// its time: it, or what it depends on, has ended.
func (c *lazyContext) sign() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byHand || c.cancelled {
		c.makeReal()
	}
	if c.real != nil {
		return c.real.Done()
	}
	if parent, ok := c.parent.(*lazyContext); ok {
		return parent.sign()
	}
	return c.parent.Done()
}

// timers makes lazy contexts, and lends timers to who waits with one. The zero
// value is ready; safe for concurrent use.
type timers struct{ idle sync.Pool }

func (t *timers) get(d time.Duration) *time.Timer {
	if timer, ok := t.idle.Get().(*time.Timer); ok {
		timer.Reset(d)
		return timer
	}
	return time.NewTimer(d)
}

func (t *timers) put(timer *time.Timer) {
	timer.Stop() // from Go 1.23 on nothing is left in its channel
	t.idle.Put(timer)
}

// WaitFor waits for done or for the end of the context, and reports whether it has
// received from done. It is what the batches of package dynamo look for in a
// context: with a time it takes a timer, instead of having the context made.
func (c *lazyContext) WaitFor(done <-chan struct{}) bool {
	if !c.at.IsZero() {
		timer := c.timers.get(time.Until(c.at))
		came := false
		select {
		case <-done:
			came = true
		case <-c.sign():
		case <-timer.C:
		}
		c.timers.put(timer)
		if came {
			return true
		}
	}
	select {
	case <-done:
		return true
	case <-c.Done():
		return false
	}
}
