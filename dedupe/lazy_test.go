package dedupe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type valueKey struct{}

var (
	errParent = errors.New("the parent's reason")
	errHand   = errors.New("a reason by hand")
)

// pair is a lazy context and the standard one that it has to be like.
type pair struct {
	name                   string
	lazy, standard, parent context.Context
	cancel                 func(cause error)
	cancelled              bool
	byHand                 context.Context // the standard one that is made to be cancelled
}

// pairs returns one of each kind, under one parent.
func pairs(parent context.Context, d time.Duration) []pair {
	timed := lazily().withTimeout(parent, d)
	standardTimed, cancelTimed := context.WithTimeout(parent, d)
	byHand := lazily().withCancelCause(parent)
	standardByHand, cancelByHand := context.WithCancelCause(parent)
	under := lazily().withTimeout(byHand, d/2)
	standardUnder, cancelUnder := context.WithTimeout(standardByHand, d/2)
	return []pair{
		{"with a timeout", timed, standardTimed, parent, func(error) { timed.cancel(); cancelTimed() }, false, standardByHand},
		{"by hand", byHand, standardByHand, parent, func(cause error) { byHand.cancelCause(cause); cancelByHand(cause) }, false, standardByHand},
		{"with a timeout under one by hand", under, standardUnder, standardByHand, func(error) { under.cancel(); cancelUnder() }, false, standardByHand},
	}
}

// difference says in what the two differ, looked at in one of several ways.
func (p pair) difference(way int) string {
	type view struct {
		err, cause error
		done       bool
		value      any
	}
	look := func(ctx context.Context) (v view) {
		switch way {
		case 0:
			v.err = ctx.Err()
		case 1:
			v.cause = context.Cause(ctx)
		case 2:
			select {
			case <-ctx.Done():
				v.done = true
			default:
			}
		case 3:
			v.value = ctx.Value(valueKey{})
		default: // by a context that is derived from it
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			synctest.Wait()
			v.err, v.cause = child.Err(), context.Cause(child)
		}
		return v
	}
	lazy, standard := look(p.lazy), look(p.standard)
	late := p.cancelled && p.standard != p.byHand
	if at, ok := p.standard.Deadline(); late || ok && !time.Now().Before(at) && p.parent.Err() != nil {
		// Of several ends that nobody has looked at, the first is not known to a lazy one.
		lazy.err, lazy.cause, standard.err, standard.cause = ended(lazy.err), ended(lazy.cause), ended(standard.err), ended(standard.cause)
	}
	if lazy != standard {
		return fmt.Sprintf("%s, looked at in way %d: %+v, standard is %+v", p.name, way, lazy, standard)
	}
	return ""
}

// lazily makes contexts. Each has timers of its own, as those of one test's time
// are of no use in another's.
func lazily() *timers { return new(timers) }

func ended(err error) error {
	if err != nil {
		return errParent
	}
	return nil
}

// TestALazyContextIsLikeTheStandardOne looks at both again and again while the
// parent ends, the time comes, or they are cancelled, in any order.
func TestALazyContextIsLikeTheStandardOne(t *testing.T) {
	for seed := range uint64(500) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			root := context.WithValue(t.Context(), valueKey{}, "value")
			if r.IntN(2) == 0 {
				var stop func()
				root, stop = context.WithTimeout(root, time.Duration(2+2*r.IntN(10))*time.Millisecond)
				defer stop()
			}
			parent, end := context.WithCancelCause(root)
			defer end(nil)
			all := pairs(parent, time.Duration(2+2*r.IntN(10))*time.Millisecond)
			for step := range 12 { // at odd milliseconds, so that nothing comes together with a time
				time.Sleep(time.Millisecond * time.Duration(min(2, 1+step)))
				synctest.Wait()
				for _, p := range all {
					lazy, ok := p.lazy.Deadline()
					if standard, okToo := p.standard.Deadline(); lazy != standard || ok != okToo {
						t.Fatalf("seed %d, %s: ends at %v (%t), standard at %v (%t)", seed, p.name, lazy, ok, standard, okToo)
					}
					if r.IntN(3) == 0 {
						if d := p.difference(r.IntN(5)); d != "" {
							t.Fatalf("seed %d, step %d: %s", seed, step, d)
						}
					}
				}
				switch r.IntN(8) {
				case 0:
					end(errParent)
				case 1:
					p := &all[r.IntN(len(all))]
					p.cancel(errHand)
					p.cancelled = true
				}
			}
			for _, p := range all {
				p.cancel(nil)
			}
		})
	}
}

func TestALazyContextThatOutlivesItsParentEndsTheGraceAfterIt(t *testing.T) {
	for name, test := range map[string]struct {
		asked time.Duration // when its end is asked for
		want  time.Duration // when it ends; the parent has after 1 s
	}{
		"asked before":     {0, 4 * time.Second},
		"asked afterwards": {2 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				parent, end := context.WithTimeout(context.WithValue(t.Context(), valueKey{}, "value"), time.Second)
				defer end()
				ctx := lazily().outliving(parent, 3*time.Second, time.Hour)
				defer ctx.cancel()
				time.Sleep(test.asked)
				if ctx.Err() != nil || ctx.Value(valueKey{}) != "value" {
					t.Errorf("error %v, value %v", ctx.Err(), ctx.Value(valueKey{}))
				}
				<-ctx.Done()
				if took := time.Since(begun); took != test.want || !errors.Is(ctx.Err(), context.Canceled) {
					t.Errorf("ended after %s: %v", took, ctx.Err())
				}
			})
		})
	}
}

func TestALazyContextThatOutlivesItsParentHasATimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		parent, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		ctx := lazily().outliving(parent, time.Hour, time.Minute)
		defer ctx.cancel()
		<-ctx.Done()
		if took := time.Since(begun); took != time.Minute || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("ended after %s: %v", took, ctx.Err())
		}
	})
}

func TestALazyWaitEndsWithWhatComesFirst(t *testing.T) {
	const second = time.Second
	for name, test := range map[string]struct {
		ctx  func(parent context.Context, end func()) *lazyContext // end cancels parent, after 5 s if it is called
		done time.Duration                                         // zero: never
		want time.Duration
	}{
		"the answer": {
			func(p context.Context, _ func()) *lazyContext { return lazily().withTimeout(p, 3*second) }, second, second,
		},
		"its time": {
			func(p context.Context, _ func()) *lazyContext { return lazily().withTimeout(p, 3*second) }, 0, 3 * second,
		},
		"its parent's end": {
			func(p context.Context, end func()) *lazyContext { end(); return lazily().withTimeout(p, 9*second) }, 0, 5 * second,
		},
		"the end of its parent's parent": {
			func(p context.Context, end func()) *lazyContext {
				end()
				return lazily().withTimeout(lazily().withTimeout(p, 8*second), 9*second)
			}, 0, 5 * second,
		},
		"the time of its parent": {
			func(p context.Context, _ func()) *lazyContext {
				return lazily().withTimeout(lazily().withTimeout(p, 2*second), 9*second)
			}, 0, 2 * second,
		},
		"the grace of its parent": {
			func(p context.Context, end func()) *lazyContext {
				end()
				return lazily().withTimeout(lazily().outliving(p, second, time.Hour), 9*second)
			}, 0, 6 * second,
		},
		"its time in its parent's grace": {
			func(p context.Context, end func()) *lazyContext {
				end()
				return lazily().withTimeout(lazily().outliving(p, time.Hour, time.Hour), 9*second)
			}, 0, 9 * second,
		},
		"the answer in its parent's grace": {
			func(p context.Context, end func()) *lazyContext {
				end()
				return lazily().withTimeout(lazily().outliving(p, time.Hour, time.Hour), 9*second)
			}, 7 * second, 7 * second,
		},
		"its parent is cancelled by hand": {
			func(p context.Context, _ func()) *lazyContext {
				byHand := lazily().withCancelCause(p)
				time.AfterFunc(4*second, byHand.cancel)
				return lazily().withTimeout(byHand, 9*second)
			}, 0, 4 * second,
		},
		"it is cancelled by hand": {
			func(p context.Context, _ func()) *lazyContext {
				byHand := lazily().withCancelCause(p)
				time.AfterFunc(4*second, byHand.cancel)
				return byHand
			}, 0, 4 * second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				parent, cancel := context.WithCancel(t.Context())
				defer cancel()
				ctx := test.ctx(parent, func() { time.AfterFunc(5*second, cancel) })
				done := make(chan struct{})
				if test.done > 0 {
					time.AfterFunc(test.done, func() { close(done) })
				}
				came := ctx.WaitFor(done)
				if took := time.Since(begun); took != test.want || came != (test.done > 0) || (ctx.Err() != nil) == came {
					t.Errorf("after %s: %t, %v", took, came, ctx.Err())
				}
				ctx.cancel()
				cancel()
				time.Sleep(10 * second) // the timers that were set
			})
		})
	}
}

func TestLazyContextsAreSafeForConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			parent, end := context.WithCancelCause(t.Context())
			byHand := lazily().withCancelCause(parent)
			settling := lazily().outliving(byHand, time.Second, time.Minute)
			bounded := lazily().withTimeout(settling, 3*time.Second)
			var all sync.WaitGroup
			for _, f := range []func(){
				func() { bounded.WaitFor(nil) }, func() { <-bounded.Done() }, func() { <-settling.Done() }, func() { <-byHand.Done() },
				func() { byHand.cancelCause(errHand) }, func() { end(errParent) },
				func() { _, _ = byHand.Err(), bounded.Err() }, func() { _, _ = context.Cause(byHand), settling.Value(valueKey{}) },
			} {
				all.Go(f)
			}
			all.Wait()
			if cause := context.Cause(byHand); !errors.Is(cause, errHand) && !errors.Is(cause, errParent) {
				t.Fatal(cause)
			}
			bounded.cancel()
			settling.cancel()
		}
	})
}

// What it is for.
func BenchmarkLazyWait(b *testing.B) {
	parent, end := context.WithCancel(b.Context())
	defer end()
	b.Run("standard", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(parent, time.Minute)
			done := make(chan struct{})
			close(done)
			select {
			case <-done:
			case <-ctx.Done():
			}
			cancel()
		}
	})
	b.Run("lazy", func(b *testing.B) {
		all := lazily()
		b.ReportAllocs()
		for b.Loop() {
			ctx := all.withTimeout(parent, time.Minute)
			done := make(chan struct{})
			close(done)
			ctx.WaitFor(done)
			ctx.cancel()
		}
	})
}
