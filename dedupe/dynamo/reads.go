package dynamo

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/batch"
)

// maxKeys is the largest number of keys in a batch read.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
const maxKeys = 100

// Get implements [dedupe.Reader] by a strongly consistent read. For an item that is not a record it
// returns a record that the protocol leaves alone.
func (s *Store) Get(ctx context.Context, id string) (protocol.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return protocol.Record{}, classify("read", id, err)
	}
	if s.reads != nil && !s.singleReads.Load() {
		it, err := s.reads.Do(ctx, id)
		switch {
		case err == nil:
			return s.read(it), nil
		case !errors.Is(err, batch.ErrClosed):
			return protocol.Record{}, classify("read", id, err)
		}
	}
	it, err := s.getItem(ctx, id)
	if err != nil {
		return protocol.Record{}, err
	}
	return s.read(it), nil
}

// getItem reads one item. It returns nil if there is none.
func (s *Store) getItem(ctx context.Context, id string) (found item, err error) {
	err = patiently(ctx, func() (bool, error) {
		sent := time.Now()
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName:      &s.cfg.Table,
			Key:            key(id),
			ConsistentRead: aws.Bool(true),
		}, once)
		if err != nil {
			return false, err
		}
		s.clock.observe(sent, out.ResultMetadata)
		found = out.Item
		return true, nil
	})
	if err != nil {
		return nil, classify("read", id, err)
	}
	return found, nil
}

// pauses are the pauses between two tries of a read.
var pauses = backoff.Policy{First: 25 * time.Millisecond, Max: 800 * time.Millisecond}

// patiently calls read until it is done, fails with an error that no retry cures, or ctx ends. It
// is the only backoff of reads, both for failed calls and for unprocessed keys, because the SDK's
// retries are off. Reads have no effects, so a lost answer needs no further treatment.
func patiently(ctx context.Context, read func() (done bool, err error)) error {
	for try := 0; ; try++ {
		done, err := read()
		k := kindOf(err)
		if done || err != nil && k != kindBusy && k != kindAmbiguous {
			return err
		}
		if over := pauses.Wait(ctx, try); over != nil {
			return cmp.Or(err, over)
		}
	}
}

// sendReads carries out a batch of reads.
func (s *Store) sendReads(ids []string) []batch.Answer[item] {
	ctx, cancel := s.detached()
	defer cancel()
	items, err := s.fetch(ctx, ids)
	answers := make([]batch.Answer[item], len(ids))
	for i, id := range ids {
		answers[i] = batch.Answer[item]{Value: items[id], Err: err}
	}
	return answers
}

// fetch reads items by ID with strong consistency, in one call if the server allows it. Items that
// do not exist are missing from the result.
func (s *Store) fetch(ctx context.Context, ids []string) (map[string]item, error) {
	if ids = distinct(ids); len(ids) == 1 || s.singleReads.Load() {
		return s.fetchEach(ctx, ids)
	}
	items, err := s.batchGet(ctx, ids)
	if k := kindOf(err); err == nil || k != kindDenied && k != kindUnsupported {
		return items, err
	}
	refusal := err
	if items, err = s.fetchEach(ctx, ids); err == nil && s.singleReads.CompareAndSwap(false, true) {
		s.batchRefused("BatchGetItem", refusal)
	}
	return items, err
}

func (s *Store) fetchEach(ctx context.Context, ids []string) (map[string]item, error) {
	items := make(map[string]item, len(ids))
	for _, id := range ids {
		it, err := s.getItem(ctx, id)
		if err != nil {
			return nil, err
		}
		if len(it) > 0 {
			items[id] = it
		}
	}
	return items, nil
}

// batchGet reads until no key is unprocessed, or ctx ends.
func (s *Store) batchGet(ctx context.Context, ids []string) (map[string]item, error) {
	keys := make([]item, len(ids))
	for i, id := range ids {
		keys[i] = key(id)
	}
	pending := map[string]types.KeysAndAttributes{
		s.cfg.Table: {Keys: keys, ConsistentRead: aws.Bool(true)},
	}
	items := make(map[string]item, len(ids))
	err := patiently(ctx, func() (bool, error) {
		sent := time.Now()
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: pending}, once)
		if err != nil {
			return false, err
		}
		s.clock.observe(sent, out.ResultMetadata)
		for _, found := range out.Responses { // a single table, under the name that the server uses
			for _, it := range found {
				items[text(it[AttrID])] = it
			}
		}
		pending = strongly(out.UnprocessedKeys)
		return len(pending) == 0, nil
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// strongly requests strong consistency for unprocessed keys, because the server need not repeat
// that setting. With an older record after a conflict, the next write would fail again.
func strongly(unprocessed map[string]types.KeysAndAttributes) map[string]types.KeysAndAttributes {
	for table, keys := range unprocessed {
		keys.ConsistentRead = aws.Bool(true)
		unprocessed[table] = keys
	}
	return unprocessed
}

// lookup is a batch read for all conflicts of one call.
type lookup struct {
	done  chan struct{} // closed when items and err are set
	items map[string]item
	err   error
}

// lookUp reads the items of conflicts whose answer did not contain them. The successful writes of
// the same call do not wait for it. [Store.Close] does.
func (s *Store) lookUp(ids []string) *lookup {
	l := &lookup{done: make(chan struct{})}
	s.lookups.Go(func() {
		defer close(l.done)
		ctx, cancel := s.detached()
		defer cancel()
		l.items, l.err = s.fetch(ctx, ids)
	})
	return l
}

// wait returns the stored item under the ID of w. It returns when ctx ends, or at the deadline of
// w.
func (l *lookup) wait(ctx context.Context, w *write) (item, error) {
	ctx, cancel := context.WithDeadline(ctx, w.until)
	defer cancel()
	select {
	case <-l.done:
		return l.items[w.id], l.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func key(id string) item { return item{AttrID: &types.AttributeValueMemberS{Value: id}} }

// text returns the string in v, or "" if v is not a string.
func text(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// distinct returns ids without repetitions, because a batch read refuses these.
func distinct(ids []string) []string {
	seen := make(map[string]bool, len(ids))
	kept := make([]string, 0, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			kept = append(kept, id)
		}
	}
	return kept
}
