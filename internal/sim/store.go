package sim

import (
	"context"

	"github.com/sqsonce/sqsonce/dedupe"
)

// store is the store as one process reaches it.
type store struct{ p *process }

var (
	_ dedupe.Store     = store{}
	_ dedupe.Reader    = store{}
	_ dedupe.Committer = store{}
)

// Swap implements [dedupe.Store].
func (s store) Swap(ctx context.Context, old dedupe.Version, next dedupe.Record) error {
	return s.p.do(ctx, s.call("swap", next.ID, func(context.Context) error {
		return s.p.w.commit(s.p, old, next, nil)
	}))
}

// Commit implements [dedupe.Committer].
func (s store) Commit(ctx context.Context, old dedupe.Version, next dedupe.Record, effects []any) error {
	return s.p.do(ctx, s.call("commit", next.ID, func(context.Context) error {
		return s.p.w.commit(s.p, old, next, effects)
	}))
}

// Get implements [dedupe.Reader].
func (s store) Get(ctx context.Context, id string) (dedupe.Record, error) {
	var rec dedupe.Record
	c := s.call("get", id, func(context.Context) error {
		rec = s.p.w.record(id)
		return nil
	})
	c.again = false
	err := s.p.do(ctx, c)
	if err != nil {
		return dedupe.Record{}, err
	}
	return rec, nil
}

func (s store) call(op, id string, apply func(context.Context) error) call {
	w := s.p.w
	return call{
		op: op, key: id, rates: w.storeRates(), down: w.isDown(storeDown) || w.isCut(s.p.host), apply: apply, again: true,
		met: func(fate) { w.watch.storeFault(s.p, id) },
	}
}
