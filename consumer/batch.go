package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sqsonce/sqsonce/failure"
)

// Defaults of [BatchConfig], and a bound.
const (
	defaultBatchSize  = 10
	defaultBatchWait  = 100 * time.Millisecond
	defaultBatchLease = 30 * time.Second // as package dedupe has it
	waitsInLease      = 4                // Wait is at most this fraction of a lease
	refusalsTogether  = 3                // refusals in a row after which a message is handled alone
	mostApart         = 10_000           // messages whose refusals are remembered, by ids of 36 bytes
)

// BatchConfig configures the batches of [Batch]. The zero value of a field means its default.
type BatchConfig struct {
	// Size is the largest number of messages in a batch. Default 10; at least 1. Each message
	// takes a slot, so [Config.Concurrency] divided by Size is the number of full batches at a
	// time. With fewer slots than Size no batch is ever full, and each waits for Wait.
	Size int

	// Wait is the longest time that the first message of a batch waits for others. Default 100ms;
	// positive, and at most a quarter of Lease.
	Wait time.Duration

	// Lease is the time for which a claim holds the name of a message. Under a guard it must be
	// the Lease of package dedupe's Config. Default 30s, as there.
	Lease time.Duration
}

// WithDefaults returns c with the default for each field that is zero.
func (c BatchConfig) WithDefaults() BatchConfig {
	c.Size = cmp.Or(c.Size, defaultBatchSize)
	c.Wait = cmp.Or(c.Wait, defaultBatchWait)
	c.Lease = cmp.Or(c.Lease, defaultBatchLease)
	return c
}

func (c BatchConfig) validate() error {
	var errs []error
	if c.Size < 1 {
		errs = append(errs, fmt.Errorf("Size %d: must be at least 1", c.Size))
	}
	if c.Lease < 0 {
		errs = append(errs, fmt.Errorf("Lease %s: must be positive", c.Lease))
	}
	if most := c.Lease / waitsInLease; c.Wait < 0 || c.Lease > 0 && c.Wait > most {
		errs = append(errs, fmt.Errorf("Wait %s: must be positive, and at most %s, a quarter of Lease %s", c.Wait, most, c.Lease))
	}
	return errors.Join(errs...)
}

// Batch returns a function that handles one message by calling h with a batch: Size messages, or
// those that arrive within Wait. It returns an error that lists all faults of cfg.
//
// Put the function below the guard, as the work of the root package's New or of package dedupe's
// Wrap. Each message then has its own claim, which is renewed while the message waits, and its own
// outcome. The guard answers duplicates, and messages whose name is held elsewhere, before they
// reach a batch. On a FIFO queue a batch has at most one message of a group, because the next
// message begins after its predecessor has ended.
//
// h returns one result for each message, or nil for no results; and one error for each message (nil
// for success), or nil for no errors. Both have the order of the batch. The third value, err, is
// not nil if the batch has failed as a whole. h must not return before its work on the messages has
// ended.
//
// A failure of the whole batch counts no attempt: its error is a [failure.Shared], unless it is of
// a kind that counts none by itself. Each of its messages is then handled alone once, in a batch of
// one, before it joins a batch again. A panic of h is a failure of the whole batch.
//
// [failure.Refused], [failure.Snoozed] and [failure.Deferred] are no failures. Single calls would
// only add calls, so such messages may share a batch again. After three of these errors in a row a
// message is handled alone once, because a dependency may refuse every call with so many messages.
// The process remembers both for 10,000 messages.
//
// The context of h has no values: those of a message are in [Message.Context]. It is cancelled when
// the context of one of the messages is, with the same cause: a lost lease, a time-out, or a stop.
// If h then fails as a whole, the outcome of the other messages is unknown: their attempts are
// released, or become UNKNOWN where the guard holds such names. A batch of one gets the context of
// its message.
func Batch[R any](
	h func(ctx context.Context, batch []Message) (results []R, failed []error, err error), cfg BatchConfig,
) (func(context.Context, Message) (R, error), error) {
	cfg = cfg.WithDefaults()
	err := cfg.validate()
	if h == nil {
		err = errors.Join(errors.New("handler: must be set"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer: batch: %w", err)
	}
	b := &batcher[R]{handler: h, cfg: cfg}
	b.refusals, err = simplelru.NewLRU[string, int](mostApart, nil)
	return b.do, err
}

// batcher collects messages into batches. It starts only the goroutines of handlers, and the first
// member of a batch joins the goroutine of its handler.
type batcher[R any] struct {
	handler func(context.Context, []Message) ([]R, []error, error)
	cfg     BatchConfig

	mu       sync.Mutex
	open     *openBatch[R]               // guarded by mu; the batch that accepts members; nil: none
	refusals *simplelru.LRU[string, int] // guarded by mu; by message id: in a row, or refusalsTogether to handle it alone
}

// openBatch is a batch that has not begun.
type openBatch[R any] struct {
	members []*member[R]
	timer   *time.Timer
}

// member is a message in a batch.
type member[R any] struct {
	ctx     context.Context // of the call that waits for the result
	message Message
	begun   bool              // guarded by batcher.mu
	lead    chan []*member[R] // buffers one: the batch that this member's goroutine handles
	done    chan struct{}     // closed when another member has handled it
	result  R
	err     error
}

// do handles m in a batch, and returns when the batch has ended.
func (b *batcher[R]) do(ctx context.Context, m Message) (R, error) {
	if b.isAlone(m.ID) {
		return b.single(ctx, m)
	}
	it := b.join(ctx, m)
	select {
	case batch := <-it.lead:
		return b.handle(it, batch)
	case <-it.done:
		return it.result, it.err
	case <-ctx.Done():
	}
	if b.quit(it) {
		return it.result, &notBegunError{context.Cause(ctx)}
	}
	select {
	case batch := <-it.lead:
		return b.handle(it, batch)
	case <-it.done:
		return it.result, it.err
	}
}

// join adds a message to the open batch, which begins when it is full.
func (b *batcher[R]) join(ctx context.Context, m Message) *member[R] {
	it := &member[R]{ctx: ctx, message: m, lead: make(chan []*member[R], 1), done: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		batch := &openBatch[R]{}
		batch.timer = time.AfterFunc(b.cfg.Wait, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.open == batch {
				b.begin()
			}
		})
		b.open = batch
	}
	b.open.members = append(b.open.members, it)
	if len(b.open.members) == b.cfg.Size {
		b.begin()
	}
	return it
}

// begin hands the open batch to its first member. The caller holds mu.
func (b *batcher[R]) begin() {
	members := b.open.members
	b.open.timer.Stop()
	b.open = nil
	for _, it := range members {
		it.begun = true
	}
	members[0].lead <- members
}

// quit removes a member from a batch that has not begun, and reports whether it did.
func (b *batcher[R]) quit(it *member[R]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it.begun {
		return false
	}
	b.open.members = slices.DeleteFunc(b.open.members, func(other *member[R]) bool { return other == it })
	if len(b.open.members) == 0 {
		b.open.timer.Stop()
		b.open = nil
	}
	return true
}

// handle handles a batch in the goroutine of its first member, it.
func (b *batcher[R]) handle(it *member[R], batch []*member[R]) (R, error) {
	if len(batch) == 1 {
		return b.single(it.ctx, it.message)
	}
	b.together(batch)
	for _, other := range batch[1:] {
		close(other.done)
	}
	return it.result, it.err
}

// single handles a message alone, as a handler of single messages would.
func (b *batcher[R]) single(ctx context.Context, m Message) (R, error) {
	results, failed, err := b.handler(ctx, []Message{m.within(ctx)})
	o := outcome[R]{results, failed, err}.checked(1)
	if o.err != nil {
		return *new(R), o.err
	}
	return o.of(0)
}

// together calls the handler with several messages, and sets their results.
func (b *batcher[R]) together(batch []*member[R]) {
	ctx, cancel := context.WithCancelCause(context.Background()) // not the values of one message for all
	defer cancel(nil)
	messages := make([]Message, len(batch))
	for i, it := range batch {
		defer context.AfterFunc(it.ctx, func() { cancel(context.Cause(it.ctx)) })()
		own, end := context.WithCancelCause(it.ctx)
		defer end(nil)
		defer context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })()
		messages[i] = it.message.within(own)
	}
	o := b.call(ctx, messages)
	b.learn(batch, o.err)
	if o.err == nil {
		for i, it := range batch {
			it.result, it.err = o.of(i)
		}
		return
	}
	err := wholeError(o.err, len(batch), ctx.Err() != nil)
	for _, it := range batch {
		it.err = err
	}
}

// call calls the handler in its own goroutine, because the handler may end that (runtime.Goexit).
func (b *batcher[R]) call(ctx context.Context, messages []Message) outcome[R] {
	ended := make(chan outcome[R], 1)
	go func() { // joined through ended
		o := outcome[R]{err: &uncertainError{errGoexit}}
		defer func() {
			if p := recover(); p != nil {
				o.err = &uncertainError{fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())}
			}
			ended <- o.checked(len(messages))
		}()
		o.results, o.failed, o.err = b.handler(ctx, messages)
	}()
	return <-ended
}

// outcome is the values that a handler returned.
type outcome[R any] struct {
	results []R
	failed  []error
	err     error
}

// checked returns o, or a failure of the whole batch if the numbers of values are wrong.
func (o outcome[R]) checked(n int) outcome[R] {
	switch {
	case o.err != nil:
	case o.failed != nil && len(o.failed) != n:
		o.err = &uncertainError{fmt.Errorf("the handler of a batch of %d messages returned %d errors", n, len(o.failed))}
	case o.results != nil && len(o.results) != n:
		o.err = &uncertainError{fmt.Errorf("the handler of a batch of %d messages returned %d results", n, len(o.results))}
	}
	return o
}

// of returns the outcome of message i of a batch that did not fail as a whole.
func (o outcome[R]) of(i int) (r R, err error) {
	if o.failed != nil && o.failed[i] != nil {
		return r, o.failed[i]
	}
	if o.results != nil {
		r = o.results[i]
	}
	return r, nil
}

// isAlone reports whether a message must be handled alone. It is alone once, so it is forgotten.
func (b *batcher[R]) isAlone(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, _ := b.refusals.Peek(id); n < refusalsTogether {
		return false
	}
	return b.refusals.Remove(id)
}

// learn records the members that must be handled alone after their batch ended with err.
func (b *batcher[R]) learn(batch []*member[R], err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, it := range batch {
		id := it.message.ID
		n, _ := b.refusals.Peek(id)
		switch {
		case err == nil:
			b.refusals.Remove(id)
		case isNotNow(err):
			b.refusals.Add(id, n+1)
		default:
			b.refusals.Add(id, refusalsTogether)
		}
	}
}

// isNotNow reports whether err means that no work was done and that the batch may be tried later.
func isNotNow(err error) bool {
	return !failure.Is(err, failure.Permanent.Permanent) && (failure.Is(err, failure.Refused.Refused) ||
		failure.Is(err, failure.Snoozed.Snoozed) || failure.Is(err, failure.Deferred.Deferred))
}

// isDown reports whether err means that a dependency is down.
func isDown(err error) bool {
	return !failure.Is(err, failure.Permanent.Permanent) &&
		(failure.Is(err, failure.Down.Down) || failure.Is(err, failure.Unavailable.Unavailable))
}

// wholeError returns the error of each message of a batch that failed as a whole. An error that
// counts no attempt by itself is returned as it is.
func wholeError(err error, size int, cancelled bool) error {
	if isNotNow(err) || isDown(err) {
		return err
	}
	return &batchError{
		err: err, size: size,
		uncertain: cancelled || failure.Is(err, failure.OutcomeUnknown.OutcomeUnknown),
	}
}

// batchError is the error of a batch that failed as a whole.
type batchError struct {
	err       error
	size      int
	uncertain bool
}

func (e *batchError) Error() string {
	return fmt.Sprintf("a batch of %d messages failed as a whole: %v", e.size, e.err)
}
func (e *batchError) Unwrap() error        { return e.err }
func (e *batchError) Shared() bool         { return true }
func (e *batchError) Permanent() bool      { return false }
func (e *batchError) OutcomeUnknown() bool { return e.uncertain }

// uncertainError is the error of a handler whose outcome is unknown.
type uncertainError struct{ error }

func (e *uncertainError) Unwrap() error        { return e.error }
func (e *uncertainError) OutcomeUnknown() bool { return true }

// notBegunError is the error of a message whose context ended before its batch began.
type notBegunError struct{ cause error }

func (e *notBegunError) Error() string  { return fmt.Sprintf("the batch had not begun: %v", e.cause) }
func (e *notBegunError) Unwrap() error  { return e.cause }
func (e *notBegunError) NotBegun() bool { return true }
