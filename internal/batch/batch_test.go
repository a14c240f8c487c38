package batch_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce/internal/batch"
	"github.com/sqsonce/sqsonce/internal/pinned"
)

const roundTrip = 10 * time.Millisecond

// recorder is a peer whose calls take a round trip. It records them.
type recorder struct {
	mu      sync.Mutex
	calls   [][]int // guarded by mu
	out     int     // guarded by mu
	maxOut  int     // guarded by mu
	answers func(items []int) []batch.Answer[string]
}

func (r *recorder) send(items []int) []batch.Answer[string] {
	r.mu.Lock()
	r.calls = append(r.calls, slices.Clone(items))
	r.out++
	r.maxOut = max(r.maxOut, r.out)
	r.mu.Unlock()
	time.Sleep(roundTrip)
	r.mu.Lock()
	r.out--
	r.mu.Unlock()
	if r.answers != nil {
		return r.answers(items)
	}
	answers := make([]batch.Answer[string], len(items))
	for i, v := range items {
		answers[i].Value = fmt.Sprint(v)
	}
	return answers
}

// all adds 0 to n-1 in order, at one moment, and returns the errors.
func all(b *batch.Batcher[int, string], n int) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			got, err := b.Do(context.Background(), i)
			if err == nil && got != fmt.Sprint(i) {
				err = fmt.Errorf("item %d got the answer %q", i, got)
			}
			errs[i] = err
		})
		synctest.Wait()
	}
	wg.Wait()
	return errs
}

func sizes(calls [][]int) []int {
	n := make([]int, len(calls))
	for i, c := range calls {
		n[i] = len(c)
	}
	return n
}

func TestLoneAndFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 10, Calls: 3})
		start := time.Now()
		if err := errors.Join(all(b, 27)...); err != nil {
			t.Error(err)
		}
		b.Close()
		// A call for one item, two full batches beside it, and the rest at the pace of a busy
		// sender.
		if got := sizes(r.calls); !slices.Equal(got, []int{1, 10, 10, 6}) {
			t.Errorf("batches of %v", got)
		}
		if took := time.Since(start); took != roundTrip*4/3+roundTrip {
			t.Errorf("took %s", took)
		}
	})
}

func TestAdd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 10, Calls: 2})
		if added := b.Add(); len(added) != 0 {
			t.Errorf("nothing became %d items", len(added))
		}
		added := b.Add(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
		for i, it := range added {
			if got, err := it.Wait(t.Context()); err != nil || got != fmt.Sprint(i) {
				t.Errorf("item %d: %q, %v", i, got, err)
			}
		}
		if got := fmt.Sprint(r.calls); got != "[[0 1 2 3 4 5 6 7 8 9] [10 11]]" {
			t.Errorf("calls: %s", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		out := b.Add(12, 13)
		synctest.Wait()
		late := b.Add(14)[0]
		cancel()
		if _, err := late.Wait(ctx); !errors.Is(err, batch.ErrWithdrawn) {
			t.Errorf("given up before it was sent: %v", err)
		}
		if _, err := out[1].Wait(ctx); !errors.Is(err, batch.ErrAmbiguous) {
			t.Errorf("given up while out: %v", err)
		}
		b.Close()
		if _, err := b.Add(15)[0].Wait(t.Context()); !errors.Is(err, batch.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 2, Calls: 4})
		if err := errors.Join(all(b, 50)...); err != nil {
			t.Error(err)
		}
		b.Close()
		if r.maxOut != 4 {
			t.Errorf("%d calls out at a time", r.maxOut)
		}
	})
}

// One call hangs for 3 s while an item arrives every 20 ms. The other items do not wait for it.
func TestSlowCall(t *testing.T) {
	const hang, every = 3 * time.Second, 2 * roundTrip
	for _, c := range []struct{ calls, items int }{{1, 7}, {8, 7}, {8, 2}} {
		t.Run(fmt.Sprintf("%d calls %d items", c.calls, c.items), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batch.New(batch.Config[int, int]{Max: 10, Calls: c.calls, Send: func(items []int) []batch.Answer[int] {
					took := roundTrip
					if items[0] == 0 {
						took = hang
					}
					time.Sleep(took)
					return make([]batch.Answer[int], len(items))
				}})
				var worst time.Duration
				var mu sync.Mutex
				var all sync.WaitGroup
				for item := range c.items { // too few to fill a call
					all.Go(func() {
						start := time.Now()
						if _, err := b.Do(t.Context(), item); err != nil {
							t.Error(err)
						}
						mu.Lock()
						defer mu.Unlock()
						if item > 0 {
							worst = max(worst, time.Since(start))
						}
					})
					time.Sleep(every)
				}
				all.Wait()
				b.Close()
				if c.calls == 1 { // no call overtakes the hanging one
					if worst <= hang-every {
						t.Errorf("the worst of the others took %s", worst)
					}
				} else if worst > 50*time.Millisecond+roundTrip { // the pace before the first answer
					t.Errorf("the worst of the others took %s", worst)
				}
			})
		})
	}
}

// A partial batch waits for the pace of calls that take a second. A shorter call ends, and the
// batch is sent at the new pace.
func TestWakeMovesForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var began []time.Duration
		var mu sync.Mutex
		b := batch.New(batch.Config[int, int]{Max: 2, Send: func(items []int) []batch.Answer[int] {
			mu.Lock()
			began = append(began, time.Since(start))
			mu.Unlock()
			if items[0] < 2 {
				time.Sleep(time.Second)
			} else {
				time.Sleep(roundTrip)
			}
			return make([]batch.Answer[int], len(items))
		}})
		b.Add(0)
		time.Sleep(time.Second)
		synctest.Wait()
		b.Add(1)
		time.Sleep(3 * roundTrip)
		b.Add(2, 3)
		last := b.Add(4)[0]
		if _, err := last.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		b.Close()
		full := time.Second + 3*roundTrip
		if want := []time.Duration{0, time.Second, full, full + roundTrip*4/3}; !slices.Equal(began, want) {
			t.Errorf("calls began at %v, want %v", began, want)
		}
	})
}

// Items that are added one after the other at one moment share a call, including the first. A
// single item waits for nothing.
func TestJoin(t *testing.T) {
	for _, n := range []int{1, 5, 10, 12} {
		t.Run(fmt.Sprintf("%d items", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := pinned.With(t.Context(), pinned.Sources{Yield: func(string) { time.Sleep(time.Nanosecond) }})
				r := &recorder{}
				b := batch.New(batch.Config[int, string]{Send: r.send, Max: 10})
				start := time.Now()
				var all sync.WaitGroup
				for i := range n {
					all.Go(func() {
						if _, err := b.Do(ctx, i); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				took := time.Since(start)
				b.Close()
				if want := (n + 9) / 10; len(r.calls) != want || n <= 10 && took > roundTrip+time.Nanosecond {
					t.Errorf("calls of %v in %s", sizes(r.calls), took)
				}
			})
		})
	}
}

// An item waits for the pace. Items that are added when it becomes due share its call.
func TestJoinAtPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pace = roundTrip * 4 / 3
		ctx := pinned.With(t.Context(), pinned.Sources{Yield: func(string) { time.Sleep(time.Nanosecond) }})
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 10})
		var all sync.WaitGroup
		for at, items := range map[time.Duration][]int{0: {0, 1, 2, 3}, roundTrip / 2: {4}, pace + time.Nanosecond: {5, 6, 7}} {
			for _, i := range items {
				all.Go(func() {
					time.Sleep(at)
					if _, err := b.Do(ctx, i); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		b.Close()
		if got := sizes(r.calls); !slices.Equal(got, []int{4, 4}) {
			t.Errorf("calls of %v", r.calls)
		}
	})
}

// The only call hangs. An item that waits for it is given up in time and not sent later.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hang, timeout = 5 * time.Second, 2 * time.Second
		var sent []int
		b := batch.New(batch.Config[int, int]{Max: 10, Calls: 1, Timeout: timeout, Send: func(items []int) []batch.Answer[int] {
			sent = append(sent, items...)
			time.Sleep(hang)
			return make([]batch.Answer[int], len(items))
		}})
		start := time.Now()
		hanging := b.Add(0)[0]
		time.Sleep(time.Second)
		late := b.Add(1, 2)
		time.Sleep(time.Second)
		b.Add(3)
		for _, it := range late {
			_, err := it.Wait(t.Context())
			if took := time.Since(start); took != time.Second+timeout {
				t.Errorf("given up after %s", took)
			}
			if !errors.Is(err, batch.ErrWithdrawn) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("given up: %v", err)
			}
		}
		if _, err := hanging.Wait(t.Context()); err != nil {
			t.Errorf("a call outlives the timeout: %v", err)
		}
		b.Close()
		if !slices.Equal(sent, []int{0}) {
			t.Errorf("sent %v", sent)
		}
	})
}

// While a call hangs, one item arrives each millisecond. Partial batches are sent at the pace of
// the other calls, which take a round trip.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pace = roundTrip * 4 / 3
		start := time.Now()
		var began []time.Duration
		var mu sync.Mutex
		b := batch.New(batch.Config[int, int]{Max: 100, Send: func(items []int) []batch.Answer[int] {
			mu.Lock()
			began = append(began, time.Since(start))
			mu.Unlock()
			time.Sleep(roundTrip)
			if items[0] == 1 {
				time.Sleep(time.Second)
			}
			return make([]batch.Answer[int], len(items))
		}})
		b.Add(0)
		time.Sleep(roundTrip)
		synctest.Wait()
		b.Add(1) // hangs
		for i := range 100 {
			b.Add(2 + i)
			time.Sleep(time.Millisecond)
		}
		mu.Lock()
		paced := slices.Clone(began)
		mu.Unlock()
		b.Close() // sends the waiting items
		for i, at := range paced[2:] {
			if gap := at - paced[1+i]; gap < pace || gap >= pace+time.Millisecond {
				t.Errorf("call %d began %s after the previous one, want %s", 2+i, gap, pace)
			}
		}
		if len(paced) < 8 {
			t.Errorf("calls began at %v", paced)
		}
	})
}

// Calls take log-normal times (median 6 ms, 99th percentile 60 ms). 50 senders wait for each of
// their items, and up to 10 ms before the next. Sharing calls costs them little time.
func TestVaryingCalls(t *testing.T) {
	const senders, each = 50, 300
	run := func(t *testing.T, most int) (took []time.Duration, calls int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 0))
			var mu sync.Mutex
			b := batch.New(batch.Config[int, int]{Max: most, Send: func(items []int) []batch.Answer[int] {
				mu.Lock()
				calls++
				d := time.Duration(6e6 * math.Exp(math.Ln10/2.3263*random.NormFloat64()))
				mu.Unlock()
				time.Sleep(d)
				return make([]batch.Answer[int], len(items))
			}})
			ctx := pinned.With(t.Context(), pinned.Sources{Yield: func(string) { time.Sleep(time.Nanosecond) }})
			var all sync.WaitGroup
			for range senders {
				all.Go(func() {
					for i := range each {
						start := time.Now()
						if _, err := b.Do(ctx, i); err != nil {
							t.Error(err)
						}
						mu.Lock()
						took = append(took, time.Since(start))
						pause := time.Duration(random.IntN(10_000_000))
						mu.Unlock()
						time.Sleep(pause)
					}
				})
			}
			all.Wait()
			b.Close()
		})
		slices.Sort(took)
		return took, calls
	}
	mean := func(took []time.Duration) (sum time.Duration) {
		for _, d := range took {
			sum += d
		}
		return sum / time.Duration(len(took))
	}
	single, _ := run(t, 1)
	batched, calls := run(t, 25)
	p99 := senders * each * 99 / 100
	t.Logf("mean %s, p99 %s alone; %s, %s in %d calls", mean(single), single[p99], mean(batched), batched[p99], calls)
	if calls > senders*each/3 {
		t.Errorf("%d calls for %d items", calls, senders*each)
	}
	if mean(batched) > mean(single)*6/5 || batched[p99] > single[p99]*6/5 {
		t.Errorf("mean %s, p99 %s with batches; %s, %s without", mean(batched), batched[p99], mean(single), single[p99])
	}
}

func TestMaxBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{
			Send: r.send, Max: 10, Calls: 1, MaxBytes: 5, Size: func(v int) int { return v },
		})
		if err := errors.Join(all(b, 8)...); err != nil {
			t.Error(err)
		}
		b.Close()
		if want := [][]int{{0}, {1, 2}, {3}, {4}, {5}, {6}, {7}}; fmt.Sprint(r.calls) != fmt.Sprint(want) {
			t.Errorf("calls %v, want %v", r.calls, want)
		}
	})
}

func TestUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{
			Send: r.send, Max: 3, Calls: 1, Urgent: func(v int) bool { return v%2 == 1 },
		})
		if err := errors.Join(all(b, 7)...); err != nil {
			t.Error(err)
		}
		b.Close()
		if want := [][]int{{0}, {1, 3, 5}, {2, 4, 6}}; fmt.Sprint(r.calls) != fmt.Sprint(want) {
			t.Errorf("calls %v, want %v", r.calls, want)
		}
	})
}

func TestKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{
			Send: r.send, Max: 4, Calls: 1, Key: func(v int) string { return fmt.Sprint(v % 3) },
		})
		if err := errors.Join(all(b, 10)...); err != nil {
			t.Error(err)
		}
		b.Close()
		if want := [][]int{{0}, {1, 2, 3}, {4, 5, 6}, {7, 8, 9}}; fmt.Sprint(r.calls) != fmt.Sprint(want) {
			t.Errorf("calls %v, want %v", r.calls, want)
		}
	})
}

// An item that waits for another with its key does not count towards a full batch.
func TestKeyTakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{
			Send: r.send, Max: 10, Calls: 1, MaxBytes: 10,
			Size: func(v int) int { return v % 10 }, Key: func(v int) string { return fmt.Sprint(v % 2) },
		})
		var wg sync.WaitGroup
		for _, v := range []int{1, 2, 8, 7} { // 8 has the key of 2
			wg.Go(func() {
				if _, err := b.Do(context.Background(), v); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		b.Close()
		if want := [][]int{{1}, {2, 7}, {8}}; fmt.Sprint(r.calls) != fmt.Sprint(want) {
			t.Errorf("calls %v, want %v", r.calls, want)
		}
	})
}

// A withdrawn item does not count towards a full batch.
func TestWithdrawnTakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{
			Send: r.send, Max: 3, Calls: 2, MaxBytes: 10, Size: func(v int) int { return v },
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		do := func(ctx context.Context, v int) {
			wg.Go(func() { _, _ = b.Do(ctx, v) })
			synctest.Wait()
		}
		do(t.Context(), 1) // in flight
		do(ctx, 8)
		do(ctx, 1)
		cancel()
		synctest.Wait()
		do(t.Context(), 2)
		do(t.Context(), 3)
		wg.Wait()
		b.Close()
		if want := [][]int{{1}, {2, 3}}; fmt.Sprint(r.calls) != fmt.Sprint(want) {
			t.Errorf("calls %v, want %v", r.calls, want)
		}
	})
}

func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := errors.New("odd")
		r := &recorder{answers: func(items []int) []batch.Answer[string] {
			var answers []batch.Answer[string]
			for _, v := range items {
				a := batch.Answer[string]{Value: fmt.Sprint(v)}
				if v%2 == 1 {
					a = batch.Answer[string]{Err: odd}
				}
				answers = append(answers, a)
			}
			return answers
		}}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 10})
		for i, err := range all(b, 9) {
			if errors.Is(err, odd) != (i%2 == 1) || i%2 == 0 && err != nil {
				t.Errorf("item %d: %v", i, err)
			}
		}
		b.Close()
	})
}

func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{answers: func([]int) []batch.Answer[string] { return nil }}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 10})
		if _, err := b.Do(t.Context(), 1); !errors.Is(err, batch.ErrNoAnswer) {
			t.Errorf("got %v", err)
		}
		b.Close()
	})
}

func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 10, Calls: 1})
		ctx, cancel := context.WithTimeout(t.Context(), roundTrip/2)
		defer cancel()
		var sent, waiting error
		var wg sync.WaitGroup
		wg.Go(func() { _, sent = b.Do(ctx, 1) })
		synctest.Wait()
		wg.Go(func() { _, waiting = b.Do(ctx, 2) })
		wg.Wait()
		b.Close()
		if !errors.Is(sent, batch.ErrAmbiguous) || !errors.Is(sent, context.DeadlineExceeded) {
			t.Errorf("sent: %v", sent)
		}
		if !errors.Is(waiting, batch.ErrWithdrawn) || !errors.Is(waiting, context.DeadlineExceeded) {
			t.Errorf("waiting: %v", waiting)
		}
		if want := [][]int{{1}}; fmt.Sprint(r.calls) != fmt.Sprint(want) {
			t.Errorf("calls %v, want %v", r.calls, want)
		}
	})
}

func TestBatch(t *testing.T) {
	t.Run("given up at any moment", testGivenUpAtAnyMoment)
}

// Callers give up before their item is sent, while it is in flight, and as its answer arrives. A
// caller only ever gets its own answer.
func testGivenUpAtAnyMoment(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{}
			b := batch.New(batch.Config[int, string]{Send: r.send, Max: 4, Calls: 2})
			var callers sync.WaitGroup
			var answered, givenUp atomic.Int64
			for caller := range 12 {
				random := rand.New(rand.NewPCG(seed, uint64(caller)))
				callers.Go(func() {
					for i := range 50 {
						item := 1000*caller + i
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(6))*roundTrip/2)
						got, err := b.Do(ctx, item)
						cancel()
						switch {
						case err == nil && got == fmt.Sprint(item):
							answered.Add(1)
						case errors.Is(err, batch.ErrWithdrawn), errors.Is(err, batch.ErrAmbiguous):
							givenUp.Add(1)
						default:
							t.Errorf("seed %d: item %d got %q, %v", seed, item, got, err)
						}
					}
				})
			}
			callers.Wait()
			b.Close()
			if answered.Load() == 0 || givenUp.Load() == 0 {
				t.Errorf("seed %d: %d answered, %d given up", seed, answered.Load(), givenUp.Load())
			}
		})
	}
}

// An answer that has arrived takes precedence over the end of the context.
func TestAnswerBeforeContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 100})
		ctx, cancel := context.WithCancel(t.Context())
		values := make([]int, 50)
		items := b.Add(values...)
		b.Close()
		cancel()
		for _, item := range items {
			if got, err := item.Wait(ctx); err != nil || got != "0" {
				t.Fatalf("%q, %v", got, err)
			}
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 10, Calls: 1})
		errs := make([]error, 25)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = b.Do(context.Background(), i) })
		}
		synctest.Wait()
		b.Close()
		if _, err := b.Do(t.Context(), 99); !errors.Is(err, batch.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
}

// Close does not wait for the pace of partial batches.
func TestCloseSendsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := batch.New(batch.Config[int, string]{Send: r.send, Max: 3})
		b.Add(0, 1, 2)
		time.Sleep(roundTrip)
		synctest.Wait()
		last := b.Add(3)[0] // no call is in flight; the last one was full
		b.Close()
		if got, err := last.Wait(t.Context()); err != nil || got != "3" {
			t.Errorf("%q, %v", got, err)
		}
		if got := fmt.Sprint(r.calls); got != "[[0 1 2] [3]]" {
			t.Errorf("calls %s", got)
		}
	})
}

// BenchmarkDo measures the overhead of the batcher with 100 senders.
func BenchmarkDo(b *testing.B) {
	answers := make([]batch.Answer[int], 25)
	bt := batch.New(batch.Config[int, int]{
		Send: func(items []int) []batch.Answer[int] { return answers[:len(items)] }, Max: 25,
		MaxBytes: 1 << 20, Size: func(int) int { return 1000 }, Key: func(v int) string { return keys[v%len(keys)] },
	})
	defer bt.Close()
	b.ReportAllocs()
	b.SetParallelism(50)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := bt.Do(b.Context(), i); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

var keys = func() []string {
	s := make([]string, 1000)
	for i := range s {
		s[i] = fmt.Sprint("key-", i)
	}
	return s
}()

// Random items are added at random times to a server with random delays. Each item is answered
// once, and no call breaks the rule.
func TestRule(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rule := &rule{
			most: rapid.IntRange(1, 12).Draw(r, "max"), calls: rapid.IntRange(1, 4).Draw(r, "calls"),
			maxBytes: rapid.SampledFrom([]int{0, 50}).Draw(r, "maxBytes"), keyed: rapid.Bool().Draw(r, "keyed"),
			began: map[int]time.Time{}, sent: map[int]int{},
		}
		things := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) thing {
			return thing{
				size: rapid.IntRange(0, 60).Draw(r, "size"), key: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "key"),
				urgent: rapid.Bool().Draw(r, "urgent"), slow: rapid.IntRange(0, 9).Draw(r, "slow") == 0,
			}
		}), 1, 60).Draw(r, "things")
		gaps := rapid.SliceOfN(rapid.IntRange(0, 5), len(things), len(things)).Draw(r, "gaps")
		synctest.Test(t, func(*testing.T) { rule.play(things, gaps) })
		if len(rule.broken) > 0 {
			r.Fatalf("%v", rule.broken)
		}
	})
}

// thing is an item of a random size.
type thing struct {
	id, size     int
	key          string
	urgent, slow bool
}

// rule is a server that checks each call against the rule of batches.
type rule struct {
	most, calls, maxBytes int
	keyed                 bool

	mu             sync.Mutex
	began          map[int]time.Time // calls that are out
	sent           map[int]int       // by item
	last, answered time.Time         // of the latest call, and of the first answer
	carried        int               // by the latest call
	broken         []string
}

func (r *rule) complain(format string, args ...any) {
	r.broken = append(r.broken, fmt.Sprintf(format, args...))
}

// play adds each thing, waits for the milliseconds of its gap, and checks the answers.
func (r *rule) play(things []thing, gaps []int) {
	cfg := batch.Config[thing, int]{
		Max: r.most, Calls: r.calls, MaxBytes: r.maxBytes,
		Size: func(th thing) int { return th.size }, Urgent: func(th thing) bool { return th.urgent }, Send: r.send,
	}
	if r.keyed {
		cfg.Key = func(th thing) string { return th.key }
	}
	b := batch.New(cfg)
	var all sync.WaitGroup
	for i, th := range things {
		th.id = i
		all.Go(func() {
			if got, err := b.Do(context.Background(), th); err != nil || got != i {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.complain("item %d was answered %d, %v", i, got, err)
			}
		})
		time.Sleep(time.Duration(gaps[i]) * time.Millisecond)
	}
	all.Wait()
	b.Close()
	for i := range things {
		if r.sent[i] != 1 {
			r.complain("item %d was sent %d times", i, r.sent[i])
		}
	}
}

// send is a call.
func (r *rule) send(items []thing) []batch.Answer[int] {
	took := roundTrip
	if slices.ContainsFunc(items, func(th thing) bool { return th.slow }) {
		took = 20 * roundTrip
	}
	r.begin(items)
	time.Sleep(took)
	r.mu.Lock()
	delete(r.began, items[0].id)
	if r.answered.IsZero() {
		r.answered = time.Now()
	}
	r.mu.Unlock()
	answers := make([]batch.Answer[int], len(items))
	for i, th := range items {
		answers[i].Value = th.id
	}
	return answers
}

// begin checks a call that goes out.
func (r *rule) begin(items []thing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bytes, keys := 0, map[string]bool{}
	for _, th := range items {
		bytes += th.size
		if r.keyed && keys[th.key] {
			r.complain("two items with one key in a call")
		}
		keys[th.key] = true
		r.sent[th.id]++
	}
	pace := roundTrip * 4 / 3 // no call takes less than a round trip
	if r.answered.IsZero() {
		pace = 50 * time.Millisecond
	}
	alone := len(r.began) == 0 && (r.carried < 2 || 3*r.carried < r.most)
	full := len(items) == r.most || r.maxBytes > 0 && bytes+60 > r.maxBytes
	if !r.keyed && !full && !alone && time.Since(r.last) < pace {
		r.complain("%d items of %d bytes beside %d calls, %s after the last", len(items), bytes, len(r.began), time.Since(r.last))
	}
	r.began[items[0].id], r.last, r.carried = time.Now(), time.Now(), len(items)
	if len(r.began) > r.calls || len(items) > r.most || r.maxBytes > 0 && len(items) > 1 && bytes > r.maxBytes {
		r.complain("%d items of %d bytes in one of %d calls", len(items), bytes, len(r.began))
	}
}
