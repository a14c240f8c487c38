package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	behaviour "github.com/sqsonce/sqsonce/failure"
)

// batching calls a batch's function with messages "0", "1", … side by side.
type batching struct {
	t  *testing.T
	do func(context.Context, consumer.Message) (string, error)

	mu    sync.Mutex
	calls []string // guarded by mu; ids of each call of the handler
}

func newBatching(t *testing.T, cfg consumer.BatchConfig, h func(context.Context, []consumer.Message) ([]string, []error, error)) *batching {
	t.Helper()
	b := &batching{t: t}
	do, err := consumer.Batch(func(ctx context.Context, batch []consumer.Message) ([]string, []error, error) {
		ids := make([]string, len(batch))
		for i, m := range batch {
			ids[i] = m.ID
		}
		b.mu.Lock()
		b.calls = append(b.calls, strings.Join(ids, ""))
		b.mu.Unlock()
		return h(ctx, batch)
	}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.do = do
	return b
}

// each handles so many messages, one after the other begun, and returns their answers.
func (b *batching) each(ctx context.Context, n int) (results []string, errs []error) {
	results, errs = make([]string, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { results[i], errs[i] = b.do(ctx, consumer.Message{ID: fmt.Sprint(i)}) })
		synctest.Wait()
	}
	all.Wait()
	return results, errs
}

func (b *batching) want(calls ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got, want := strings.Join(b.calls, " "), strings.Join(calls, " "); got != want {
		b.t.Errorf("batches %q, want %q", got, want)
	}
}

func echo(_ context.Context, batch []consumer.Message) (results []string, failed []error, err error) {
	for _, m := range batch {
		results, failed = append(results, "done "+m.ID), append(failed, nil)
	}
	return results, failed, nil
}

func TestBatch(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"full batch goes at once":             testFullBatch,
		"partial batch goes after its wait":   testPartialBatch,
		"each message has its own outcome":    testOwnOutcome,
		"failure as a whole is shared":        testWholeFailure,
		"not now is passed on":                testNotNow,
		"message that is given up leaves":     testGivenUp,
		"cancelled message cancels the batch": testCancelled,
		"context has its message's values":    testBatchContext,
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

func testFullBatch(t *testing.T) {
	b := newBatching(t, consumer.BatchConfig{Size: 2, Wait: time.Second}, echo)
	start := time.Now()
	results, errs := b.each(t.Context(), 4)
	if took := time.Since(start); took != 0 {
		t.Errorf("took %s", took)
	}
	if got := fmt.Sprint(results, errs); got != "[done 0 done 1 done 2 done 3] [<nil> <nil> <nil> <nil>]" {
		t.Error(got)
	}
	b.want("01", "23")
}

func testPartialBatch(t *testing.T) {
	b := newBatching(t, consumer.BatchConfig{Size: 10, Wait: time.Second}, echo)
	start := time.Now()
	b.each(t.Context(), 3)
	if took := time.Since(start); took != time.Second {
		t.Errorf("took %s, want 1s", took)
	}
	b.each(t.Context(), 1)
	b.want("012", "0")
}

func testOwnOutcome(t *testing.T) {
	b := newBatching(t, consumer.BatchConfig{Size: 3}, func(_ context.Context, batch []consumer.Message) ([]string, []error, error) {
		return []string{"x", "y", "z"}[:len(batch)], []error{nil, errors.New("bad"), nil}, nil
	})
	results, errs := b.each(t.Context(), 3)
	if got := fmt.Sprint(results, errs); got != "[x  z] [<nil> bad <nil>]" {
		t.Error(got)
	}
}

// For every outcome of the handler: the failure of a whole batch counts against no message, and
// then each message is handled alone once.
func testWholeFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		fail      func() ([]string, []error, error)
		uncertain bool
	}{
		"error":              {func() ([]string, []error, error) { return nil, nil, errors.New("failed") }, false},
		"permanent":          {func() ([]string, []error, error) { return nil, nil, consumer.Permanent(errors.New("failed")) }, false},
		"unknown":            {func() ([]string, []error, error) { return nil, nil, unanswered{} }, true},
		"panic":              {func() ([]string, []error, error) { panic("ouch") }, true},
		"goroutine ended":    {func() ([]string, []error, error) { runtime.Goexit(); return nil, nil, nil }, true},
		"results do not fit": {func() ([]string, []error, error) { return make([]string, 2), nil, nil }, true},
		"errors do not fit":  {func() ([]string, []error, error) { return nil, make([]error, 4), nil }, true},
	} {
		b := newBatching(t, consumer.BatchConfig{Size: 3}, func(ctx context.Context, batch []consumer.Message) ([]string, []error, error) {
			if len(batch) > 1 {
				return tc.fail()
			}
			return echo(ctx, batch)
		})
		_, errs := b.each(t.Context(), 3)
		for _, err := range errs {
			shared, permanent := behaviour.Is(err, behaviour.Shared.Shared), behaviour.Is(err, behaviour.Permanent.Permanent)
			if unknown := behaviour.Is(err, behaviour.OutcomeUnknown.OutcomeUnknown); !shared || permanent || unknown != tc.uncertain {
				t.Errorf("%s: %v: shared %v, permanent %v, outcome unknown %v", name, err, shared, permanent, unknown)
			}
		}
		results, errs := b.each(t.Context(), 3)
		if got := fmt.Sprint(results, errs); got != "[done 0 done 1 done 2] [<nil> <nil> <nil>]" {
			t.Errorf("%s: %s", name, got)
		}
		b.each(t.Context(), 3) // together again
		b.want("012", "0", "1", "2", "012")
	}
}

type unanswered struct{}

func (unanswered) Error() string        { return "no answer" }
func (unanswered) OutcomeUnknown() bool { return true }

func testNotNow(t *testing.T) {
	refused := failure{refused: true, after: time.Minute}
	b := newBatching(t, consumer.BatchConfig{Size: 2}, func(context.Context, []consumer.Message) ([]string, []error, error) {
		return nil, nil, refused
	})
	for range 5 {
		if _, errs := b.each(t.Context(), 2); !errors.Is(errs[0], refused) || !errors.Is(errs[1], refused) {
			t.Errorf("got %v, want the handler's own error", errs)
		}
	}
	b.want("01", "01", "01", "0", "1", "01")
	refusals := 0
	b = newBatching(t, consumer.BatchConfig{Size: 2}, func(ctx context.Context, batch []consumer.Message) ([]string, []error, error) {
		if refusals++; refusals%3 == 0 {
			return echo(ctx, batch)
		}
		return nil, nil, refused
	})
	for range 6 {
		b.each(t.Context(), 2)
	}
	b.want("01", "01", "01", "01", "01", "01") // never refused three times in a row
	down := failure{unavailable: true}
	b = newBatching(t, consumer.BatchConfig{Size: 2, Wait: time.Second}, func(context.Context, []consumer.Message) ([]string, []error, error) {
		return nil, nil, down
	})
	for range 2 {
		if _, errs := b.each(t.Context(), 2); !errors.Is(errs[0], down) {
			t.Errorf("got %v, want the handler's own error", errs)
		}
	}
	b.want("01", "0", "1")
}

func testGivenUp(t *testing.T) {
	b := newBatching(t, consumer.BatchConfig{Size: 3, Wait: time.Second}, echo)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := b.do(ctx, consumer.Message{ID: "x"})
		gone <- err
	}()
	synctest.Wait()
	cause := errors.New("lost")
	cancel(cause)
	if err := <-gone; !errors.Is(err, cause) || !behaviour.Is(err, behaviour.NotBegun.NotBegun) {
		t.Errorf("got %v, want an error that says NotBegun and wraps %v", err, cause)
	}
	b.each(t.Context(), 2)
	b.want("01")
}

func testCancelled(t *testing.T) {
	b := newBatching(t, consumer.BatchConfig{Size: 3}, func(ctx context.Context, batch []consumer.Message) ([]string, []error, error) {
		if len(batch) == 1 {
			return echo(ctx, batch)
		}
		<-ctx.Done()
		time.Sleep(time.Second)
		return nil, nil, context.Cause(ctx)
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause, start := errors.New("lost"), time.Now()
	time.AfterFunc(time.Second, func() { cancel(cause) })
	var all sync.WaitGroup
	all.Go(func() { _, _ = b.do(ctx, consumer.Message{ID: "x"}) })
	_, errs := b.each(t.Context(), 2)
	all.Wait()
	for _, err := range errs {
		if !errors.Is(err, cause) || !behaviour.Is(err, behaviour.OutcomeUnknown.OutcomeUnknown) || !behaviour.Is(err, behaviour.Shared.Shared) {
			t.Errorf("got %v, want a shared failure of unknown outcome that wraps %v", err, cause)
		}
	}
	if took := time.Since(start); took != 2*time.Second {
		t.Errorf("took %s: the messages wait until the handler has returned", took)
	}
}

func testBatchContext(t *testing.T) {
	type key struct{}
	b := newBatching(t, consumer.BatchConfig{Size: 2}, func(ctx context.Context, batch []consumer.Message) (results []string, _ []error, _ error) {
		if len(batch) > 1 && ctx.Value(key{}) != nil {
			t.Error("the context of the batch has the values of one message")
		}
		for _, m := range batch {
			results = append(results, m.Context().Value(key{}).(string))
		}
		return results, nil, nil
	})
	var all sync.WaitGroup
	for _, id := range []string{"0", "1", "2"} {
		all.Go(func() {
			got, err := b.do(context.WithValue(t.Context(), key{}, "value of "+id), consumer.Message{ID: id})
			if got != "value of "+id || err != nil {
				t.Errorf("%s: got %q, %v", id, got, err)
			}
		})
	}
	all.Wait()
	if consumer.Message.Context(consumer.Message{}) != context.Background() {
		t.Error("a message outside of a batch has a context")
	}
}

func TestBatchConfig(t *testing.T) {
	for want, cfg := range map[string]consumer.BatchConfig{
		"Size -3: must be at least 1":                                            {Size: -3},
		"Wait -1s: must be positive, and at most 7.5s, a quarter of Lease 30s":   {Wait: -time.Second},
		"Wait 8s: must be positive, and at most 7.5s, a quarter of Lease 30s":    {Wait: 8 * time.Second},
		"Wait 300ms: must be positive, and at most 250ms, a quarter of Lease 1s": {Wait: 300 * time.Millisecond, Lease: time.Second},
		"Lease -1s: must be positive":                                            {Lease: -time.Second},
	} {
		if _, err := consumer.Batch(echo, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", cfg, err, want)
		}
	}
	if _, err := consumer.Batch[string](nil, consumer.BatchConfig{}); err == nil || !strings.Contains(err.Error(), "handler: must be set") {
		t.Errorf("no handler: got %v", err)
	}
}
