package dedupe

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// MaxEffects bounds the writes of one handler. A DynamoDB transaction has at most 100 actions, and
// one of them is the record.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const MaxEffects = 99

// AddEffect adds a write to the attempt of ctx, a handler's context. The write is committed in one
// transaction with the completion of the name, or not at all if the attempt does not complete. So
// it happens exactly once, even after a crash. The type of effect depends on the store; its package
// has typed helpers around this function.
//
// It returns an error if ctx belongs to no running attempt, the store is not a [Committer], the
// attempt has ended, it has [MaxEffects] writes already, or the store cannot commit the effect (see
// [Committer]). It is safe for concurrent use. The writes keep the order of the calls.
func AddEffect(ctx context.Context, effect any) error {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return errors.New("dedupe: add effect: the context belongs to no attempt")
	}
	return a.effects.add(effect)
}

// effects are the writes that a handler has added.
type effects struct {
	committer Committer // nil if the store has no transactions
	recordID  string

	mu    sync.Mutex
	list  []any // guarded by mu
	ended bool  // guarded by mu; the handler has returned
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

// end returns the writes. No more can be added.
func (e *effects) end() []any {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	return e.list
}
