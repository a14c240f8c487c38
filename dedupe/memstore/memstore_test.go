package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func record(id string, v protocol.Version) protocol.Record {
	return protocol.Record{ID: id, Name: id, Format: protocol.Format, Status: protocol.Completed, Version: v}
}

func increment(stored any) (any, error) {
	n, _ := stored.(int)
	return n + 1, nil
}

func TestMemstore(t *testing.T) {
	t.Run("commit writes all or nothing", testACommitWritesAllOrNothing)
	t.Run("concurrent commits lose no update", testConcurrentCommitsLoseNoUpdate)
	t.Run("store keeps no reference to a result", testTheStoreKeepsNoReferenceToAResult)
	t.Run("cancelled call writes nothing", testACancelledCallWritesNothing)
}

func testACommitWritesAllOrNothing(t *testing.T) {
	refuses := memstore.Write{Key: "b", Update: func(any) (any, error) { return nil, errors.New("no") }}
	counts := memstore.Write{Key: "a", Update: increment}
	for name, tc := range map[string]struct {
		old      protocol.Version
		effects  []any
		conflict bool
		failed   int // index of the effect that fails; -1: none
		written  bool
	}{
		"all":                         {1, []any{counts}, false, -1, true},
		"nothing of a conflict":       {2, []any{counts}, true, -1, false},
		"nothing when one refuses":    {1, []any{counts, refuses}, false, 1, false},
		"a conflict before a refusal": {2, []any{counts, refuses}, true, -1, false},
		"no value twice":              {1, []any{counts, counts}, false, 1, false},
		"nothing unknown":             {1, []any{"text"}, false, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := memstore.New()
			if err := s.Swap(t.Context(), 0, record("x", 1)); err != nil {
				t.Fatal(err)
			}
			err := s.Commit(t.Context(), tc.old, record("x", 9), tc.effects)
			_, conflict := errors.AsType[*dedupe.ConflictError](err)
			effect, failed := errors.AsType[*dedupe.EffectError](err)
			if conflict != tc.conflict || failed != (tc.failed >= 0) || failed && effect.Index != tc.failed {
				t.Errorf("got %v", err)
			}
			r, gerr := s.Get(t.Context(), "x")
			if written := r.Version == 9; gerr != nil || written != tc.written || (s.Value("a") == 1) != tc.written {
				t.Errorf("record at %d, value %v", r.Version, s.Value("a"))
			}
		})
	}
}

func testConcurrentCommitsLoseNoUpdate(t *testing.T) {
	s := memstore.New()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			err := s.Commit(context.Background(), 0, record(fmt.Sprint(i), 1), []any{memstore.Write{Key: "n", Update: increment}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s.Value("n") != 50 {
		t.Errorf("50 increments make %v", s.Value("n"))
	}
}

func testTheStoreKeepsNoReferenceToAResult(t *testing.T) {
	s := memstore.New()
	r := record("x", 1)
	r.Result = []byte("1")
	if err := s.Swap(t.Context(), 0, r); err != nil {
		t.Fatal(err)
	}
	r.Result[0] = '2'
	got, err := s.Get(t.Context(), "x")
	if err != nil || string(got.Result) != "1" {
		t.Fatalf("got %s, %v", got.Result, err)
	}
	got.Result[0] = '3'
	if again, _ := s.Get(t.Context(), "x"); string(again.Result) != "1" {
		t.Errorf("got %s", again.Result)
	}
}

func testACancelledCallWritesNothing(t *testing.T) {
	s := memstore.New()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Swap(ctx, 0, record("x", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Get(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if r, err := s.Get(t.Context(), "x"); err != nil || r.Version != 0 {
		t.Errorf("record at %d, %v", r.Version, err)
	}
}
