package dedupe

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// MaxEffects bounds the writes of one handler: a DynamoDB transaction holds 100
// actions, and one of them is the record.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const MaxEffects = 99

// AddEffect hands a write to the attempt that ctx, a handler's context, belongs
// to. The write is committed in one transaction with the record that says
// "completed", and not at all when the attempt does not complete: for these
// writes, exactly once, crash or no crash. What effect may be is the store's
// business; its package has typed helpers around this function.
//
// It returns an error when ctx belongs to no running attempt, the store is no
// [Committer], the attempt has ended, there are [MaxEffects] already, or the
// store says that it cannot commit it (see [Committer]). Safe for
// concurrent use; the order is that of the calls.
func AddEffect(ctx context.Context, effect any) error {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return errors.New("dedupe: add effect: the context belongs to no attempt")
	}
	return a.effects.add(effect)
}

// effects are the writes that a handler has handed over.
type effects struct {
	committer Committer // nil: the store has no transactions
	recordID  string

	mu    sync.Mutex
	list  []any // guarded by mu
	ended bool  // guarded by mu: the handler has returned
}

func (e *effects) add(effect any) error {
	if e.committer == nil {
		return errors.New("dedupe: add effect: the store has no transactions")
	}
	if err := e.committer.CheckEffect(e.recordID, effect); err != nil {
		return fmt.Errorf("dedupe: add effect: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.ended:
		return errors.New("dedupe: add effect: the attempt has ended")
	case len(e.list) == MaxEffects:
		return fmt.Errorf("dedupe: add effect: the attempt has %d already", MaxEffects)
	}
	e.list = append(e.list, effect)
	return nil
}

// end returns what was added; nothing can be added any more.
func (e *effects) end() []any {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	return e.list
}
