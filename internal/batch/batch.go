// Package batch gathers single requests into calls that carry several, by one
// rule: a full batch goes at once, up to a number of calls out at a time; a
// partial one goes only when none is out, after those who can run now have had
// the chance to add to it. There are no timers: a lone item waits for nobody, a
// busy sender fills its batches, and throughput is not bound to one batch per
// round trip.
package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/sqsonce/sqsonce/internal/stack"
)

// Errors of [Batcher.Do] that are not the answer to its item.
var (
	// ErrWithdrawn is wrapped when the caller gave up before its item was
	// sent: it will never be.
	ErrWithdrawn = errors.New("withdrawn before it was sent")
	// ErrAmbiguous is wrapped when the caller gave up while its item was out:
	// the call goes on, and may or may not succeed.
	ErrAmbiguous = errors.New("given up while it was out")
	// ErrClosed is returned for an item handed in after Close.
	ErrClosed = errors.New("batcher is closed")
	// ErrNoAnswer is the answer to an item that Send left without one.
	ErrNoAnswer = errors.New("the call brought no answer for this item")
)

// DefaultCalls is the number of calls out at a time unless configured.
const DefaultCalls = 8

// Config says how a [Batcher] gathers items of type T, answered by type R.
type Config[T, R any] struct {
	// Send makes one call for items (at least one, at most Max) and returns an
	// answer for each, in order. It bounds its own time. Required.
	Send func(items []T) []Answer[R]

	// Max is the number of items a call can carry. Required, at least 1.
	Max int

	// Calls is the number of calls out at a time. Default [DefaultCalls].
	Calls int

	// MaxBytes bounds the sum of Size over the items of one call; an item that
	// is larger goes alone. Zero: no bound. It needs Size.
	MaxBytes int
	Size     func(T) int

	// Urgent items go before the others. Nil: none is urgent.
	Urgent func(T) bool

	// Key keeps two items of one key out of one call. Nil: they may share it.
	Key func(T) string

	// Yield lets those run who can, before a call goes out that could carry
	// more. Default [runtime.Gosched]; a simulation pins their order.
	Yield func()
}

// Answer is what became of one item.
type Answer[R any] struct {
	Value R
	Err   error
}

// Batcher gathers items into calls. Use New; safe for concurrent use.
type Batcher[T, R any] struct {
	cfg   Config[T, R]
	calls sync.WaitGroup
	spare sync.Pool // of items that have been answered and waited for

	mu      sync.Mutex
	waiting [2][]*Item[T, R] // guarded by mu; urgent ones, then the others, oldest first
	bytes   int              // guarded by mu; the sum of Size over those waiting
	out     int              // guarded by mu; calls out
	closed  bool             // guarded by mu
}

// Item is one request that was handed in. Its fields are set before it is
// added, sent by who holds the batcher's mu, and answer before done is sent to.
type Item[T, R any] struct {
	b      *Batcher[T, R]
	value  T
	size   int
	sent   bool
	answer Answer[R]
	done   chan struct{} // has room for one
}

// New returns a batcher that has to be closed.
func New[T, R any](cfg Config[T, R]) *Batcher[T, R] {
	if cfg.Calls == 0 {
		cfg.Calls = DefaultCalls
	}
	if cfg.Yield == nil {
		cfg.Yield = runtime.Gosched
	}
	return &Batcher[T, R]{cfg: cfg}
}

// Do hands in one item and waits for its answer, or for ctx.
func (b *Batcher[T, R]) Do(ctx context.Context, value T) (R, error) {
	it := b.item(value)
	b.add(it)
	return it.Wait(ctx)
}

// Add hands in items together, so that the first call can carry more than the
// first of them; the order of values is kept. Each has to be waited for, once.
func (b *Batcher[T, R]) Add(values ...T) []*Item[T, R] {
	items := make([]*Item[T, R], len(values))
	for i, value := range values {
		items[i] = b.item(value)
	}
	b.add(items...)
	return items
}

func (b *Batcher[T, R]) item(value T) *Item[T, R] {
	it, ok := b.spare.Get().(*Item[T, R])
	if !ok {
		it = &Item[T, R]{b: b, done: make(chan struct{}, 1)}
	}
	it.value, it.sent = value, false
	if b.cfg.MaxBytes > 0 {
		it.size = b.cfg.Size(value)
	}
	return it
}

// Wait waits for the answer, or for ctx: then an item that was not sent is
// withdrawn.
func (it *Item[T, R]) Wait(ctx context.Context) (R, error) {
	if wait(ctx, it.done) {
		return it.take()
	}
	var zero R
	if it.b.withdraw(it) {
		return zero, fmt.Errorf("%w: %w", ErrWithdrawn, context.Cause(ctx))
	}
	select {
	case <-it.done: // the answer came while it was looked for
		return it.take()
	default:
		return zero, fmt.Errorf("%w: %w", ErrAmbiguous, context.Cause(ctx))
	}
}

// wait waits for done or for the end of ctx, and reports whether it has received
// from done. A context may know a way to wait that costs less than its Done.
func wait(ctx context.Context, done <-chan struct{}) (came bool) {
	select {
	case <-done:
		return true
	default:
	}
	if own, ok := ctx.(interface {
		WaitFor(done <-chan struct{}) bool
	}); ok {
		return own.WaitFor(done)
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// take returns the answer of an item that nobody refers to any more.
func (it *Item[T, R]) take() (R, error) {
	answer := it.answer
	var none T
	it.value, it.answer = none, Answer[R]{}
	it.b.spare.Put(it)
	return answer.Value, answer.Err
}

// Close refuses new items, and returns when those handed in have been answered.
func (b *Batcher[T, R]) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	// Who makes a call goes on until nothing waits, or leaves the rest to another
	// call that is out, so that waiting for the calls is waiting for the items.
	b.calls.Wait()
}

func (b *Batcher[T, R]) add(items ...*Item[T, R]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, it := range items {
		if b.closed {
			it.answer.Err = ErrClosed
			it.done <- struct{}{}
			continue
		}
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

// withdraw takes back an item unless it has been sent.
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

// dispatch starts the calls that the rule allows now. The caller holds mu.
func (b *Batcher[T, R]) dispatch() {
	for b.out < b.cfg.Calls && len(b.waiting[0])+len(b.waiting[1]) > 0 {
		batch := b.next()
		if batch == nil && b.out > 0 {
			return
		}
		b.out++
		b.calls.Go(func() {
			stack.ForCall()
			b.run(batch)
		})
		if batch == nil {
			return // it will see what else has come
		}
	}
}

// next takes a full batch, if there is one. The caller holds mu.
func (b *Batcher[T, R]) next() []*Item[T, R] {
	if !b.plenty() {
		return nil
	}
	batch, full := b.pick()
	if !full {
		return nil
	}
	b.remove(batch)
	return batch
}

// run makes the call for a full batch, or for a partial one that it takes
// itself (nil), and goes on for as long as the rule allows a call in its place:
// one goroutine for a busy batcher, whose stack has grown to what a call needs.
func (b *Batcher[T, R]) run(batch []*Item[T, R]) {
	for {
		if batch == nil {
			// What one answer has set going is handed in within moments, one after
			// the other: letting others run first fills a batch where the server
			// answers at once. It waits for nobody.
			b.cfg.Yield()
		}
		b.mu.Lock()
		if batch == nil {
			batch = b.next()
		}
		if batch == nil && b.out == 1 {
			batch, _ = b.pick()
			b.remove(batch)
		}
		if len(batch) == 0 {
			b.out--
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		b.call(batch)
		batch = nil
	}
}

// plenty reports whether a call could be full. Most items are added while some
// call is out and few others wait: they need not be looked through each time.
func (b *Batcher[T, R]) plenty() bool {
	return len(b.waiting[0])+len(b.waiting[1]) >= b.cfg.Max || b.cfg.MaxBytes > 0 && b.bytes >= b.cfg.MaxBytes
}

// pick returns the items that the next call would carry, and whether it can
// carry no more.
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
					continue // its turn comes with the next call
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

func (b *Batcher[T, R]) remove(batch []*Item[T, R]) {
	for _, it := range batch {
		it.sent = true
		b.bytes -= it.size
	}
	for i := range b.waiting {
		b.waiting[i] = slices.DeleteFunc(b.waiting[i], func(it *Item[T, R]) bool { return it.sent })
	}
}

// call makes one call and hands out its answers.
func (b *Batcher[T, R]) call(batch []*Item[T, R]) {
	values := make([]T, len(batch))
	for i, it := range batch {
		values[i] = it.value
	}
	answers := b.cfg.Send(values)
	for i, it := range batch {
		it.answer = Answer[R]{Err: ErrNoAnswer}
		if i < len(answers) {
			it.answer = answers[i]
		}
		it.done <- struct{}{} // from here on it is its waiter's
	}
}
