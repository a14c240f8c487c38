package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestSettle(t *testing.T) {
	t.Run("slow queue does not cost the pool its receipts", testASlowQueueDoesNotCostThePoolItsReceipts)
	t.Run("many releases do not hold up heartbeats", testManyReleasesDoNotHoldUpHeartbeats)
	t.Run("handler that ends its goroutine has failed", testAHandlerThatEndsItsGoroutineHasFailed)
	t.Run("receipt lost between two tries is the end of them", testAReceiptLostBetweenTwoTriesIsTheEndOfThem)
	t.Run("retry in twelve hours comes in twelve hours", testARetryInTwelveHoursComesInTwelveHours)
	t.Run("stop does not wait for an acks backoff", testAStopDoesNotWaitForAnAcksBackoff)
	t.Run("no handler is called when the drain is over", testNoHandlerIsCalledWhenTheDrainIsOver)
}

// 64 calls a second delete 640 messages. The pool receives no more messages than it can
// delete and keep under heartbeats meanwhile.
func testASlowQueueDoesNotCostThePoolItsReceipts(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency, p.cfg.Visibility = 2000, 12*time.Second
		p.send(numbered(testutil.N(t, 6000))...)
		p.faults(func(sqstest.Call) sqstest.Fault { return sqstest.Fault{DelayAfter: time.Second} })
		var again atomic.Int32
		p.handler = func(_ context.Context, m consumer.Message) error {
			if m.ReceiveCount > 1 {
				again.Add(1)
			}
			time.Sleep(5 * time.Millisecond)
			return nil
		}
		p.start()
		time.Sleep(5 * time.Minute)
		p.finishClean()
		if n := again.Load(); n > 0 || len(p.dead()) > 0 {
			t.Errorf("%d deliveries again, %d dead letters", n, len(p.dead()))
		}
		p.wantDepths(p.queueURL, 0, 0)
	})
}

// retryIn asks for another try after a while.
type retryIn time.Duration

func (retryIn) Error() string               { return "not yet" }
func (r retryIn) RetryAfter() time.Duration { return time.Duration(r) }

// A slow SQS answers enough calls at a time for releases and heartbeats.
func testManyReleasesDoNotHoldUpHeartbeats(t *testing.T) {
	bubble(t, 1000, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency, p.cfg.Visibility, p.cfg.CancelOnLostReceipt = 100, 10*time.Second, true
		p.send("long")
		p.send(numbered(testutil.N(t, 1500))...)
		p.faults(func(sqstest.Call) sqstest.Fault { return sqstest.Fault{DelayAfter: 2 * time.Second} })
		var lost atomic.Bool
		p.handler = func(ctx context.Context, m consumer.Message) error {
			if m.Body != "long" {
				return retryIn(time.Second)
			}
			select {
			case <-time.After(4 * time.Minute):
			case <-ctx.Done():
				lost.Store(true)
			}
			return nil
		}
		p.start()
		time.Sleep(5 * time.Minute)
		p.server.Control(nil)
		_ = p.finish()
		if lost.Load() {
			t.Error("a handler at work lost its receipt")
		}
	})
}

// A handler that ends its goroutine has failed like any other.
func testAHandlerThatEndsItsGoroutineHasFailed(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		t.Run(fmt.Sprintf("fifo=%t", fifo), func(t *testing.T) {
			bubble(t, 10, fifo, func(t *testing.T, p *pool) {
				p.cfg.Concurrency = 1
				if fifo {
					p.sendGroup("g", "a", "b")
				} else {
					p.send("a", "b")
				}
				var ended atomic.Int32
				p.handler = func(_ context.Context, m consumer.Message) error {
					if m.Body == "a" && ended.Add(1) <= 2 {
						runtime.Goexit()
					}
					return nil
				}
				p.start()
				time.Sleep(time.Hour)
				if s := p.consumer.Stats(); s.Running != 0 || ended.Load() != 3 {
					t.Errorf("%d tries, slots taken: %+v", ended.Load(), s)
				}
				if got := p.bodies(); fifo && fmt.Sprint(got) != "[a a a b]" {
					t.Errorf("in this order: %v", got)
				}
				p.finishClean()
				p.wantDepths(p.queueURL, 0, 0)
			})
		})
	}
}

// The answer that tells of it comes when the first try has ended and the next has
// not begun.
func testAReceiptLostBetweenTwoTriesIsTheEndOfThem(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.cfg.CancelOnLostReceipt = true
		p.sources.Random = func() float64 { return 0.5 }
		p.send("a")
		p.cfg.Hooks.Handled = func(consumer.Message, consumer.Disposition, time.Duration) { time.Sleep(2 * time.Second) }
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation != "ChangeMessageVisibilityBatch" {
				return sqstest.Fault{}
			}
			return sqstest.Fault{FailEntries: []int{0}, EntryError: &sqstest.Error{Code: "ReceiptHandleIsInvalid"}}
		})
		tries := 0
		p.handler = func(context.Context, consumer.Message) error {
			tries++
			time.Sleep(18500 * time.Millisecond) // the heartbeat goes out in the hook
			return failure{deferred: true}
		}
		p.start()
		time.Sleep(time.Hour)
		p.finishClean()
		if tries != 1 {
			t.Errorf("%d tries, want none after the receipt was lost", tries)
		}
	})
}

// SQS counts 12 hours from its own receive, before the answer is here, and refuses
// more.
func testARetryInTwelveHoursComesInTwelveHours(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send("a")
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "GetQueueAttributes" {
				return sqstest.Fault{}
			}
			return sqstest.Fault{Delay: 15 * time.Millisecond, DelayAfter: 15 * time.Millisecond}
		})
		var tried []time.Time
		p.handler = func(_ context.Context, m consumer.Message) error {
			tried = append(tried, time.Now())
			if m.ReceiveCount > 1 {
				return nil
			}
			time.Sleep(985 * time.Millisecond)
			return retryIn(12 * time.Hour)
		}
		p.start()
		time.Sleep(13 * time.Hour)
		p.finishClean()
		if len(tried) != 2 || tried[1].Sub(tried[0]) < 11*time.Hour+59*time.Minute {
			t.Errorf("tried at %v", tried)
		}
	})
}

// A delete that has failed for a while waits for seconds. A stop has not that long.
func testAStopDoesNotWaitForAnAcksBackoff(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.cfg.DrainTimeout = time.Second
		p.send("a")
		var up atomic.Bool
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "DeleteMessageBatch" && !up.Load() {
				return sqstest.Fault{FailEntries: []int{0}}
			}
			return sqstest.Fault{}
		})
		p.start()
		time.Sleep(56*time.Second + 100*time.Millisecond) // just after a try: the next is eight seconds away
		up.Store(true)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

// A dependency comes back when the drain has ended. That is too late for a message whose try has
// just been decided.
func testNoHandlerIsCalledWhenTheDrainIsOver(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.cfg.DrainTimeout = 10 * time.Second
		p.send("a")
		p.cfg.Hooks.Handled = func(consumer.Message, consumer.Disposition, time.Duration) { time.Sleep(12 * time.Second) }
		var calls atomic.Int32
		p.handler = func(context.Context, consumer.Message) error {
			calls.Add(1)
			p.consumer.Report("target", consumer.Down)
			return failure{unavailable: true}
		}
		p.start()
		synctest.Wait()
		p.stop()
		time.Sleep(11 * time.Second)
		p.consumer.Report("target", consumer.Up)
		_ = p.finish()
		if n := calls.Load(); n != 1 {
			t.Errorf("called %d times", n)
		}
	})
}
