package storetest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
)

// boundedContract is tested with a context that never ends, because the guard sets no deadlines.
var boundedContract = []contract{
	{"a write that nothing answers ends within its time, and its outcome is unknown", func(t *testing.T, b *bench) {
		silent(t, b, func(ctx context.Context, s dedupe.Store) error { return s.Swap(ctx, 0, b.record(10)) })
	}},
	{"so do many writes that wait for each other", func(t *testing.T, b *bench) {
		silent(t, b, func(ctx context.Context, s dedupe.Store) error {
			errs := make(chan error)
			for range contenders {
				go func() { errs <- s.Swap(ctx, 0, b.record(10)) }()
			}
			var all []error
			for range contenders {
				if err := <-errs; err == nil {
					t.Error("a write was answered")
				} else {
					all = append(all, err)
				}
			}
			return errors.Join(all...)
		})
	}},
	{"so does a read", func(t *testing.T, b *bench) {
		silent(t, b, func(ctx context.Context, s dedupe.Store) error {
			r, ok := s.(dedupe.Reader)
			if !ok {
				return errNotOffered
			}
			_, err := r.Get(ctx, b.record(10).ID)
			return err
		})
	}},
	{"so does a commit", func(t *testing.T, b *bench) {
		silent(t, b, func(ctx context.Context, s dedupe.Store) error {
			c, ok := s.(dedupe.Committer)
			if !ok {
				return errNotOffered
			}
			return c.Commit(ctx, 10, b.record(11), []any{b.h.Effects.Increment("counter")})
		})
	}},
}

// errNotOffered replaces the error of a call that the store does not implement.
var errNotOffered = errors.New("not offered")

// silent makes a call on a store whose server does not answer.
func silent(t *testing.T, b *bench, call func(ctx context.Context, s dedupe.Store) error) {
	t.Helper()
	if b.h.Silent == nil {
		t.Fatal("Harness.Silent is missing: the store is Bounded")
	}
	synctest.Test(t, func(t *testing.T) {
		s := b.h.Silent(t)
		most, start := s.(dedupe.Bounded).CallTimeout(), time.Now()
		err := call(context.WithoutCancel(t.Context()), s)
		if took := time.Since(start); took > most {
			t.Errorf("took %s, want at most %s", took, most)
		}
		if _, lost := errors.AsType[*dedupe.ConflictError](err); lost || err == nil {
			t.Errorf("got %v, want an error that is no conflict", err)
		}
	})
}
