package consumer_test

import (
	"context"
	"sync"

	"github.com/sqsonce/sqsonce/consumer"
)

// sharing says how messages share a pool: in batches of at most batch messages, and at most limit
// of a group at a time. The fault tests run with each of sharings.
type sharing struct{ batch, limit int }

var sharings = map[string]sharing{
	"single messages": {}, "batches": {batch: 5}, "group limits": {limit: 3}, "batches and group limits": {batch: 5, limit: 3},
}

// share makes the messages of a pool share it. Their group is the last digit of the body.
func (p *pool) share(s sharing) {
	p.batch, p.cfg.GroupConcurrency = s.batch, s.limit
	if s.limit > 0 {
		p.cfg.GroupBy = func(m consumer.Message) string { return m.Body[len(m.Body)-1:] }
	}
}

// batched hands the messages to h side by side, in batches. It fails the test when two messages of
// a FIFO group are in a batch.
func (p *pool) batched(h consumer.Handler) consumer.Handler {
	do, err := consumer.Batch(func(_ context.Context, batch []consumer.Message) (_ []struct{}, failed []error, _ error) {
		failed = make([]error, len(batch))
		groups := make(map[string]bool)
		var all sync.WaitGroup
		for i, m := range batch {
			if m.GroupID != "" && p.isFIFO() && groups[m.GroupID] {
				p.t.Errorf("two messages of the group %s are in a batch", m.GroupID)
			}
			groups[m.GroupID] = true
			all.Go(func() { failed[i] = h(m.Context(), m) })
		}
		all.Wait()
		return nil, failed, nil
	}, consumer.BatchConfig{Size: p.batch})
	if err != nil {
		p.t.Fatal(err)
	}
	return func(ctx context.Context, m consumer.Message) error {
		_, err := do(ctx, m)
		return err
	}
}
