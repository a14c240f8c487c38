package sim

import (
	"context"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// keeper keeps the records of a run.
type keeper interface {
	// open returns the store for one process, with faults, and the clock of the process's guard.
	open(p *process) (dedupe.Store, func() time.Time, error)

	// record returns the stored record, without faults.
	record(id string) protocol.Record

	// count adds a write to a handler's transaction that counts completions.
	count(ctx context.Context, name string) error

	// counted returns the number of these writes that were applied.
	counted(name string) int
}

// inMemory keeps records in a memstore.
type inMemory struct {
	w    *world
	base *memstore.Store

	swaps sync.Mutex // makes a write and its report to the watch atomic
}

func (k *inMemory) open(p *process) (dedupe.Store, func() time.Time, error) {
	return store{p, k}, p.now, nil
}

func (k *inMemory) record(id string) protocol.Record {
	rec, _ := k.base.Get(context.Background(), id) // fails only with its context
	return rec
}

func (k *inMemory) count(ctx context.Context, name string) error {
	return memstore.Add(ctx, memstore.Write{Key: name, Update: func(stored any) (any, error) {
		n, _ := stored.(int)
		return n + 1, nil
	}})
}

func (k *inMemory) counted(name string) int {
	n, _ := k.base.Value(name).(int)
	return n
}

// commit writes to the store and reports the write to the watch.
func (k *inMemory) commit(p *process, old protocol.Version, next protocol.Record, effects []any) error {
	k.swaps.Lock()
	defer k.swaps.Unlock()
	before := k.record(next.ID)
	if err := k.base.Commit(context.Background(), old, next, effects); err != nil {
		return err
	}
	k.w.watch.stored(p, before, next)
	return nil
}

// store is one process's connection to a memstore, with faults.
type store struct {
	p *process
	k *inMemory
}

var (
	_ dedupe.Store     = store{}
	_ dedupe.Reader    = store{}
	_ dedupe.Committer = store{}
	_ dedupe.Bounded   = store{}
)

// storeTimeout bounds one call of the store.
func (w *world) storeTimeout() time.Duration { return min(3*time.Second, w.plan.Lease/3) }

// CallTimeout implements [dedupe.Bounded].
func (s store) CallTimeout() time.Duration { return s.p.w.storeTimeout() }

// Swap implements [dedupe.Store].
func (s store) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	ctx, cancel := context.WithTimeout(ctx, s.CallTimeout())
	defer cancel()
	return s.p.do(ctx, s.call("swap", next.ID, func(context.Context) error {
		return s.k.commit(s.p, old, next, nil)
	}))
}

// Commit implements [dedupe.Committer].
func (s store) Commit(ctx context.Context, old protocol.Version, next protocol.Record, effects []any) error {
	ctx, cancel := context.WithTimeout(ctx, s.CallTimeout())
	defer cancel()
	return s.p.do(ctx, s.call("commit", next.ID, func(context.Context) error {
		return s.k.commit(s.p, old, next, effects)
	}))
}

// CheckEffect implements [dedupe.Committer].
func (s store) CheckEffect(recordID string, effect any) error {
	return s.k.base.CheckEffect(recordID, effect)
}

// Get implements [dedupe.Reader].
func (s store) Get(ctx context.Context, id string) (protocol.Record, error) {
	var rec protocol.Record
	c := s.call("get", id, func(context.Context) error {
		rec = s.k.record(id)
		return nil
	})
	c.again = false
	ctx, cancel := context.WithTimeout(ctx, s.CallTimeout())
	defer cancel()
	err := s.p.do(ctx, c)
	if err != nil {
		return protocol.Record{}, err
	}
	return rec, nil
}

func (s store) call(op, id string, apply func(context.Context) error) call {
	w := s.p.w
	return call{
		op: op, key: id, rates: w.storeRates(), down: w.isDown(storeDown) || w.isCut(s.p.host), apply: apply, again: true,
		met: func(f fate) { w.watch.storeFault(s.p, f, id) },
	}
}
