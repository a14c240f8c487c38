// Package batch combines single requests into calls that carry several.
//
// The rule: a full batch is sent at once, up to a bound on calls in flight. A partial batch is sent
// when no call is in flight. Otherwise, and while calls carry many items, partial batches keep a
// pace that follows the fastest of the recent calls. So a single item does not wait, a busy sender
// fills its batches, the number of calls in flight grows with the number of senders, and a slow
// call delays only its own items.
package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/internal/pinned"
	"github.com/sqsonce/sqsonce/internal/stack"
)

// Errors of [Batcher.Do] other than the answer to its item.
var (
	// ErrWithdrawn is wrapped when the caller gave up before its item was sent. The item is not
	// sent later.
	ErrWithdrawn = errors.New("withdrawn before it was sent")
	// ErrAmbiguous is wrapped when the caller gave up while its item was in flight. The call
	// continues and may succeed or fail.
	ErrAmbiguous = errors.New("given up while in flight")
	// ErrClosed is returned for an item that is added after Close.
	ErrClosed = errors.New("batcher is closed")
	// ErrNoAnswer is the answer to an item for which Send returned none.
	ErrNoAnswer = errors.New("the call brought no answer for this item")
)

// DefaultCalls is the default bound on calls in flight. It limits connections and memory. Below it
// the number of calls in flight grows with the number of senders, because a full batch never waits.
const DefaultCalls = 64

// Config configures a [Batcher] of items of type T, answered by values of type R.
type Config[T, R any] struct {
	// Send makes one call for items (1 to Max of them) and returns one answer
	// for each, in the same order. It must bound its own time. Required.
	Send func(items []T) []Answer[R]

	// Max is the number of items that a call can carry. Required, at least 1.
	Max int

	// Calls bounds the calls in flight, slow ones included. With 1, items
	// never overtake each other. Default [DefaultCalls].
	Calls int

	// MaxBytes bounds the sum of Size over the items of one call. A larger
	// item goes alone. Zero means no bound; otherwise Size is required.
	MaxBytes int
	Size     func(T) int

	// Timeout bounds how long an item waits to be sent. Its answer is then
	// [ErrWithdrawn]. Default: no bound.
	Timeout time.Duration

	// Urgent reports items that go before the others. Nil: no item is urgent.
	Urgent func(T) bool

	// Key keeps two items with one key out of one call. Nil: any items may
	// share a call.
	Key func(T) string
}

// Answer is the outcome of one item.
type Answer[R any] struct {
	Value R
	Err   error
}

// Batcher combines items into calls. Create it with [New]. It is safe for concurrent use.
type Batcher[T, R any] struct {
	cfg   Config[T, R]
	calls sync.WaitGroup

	mu      sync.Mutex
	waiting [2][]*Item[T, R] // guarded by mu; urgent items, then the others, oldest first
	bytes   int              // guarded by mu; sum of Size over waiting items
	flight  flight           // guarded by mu
	joining bool             // guarded by mu; a goroutine lets other items join a partial batch before it is sent
	wake    *time.Timer      // guarded by mu; calls dispatch when the pace allows a call; nil at first
	wakeAt  time.Time        // guarded by mu; when wake fires; zero if it is not set
	closed  bool             // guarded by mu
}

// Item is one request. The batcher's mu guards sent. The answer is set before
// done receives its one value.
type Item[T, R any] struct {
	b      *Batcher[T, R]
	value  T
	size   int
	since  time.Time              // start of its wait
	yield  func(operation string) // lets other items join a partial batch before it is sent; nil: it is sent at once
	sent   bool
	answer Answer[R]
	done   chan struct{} // capacity 1
}

// New returns a batcher. The caller must close it.
func New[T, R any](cfg Config[T, R]) *Batcher[T, R] {
	if cfg.Calls == 0 {
		cfg.Calls = DefaultCalls
	}
	return &Batcher[T, R]{cfg: cfg}
}

// Do adds one item and waits for its answer, or for ctx. Before a partial batch is sent, other
// goroutines may run. So items that one answer has set free, such as the messages of one receive,
// share a call.
func (b *Batcher[T, R]) Do(ctx context.Context, value T) (R, error) {
	it := b.item(value)
	it.yield = pinned.From(ctx).Yield
	b.add(it)
	return it.Wait(ctx)
}

// Add adds items together, in order, so that the first call can carry several of them.
func (b *Batcher[T, R]) Add(values ...T) []*Item[T, R] {
	items := make([]*Item[T, R], len(values))
	for i, value := range values {
		items[i] = b.item(value)
	}
	b.add(items...)
	return items
}

func (b *Batcher[T, R]) item(value T) *Item[T, R] {
	it := &Item[T, R]{b: b, value: value, done: make(chan struct{}, 1)}
	if b.cfg.MaxBytes > 0 {
		it.size = b.cfg.Size(value)
	}
	return it
}

// Wait returns the answer of the item. It must be called once. If ctx ends first, it withdraws an
// item that has not been sent, and returns [ErrWithdrawn] or [ErrAmbiguous]. An answer that has
// arrived is returned even after the end of ctx.
func (it *Item[T, R]) Wait(ctx context.Context) (R, error) {
	select {
	case <-it.done:
		return it.answer.Value, it.answer.Err
	default:
	}
	select {
	case <-it.done:
		return it.answer.Value, it.answer.Err
	case <-ctx.Done():
	}
	var zero R
	if it.b.withdraw(it) {
		return zero, fmt.Errorf("%w: %w", ErrWithdrawn, context.Cause(ctx))
	}
	select {
	case <-it.done: // the answer arrived meanwhile
		return it.answer.Value, it.answer.Err
	default:
		return zero, fmt.Errorf("%w: %w", ErrAmbiguous, context.Cause(ctx))
	}
}

// end sets the answer of the item.
func (it *Item[T, R]) end(answer Answer[R]) {
	it.answer = answer
	it.done <- struct{}{}
}

// Close refuses new items, sends the waiting ones, and returns when all earlier items have been
// answered.
func (b *Batcher[T, R]) Close() {
	b.mu.Lock()
	b.closed = true
	b.dispatch()
	b.mu.Unlock()
	// While items wait, the largest allowed number of calls is in flight, and their goroutines
	// continue until no item waits.
	b.calls.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wake != nil {
		b.wake.Stop()
	}
}

// add appends items to the waiting ones and starts the calls that are due.
func (b *Batcher[T, R]) add(items ...*Item[T, R]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, it := range items {
		if b.closed {
			it.end(Answer[R]{Err: ErrClosed})
			continue
		}
		it.since = now
		lane := b.lane(it)
		*lane = append(*lane, it)
		b.bytes += it.size
	}
	b.dispatch()
}

func (b *Batcher[T, R]) lane(it *Item[T, R]) *[]*Item[T, R] {
	if b.cfg.Urgent != nil && b.cfg.Urgent(it.value) {
		return &b.waiting[0]
	}
	return &b.waiting[1]
}

// withdraw removes an item that has not been sent. It reports whether it has removed it.
func (b *Batcher[T, R]) withdraw(it *Item[T, R]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it.sent {
		return false
	}
	b.bytes -= it.size
	lane := b.lane(it)
	*lane = slices.DeleteFunc(*lane, func(other *Item[T, R]) bool { return other == it })
	return true
}

// dispatch starts the calls that are due. The caller holds mu.
func (b *Batcher[T, R]) dispatch() {
	for {
		batch, yield := b.next(false)
		if batch == nil && yield == nil {
			return
		}
		began := b.flight.last
		b.calls.Go(func() {
			stack.Grow()
			b.run(batch, began, yield)
		})
	}
}

// run makes the call for batch, which began at began, or calls yield first and then makes the call
// for the items due by then. It makes further calls while they are due. One goroutine serves a busy
// batcher, so that its stack grows once.
func (b *Batcher[T, R]) run(batch []*Item[T, R], began time.Time, yield func(string)) {
	for batch != nil || yield != nil {
		if batch != nil {
			b.call(batch)
		} else {
			yield("batch")
		}
		b.mu.Lock()
		if batch != nil {
			b.flight.end(time.Since(began))
		} else {
			b.joining = false
		}
		batch, yield = b.next(batch == nil)
		began = b.flight.last
		if batch != nil {
			b.dispatch()
		}
		b.mu.Unlock()
	}
}

// load returns the inputs for the decision about a partial batch. The caller holds mu.
func (b *Batcher[T, R]) load(now time.Time) load {
	l := b.flight.load(now, b.cfg.Max)
	l.waiting, l.limit = len(b.waiting[0])+len(b.waiting[1]), b.cfg.Calls
	l.joining, l.closing = b.joining, b.closed
	return l
}

// next removes the batch that is due now and begins its call. For a partial batch that other items
// have not been able to join, it returns yield instead, and removes the batch when called again
// with joined. If no batch is due but becomes due by time alone, it sets the timer. The caller
// holds mu.
func (b *Batcher[T, R]) next(joined bool) (batch []*Item[T, R], yield func(string)) {
	now := time.Now()
	b.expire(now)
	l := b.load(now)
	// Most items arrive while few wait, so scanning them is unnecessary.
	if b.plenty(l.waiting) {
		batch, l.full = b.pick()
	}
	due, wait := l.due()
	if !due {
		if wait > 0 {
			b.wakeBy(now.Add(wait))
		}
		if b.cfg.Timeout > 0 && l.waiting > 0 {
			b.wakeBy(b.oldest().Add(b.cfg.Timeout))
		}
		return nil, nil
	}
	if batch == nil {
		batch, _ = b.pick()
	}
	if yield = batch[0].yield; yield != nil && !l.full && !l.closing && !joined {
		b.joining = true
		return nil, yield
	}
	for _, it := range batch {
		it.sent = true
		b.bytes -= it.size
	}
	for i := range b.waiting {
		b.waiting[i] = slices.DeleteFunc(b.waiting[i], func(it *Item[T, R]) bool { return it.sent })
	}
	b.flight.begin(now, len(batch))
	return batch, nil
}

// expire answers the items that have waited too long. The caller holds mu.
func (b *Batcher[T, R]) expire(now time.Time) {
	for i, lane := range b.waiting {
		for b.cfg.Timeout > 0 && len(lane) > 0 && now.Sub(lane[0].since) >= b.cfg.Timeout {
			it := lane[0]
			lane = lane[1:]
			it.sent = true // cannot be withdrawn any more
			b.bytes -= it.size
			it.end(Answer[R]{Err: fmt.Errorf("%w: %w", ErrWithdrawn, context.DeadlineExceeded)})
		}
		b.waiting[i] = lane
	}
}

// oldest returns the start of the longest wait. At least one item must wait. The caller holds mu.
func (b *Batcher[T, R]) oldest() (since time.Time) {
	for _, lane := range b.waiting {
		if len(lane) > 0 && (since.IsZero() || lane[0].since.Before(since)) {
			since = lane[0].since
		}
	}
	return since
}

// wakeBy makes dispatch run at the given time or earlier. The caller holds mu.
func (b *Batcher[T, R]) wakeBy(at time.Time) {
	if !b.wakeAt.IsZero() && !at.Before(b.wakeAt) {
		return
	}
	b.wakeAt = at
	if b.wake != nil {
		b.wake.Reset(time.Until(at))
		return
	}
	b.wake = time.AfterFunc(time.Until(at), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.wakeAt = time.Time{}
		b.dispatch()
	})
}

// plenty reports whether waiting items could fill a call.
func (b *Batcher[T, R]) plenty(waiting int) bool {
	return waiting >= b.cfg.Max || b.cfg.MaxBytes > 0 && b.bytes >= b.cfg.MaxBytes
}

// pick returns the items for the next call, and whether it could carry no more. The caller holds
// mu.
func (b *Batcher[T, R]) pick() (batch []*Item[T, R], full bool) {
	bytes := 0
	var keys map[string]bool
	if b.cfg.Key != nil {
		keys = make(map[string]bool, b.cfg.Max)
	}
	for _, lane := range b.waiting {
		for _, it := range lane {
			if len(batch) == b.cfg.Max {
				return batch, true
			}
			key := ""
			if keys != nil {
				if key = b.cfg.Key(it.value); keys[key] {
					continue // left for a later call
				}
			}
			if b.cfg.MaxBytes > 0 {
				if len(batch) > 0 && bytes+it.size > b.cfg.MaxBytes {
					return batch, true
				}
				bytes += it.size
			}
			if keys != nil {
				keys[key] = true
			}
			batch = append(batch, it)
		}
	}
	return batch, len(batch) == b.cfg.Max || b.cfg.MaxBytes > 0 && bytes >= b.cfg.MaxBytes
}

// call makes one call and sets the answers of its items.
func (b *Batcher[T, R]) call(batch []*Item[T, R]) {
	values := make([]T, len(batch))
	for i, it := range batch {
		values[i] = it.value
	}
	answers := b.cfg.Send(values)
	for i, it := range batch {
		answer := Answer[R]{Err: ErrNoAnswer}
		if i < len(answers) {
			answer = answers[i]
		}
		it.end(answer)
	}
}
