package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestDuplicate(t *testing.T) {
	t.Run("name held for an hour", testNameHeldForAnHour)
	t.Run("work of two seconds", testShortWork)
	t.Run("long job", testLongJob)
	t.Run("rejected name", testRejectedName)
	t.Run("redrive", testRedrive)
}

// A duplicate of a name that is held for an hour is not dead-lettered, even with a maxReceiveCount
// of 1, in the owner's process or in another.
func testNameHeldForAnHour(t *testing.T) {
	for _, maxReceives := range []int{1, 10} {
		for _, elsewhere := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d receives, elsewhere %v", maxReceives, elsewhere), func(t *testing.T) {
				bubble(t, maxReceives, func(t *testing.T, w *world) {
					owner, other := w.worker("owner"), w.worker("other")
					owner.work = func(ctx context.Context, _ consumer.Message) (string, error) { return "", sleepOr(ctx, time.Hour) }
					other.work = owner.work
					owner.start()
					w.send("order-17")
					time.Sleep(time.Minute)
					if elsewhere {
						owner.pool.Pause()
						time.Sleep(time.Minute)
						other.start()
					}
					w.send("order-17")
					time.Sleep(57 * time.Minute)
					w.wantDepths(2, 0)
					time.Sleep(20 * time.Minute)
					w.wantDepths(0, 0)
					if runs := w.ran("order-17"); len(runs) != 1 {
						t.Errorf("ran %v", runs)
					}
					owner.finishClean()
					if elsewhere {
						other.finishClean()
					}
				})
			})
		}
	}
}

// A duplicate of short work waits in its worker. It takes seconds, not the length of a lease, and
// no further receive.
func testShortWork(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		t.Run(fmt.Sprintf("elsewhere %v", elsewhere), func(t *testing.T) {
			bubble(t, 10, func(t *testing.T, w *world) {
				work, begun := 2*time.Second, 500*time.Millisecond
				if elsewhere { // starts after the end of the owner's last poll
					work, begun = 32*time.Second, 30*time.Second
				}
				owner, other := w.worker("owner"), w.worker("other")
				owner.work = func(ctx context.Context, _ consumer.Message) (string, error) { return "", sleepOr(ctx, work) }
				var mu sync.Mutex
				receives := 0 // guarded by mu
				for _, p := range []*worker{owner, other} {
					p.config.Hooks.Ended = func(m consumer.Message, _ consumer.Disposition) {
						mu.Lock()
						defer mu.Unlock()
						receives = max(receives, m.ReceiveCount)
					}
				}
				owner.start()
				w.send("order-17")
				if elsewhere {
					time.Sleep(time.Second)
					owner.pool.Pause()
					begun -= time.Second
				}
				time.Sleep(begun)
				if elsewhere {
					other.start()
				}
				w.send("order-17")
				time.Sleep(5 * time.Second)
				w.wantDepths(0, 0)
				owner.finishClean()
				if elsewhere {
					other.finishClean()
				}
				if runs := w.ran("order-17"); len(runs) != 1 || receives != 1 {
					t.Errorf("ran %v, with up to %d receives", runs, receives)
				}
			})
		})
	}
}

func TestKilledWorker(t *testing.T) {
	t.Run("duplicate takes over", testTakeover)
	t.Run("messages run again", testMessagesRunAgain)
	t.Run("lost lease", testLostLease)
}

// A duplicate takes over after its owner was killed, even after it has waited for half an hour.
func testTakeover(t *testing.T) {
	for _, maxReceives := range []int{1, 10} {
		t.Run(fmt.Sprintf("%d receives", maxReceives), func(t *testing.T) {
			bubble(t, maxReceives, func(t *testing.T, w *world) {
				owner, other := w.worker("owner"), w.worker("other")
				owner.work = func(ctx context.Context, _ consumer.Message) (string, error) { return "", sleepOr(ctx, 10*time.Hour) }
				owner.start()
				w.send("order-17")
				time.Sleep(time.Second)
				owner.pool.Pause()
				time.Sleep(time.Minute)
				other.start()
				w.send("order-17")
				time.Sleep(29 * time.Minute)
				owner.kill()
				killed := time.Now()
				time.Sleep(30 * time.Minute)
				runs := w.ran("order-17")
				if len(runs) != 2 || runs[1].worker != "other" {
					t.Fatalf("ran %v", runs)
				}
				// In the worker it tries at the end of each lease; in the queue as often as its
				// receives allow.
				if late := runs[1].at.Sub(killed); maxReceives == 1 && late > 40*time.Second || late > 16*time.Minute {
					t.Errorf("taken over %s after the kill", late)
				}
				if r := w.record("order-17"); r.Status != protocol.Completed || r.Attempts != 2 {
					t.Errorf("record %+v", r)
				}
				if maxReceives == 1 {
					// The killed owner's message has had its only receive, so SQS dead-letters it.
					w.wantDepths(0, 1)
				} else {
					w.wantDepths(0, 0)
				}
				other.finishClean()
				_ = owner.finish() // the process was killed
			})
		})
	}
}

// One of three workers is killed repeatedly. When its messages become visible again, their names
// are free, so no message is deferred.
func testMessagesRunAgain(t *testing.T) {
	bubble(t, 100, func(t *testing.T, w *world) {
		random := rand.New(rand.NewPCG(17, 4))
		c := &fleet{world: w, working: make(map[*worker][]string)}
		workers := []*worker{c.start(), c.start(), c.start()}
		var killed []*worker
		interrupted := 0
		for round := range 5 {
			w.send(numbered(fmt.Sprintf("r%d-", round), 15)...)
			time.Sleep(time.Duration(1 + random.Int64N(int64(time.Minute))))
			i := random.IntN(len(workers))
			hit := c.worksOn(workers[i])
			workers[i].kill()
			at := time.Now()
			killed = append(killed, workers[i])
			workers[i] = c.start()
			time.Sleep(time.Minute + 5*time.Second) // the visibility timeout is over
			interrupted += len(hit)
			for _, name := range hit {
				if runs := w.ran(name); !runs[len(runs)-1].at.After(at) {
					t.Errorf("round %d: %s is not running again: %v, killed at %s", round, name, runs, at)
				}
			}
		}
		if interrupted == 0 {
			t.Error("no message was interrupted")
		}
		time.Sleep(10 * time.Minute)
		c.mu.Lock()
		if len(c.deferred) > 0 {
			t.Errorf("deferred: %v", c.deferred)
		}
		c.mu.Unlock()
		w.wantDepths(0, 0)
		for _, p := range workers {
			p.finishClean()
		}
		for _, p := range killed {
			_ = p.finish() // the process was killed
		}
	})
}

// fleet starts workers whose work takes five minutes.
type fleet struct {
	world   *world
	started int

	mu       sync.Mutex
	working  map[*worker][]string // guarded by mu; names
	deferred []string             // guarded by mu; by workers that live
}

func (c *fleet) start() *worker {
	c.started++
	p := c.world.worker(strconv.Itoa(c.started))
	p.guard.MaxAttempts = 100 // some names are hit by every kill
	p.work = func(ctx context.Context, m consumer.Message) (string, error) {
		c.mu.Lock()
		c.working[p] = append(c.working[p], nameOf(m))
		c.mu.Unlock()
		err := sleepOr(ctx, 5*time.Minute)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.working[p] = slices.DeleteFunc(c.working[p], func(name string) bool { return name == nameOf(m) })
		return "done", err
	}
	p.config.Hooks.Handled = func(m consumer.Message, d consumer.Disposition, _ time.Duration) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if d.Action == consumer.Defer && !p.dead.Load() {
			c.deferred = append(c.deferred, nameOf(m))
		}
	}
	p.start()
	return p
}

// worksOn returns the names that p works on.
func (c *fleet) worksOn(p *worker) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.working[p])
}

func testStoreDown(t *testing.T) {
	for _, reported := range []bool{false, true} {
		t.Run(fmt.Sprintf("reported %v", reported), func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, w *world) {
				p := w.worker("a")
				if reported {
					p.guard.Hooks.StoreFailed = func(dedupe.Attempt, string, error) { p.pool.Report("store", consumer.Down) }
					p.guard.Hooks.Claimed = func(dedupe.Attempt) { p.pool.Report("store", consumer.Up) }
				}
				w.down.Store(true)
				all := numbered("order-", 1000)
				w.send(all...)
				p.start()
				time.Sleep(time.Hour)
				w.wantDepths(1000, 0)
				if err := p.pool.Healthy(time.Now()); err != nil {
					t.Errorf("unhealthy in an outage: %v", err)
				}
				w.down.Store(false)
				time.Sleep(5 * time.Minute)
				p.finishClean()
				w.wantDepths(0, 0)
				for _, name := range all {
					if runs := w.ran(name); len(runs) != 1 || runs[0].attempt != 1 {
						t.Fatalf("%s ran %v", name, runs)
					}
				}
			})
		})
	}
}

// A handler that runs for ten minutes and 60 duplicates of its name do not delay 1,000 short
// messages.
func testLongJob(t *testing.T) {
	bubble(t, 10, func(t *testing.T, w *world) {
		p := w.worker("a")
		p.work = func(ctx context.Context, m consumer.Message) (string, error) {
			if nameOf(m) == "long" {
				return "", sleepOr(ctx, 10*time.Minute)
			}
			return "", nil
		}
		p.start()
		w.send(slices.Repeat([]string{"long"}, 61)...)
		sent := make(map[string]time.Time)
		for _, name := range numbered("short-", 1000) {
			sent[name] = time.Now()
			w.send(name)
			time.Sleep(650 * time.Millisecond)
		}
		time.Sleep(time.Hour)
		p.finishClean()
		w.wantDepths(0, 0)
		if n := len(w.ran("long")); n != 1 {
			t.Errorf("the long one ran %d times", n)
		}
		for name, at := range sent {
			runs := w.ran(name)
			if len(runs) != 1 || runs[0].at.Sub(at) > 3*time.Second {
				t.Fatalf("%s was sent at %s and ran %v", name, at, runs)
			}
		}
	})
}

func TestOutcome(t *testing.T) {
	t.Run("failure", testFailure)
	t.Run("store down for an hour", testStoreDown)
}

// A failure frees the name for the retry. In JustSaying a handler that failed without an exception
// kept the lock, and retries were refused; in taiyoh/sqsd they used up the receives.
func testFailure(t *testing.T) {
	bubble(t, 4, func(t *testing.T, w *world) {
		p := w.worker("a")
		p.config.Backoff, p.config.MaxBackoff = time.Second, time.Second
		p.guard.MaxAttempts = 100
		var receives []int
		p.work = func(_ context.Context, m consumer.Message) (string, error) {
			receives = append(receives, m.ReceiveCount)
			if len(receives) < 4 {
				return "", errors.New("not yet")
			}
			return "", nil
		}
		p.start()
		w.send("order-17")
		time.Sleep(20 * time.Second) // less than a lease
		p.finishClean()
		w.wantDepths(0, 0)
		if !slices.Equal(receives, []int{1, 2, 3, 4}) {
			t.Errorf("tried at receives %v", receives)
		}
	})
}

func testRejectedName(t *testing.T) {
	bubble(t, 10, func(t *testing.T, w *world) {
		p := w.worker("a")
		p.guard.MaxAttempts = 1
		p.work = func(context.Context, consumer.Message) (string, error) { return "", errors.New("no") }
		p.start()
		w.send("order-17")
		time.Sleep(10 * time.Second)
		w.send("order-17", "order-17")
		time.Sleep(time.Minute)
		p.finishClean()
		w.wantDepths(0, 3)
		if n := len(w.ran("order-17")); n != 1 {
			t.Errorf("ran %d times", n)
		}
	})
}

func testRedrive(t *testing.T) {
	bubble(t, 10, func(t *testing.T, w *world) {
		p := w.worker("a")
		p.guard.MaxAttempts = 2
		p.config.Backoff, p.config.MaxBackoff = time.Second, time.Second
		p.work = func(context.Context, consumer.Message) (string, error) { return "", errors.New("no") }
		p.start()
		w.send("order-17")
		for redrives := range 3 {
			time.Sleep(time.Minute)
			w.wantDepths(0, 1)
			if n := len(w.ran("order-17")); n != 2*(redrives+1) {
				t.Errorf("ran %d times after %d redrives", n, redrives)
			}
			if _, err := w.client.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{
				SourceArn:      aws.String("arn:aws:sqs:us-east-1:000000000000:dlq"),
				DestinationArn: aws.String("arn:aws:sqs:us-east-1:000000000000:work"),
			}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		p.finishClean()
	})
}

func TestStop(t *testing.T) {
	t.Run("record before message", testRecordBeforeMessage)
	t.Run("last receive", testLastReceive)
	t.Run("store outage", testStopInOutage)
}

// A shutdown releases the record before the message. The next receiver can start at once, and the
// attempt does not count.
func testRecordBeforeMessage(t *testing.T) {
	bubble(t, 10, func(t *testing.T, w *world) {
		owner, other := w.worker("owner"), w.worker("other")
		owner.work = func(ctx context.Context, _ consumer.Message) (string, error) { return "", sleepOr(ctx, time.Hour) }
		all := numbered("order-", 20)
		w.send(all...)
		owner.start()
		time.Sleep(time.Second)
		other.start()
		time.Sleep(time.Second)
		owner.stop()
		start := time.Now()
		if err := <-owner.done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		for _, name := range all {
			runs := w.ran(name)
			if len(runs) != 2 || runs[1].attempt != 1 || runs[1].at.Sub(start) > 26*time.Second {
				t.Errorf("%s ran %v", name, runs)
			}
		}
		other.finishClean()
		w.wantDepths(0, 0)
	})
}

func testLastReceive(t *testing.T) {
	for _, hold := range []bool{false, true} {
		bubble(t, 1, func(t *testing.T, w *world) {
			p := w.worker("a")
			p.guard.Hold = hold
			p.work = func(ctx context.Context, _ consumer.Message) (string, error) { return "", sleepOr(ctx, time.Hour) }
			w.send("order-17")
			p.start()
			time.Sleep(time.Second)
			p.finishClean()
			w.wantDepths(0, 1)
			status, reason := protocol.Rejected, "stopped"
			if hold {
				status, reason = protocol.Unknown, "unknown outcome"
			}
			if r := w.record("order-17"); r.Status != status {
				t.Errorf("hold %v: status %s, want %s", hold, r.Status, status)
			}
			if got := w.reasons(); !slices.Equal(got, []string{reason}) {
				t.Errorf("hold %v: reasons %q", hold, got)
			}
		})
	}
}

func testStopInOutage(t *testing.T) {
	bubble(t, 10, func(t *testing.T, w *world) {
		p := w.worker("a")
		p.work = func(ctx context.Context, _ consumer.Message) (string, error) { return "", sleepOr(ctx, time.Hour) }
		w.send("order-17")
		p.start()
		time.Sleep(time.Second)
		p.stop()
		time.Sleep(20 * time.Second)
		w.down.Store(true)
		if err := <-p.done; err != nil && !errors.Is(err, consumer.ErrAbandoned) {
			t.Error(err)
		}
		if r := w.record("order-17"); r.Status != protocol.InProgress {
			t.Errorf("status %s", r.Status)
		}
		w.down.Store(false)
		next := w.worker("b")
		next.start()
		time.Sleep(3 * time.Minute)
		next.finishClean()
		w.wantDepths(0, 0)
		if runs := w.ran("order-17"); len(runs) != 2 {
			t.Errorf("ran %v", runs)
		}
	})
}

func testLostLease(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		owner, other := w.worker("owner"), w.worker("other")
		var cause error
		owner.work = func(ctx context.Context, _ consumer.Message) (string, error) {
			err := sleepOr(ctx, 5*time.Minute)
			cause = context.Cause(ctx)
			return "ours", err
		}
		other.work = func(ctx context.Context, _ consumer.Message) (string, error) {
			return "theirs", sleepOr(ctx, time.Minute)
		}
		owner.start()
		w.send("order-17")
		time.Sleep(time.Second)
		owner.pool.Pause()
		time.Sleep(30 * time.Second)
		// The owner's store calls fail until another worker takes over the lease.
		w.down.Store(true)
		time.Sleep(40 * time.Second)
		w.down.Store(false)
		other.start()
		w.send("order-17")
		time.Sleep(10 * time.Second)
		owner.pool.Resume()
		time.Sleep(10 * time.Minute)
		w.wantDepths(0, 0)
		r := w.record("order-17")
		if runs := w.ran("order-17"); r.Status != protocol.Completed || string(r.Result) != `"theirs"` || len(runs) != 2 {
			t.Errorf("ran %v, record %+v", runs, r)
		}
		owner.finishClean()
		other.finishClean()
		synctest.Wait()
		if !errors.Is(cause, dedupe.ErrLeaseLost) {
			t.Errorf("cause %v", cause)
		}
	})
}
