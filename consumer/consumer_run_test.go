package consumer_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestRun(t *testing.T) {
	t.Run("every message is handled and deleted", testEveryMessageIsHandledAndDeleted)
	t.Run("batches are full at any latency of the queue", testBatchesAreFullAtAnyLatencyOfTheQueue)
	t.Run("slots of one moment are filled by one receive", testSlotsOfOneMomentAreFilledByOneReceive)
	t.Run("receive yields to goroutines that give slots back", testReceiveYieldsToGoroutinesThatGiveSlotsBack)
	t.Run("slots bound receives and handlers", testSlotsBoundReceivesAndHandlers)
	t.Run("long handler keeps its message", testALongHandlerKeepsItsMessage)
	t.Run("heartbeats of one moment share their call", testHeartbeatsOfOneMomentShareTheirCall)
	t.Run("heartbeats survive failures of their calls", testHeartbeatsSurviveFailuresOfTheirCalls)
	t.Run("receive errors never end the run", testReceiveErrorsNeverEndTheRun)
	t.Run("hung receive is cut off", testAHungReceiveIsCutOff)
	t.Run("server that hangs costs nothing but its time", testAServerThatHangsCostsNothingButItsTime)
	t.Run("missing queue ends the start", testAMissingQueueEndsTheStart)
	t.Run("denied access ends the start", testDeniedAccessEndsTheStart)
	t.Run("pause stops receiving and resume goes on", testPauseStopsReceivingAndResumeGoesOn)
	t.Run("quiet queue is polled once a time", testAQuietQueueIsPolledOnceATime)
	t.Run("liveless loop is unhealthy", testALivelessLoopIsUnhealthy)
	t.Run("second run is refused", testASecondRunIsRefused)
	t.Run("new reports everything that is wrong", testNewReportsEverythingThatIsWrong)
	t.Run("lost receipt cancels the handler where no lease guards it", testALostReceiptCancelsTheHandlerWhereNoLeaseGuardsIt)
	t.Run("message stays hidden until its end is answered", testAMessageStaysHiddenUntilItsEndIsAnswered)
}

func testEveryMessageIsHandledAndDeleted(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send(numbered(500)...)
		p.start()
		synctest.Wait()
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		got := p.bodies()
		slices.Sort(got)
		if !slices.Equal(got, numbered(500)) {
			t.Errorf("handled %d messages", len(got))
		}
	})
}

func testBatchesAreFullAtAnyLatencyOfTheQueue(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send(numbered(2000)...)
		p.faults(func(sqstest.Call) sqstest.Fault { return sqstest.Fault{DelayAfter: 15 * time.Millisecond} })
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(5 * time.Millisecond); return nil }
		p.start()
		time.Sleep(5 * time.Second)
		calls := p.count("DeleteMessageBatch") + p.count("ReceiveMessage")
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if calls > 2000*3/10 {
			t.Errorf("%d calls for 2000 messages", calls)
		}
	})
}

// testSlotsOfOneMomentAreFilledByOneReceive: ten handlers that end together do
// not make one receive for a single message, and one for nine. Which goroutine
// runs when is Go's to decide, so that a few may be late.
func testSlotsOfOneMomentAreFilledByOneReceive(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 10
		p.send(numbered(1000)...)
		p.faults(func(sqstest.Call) sqstest.Fault { return sqstest.Fault{} })
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(time.Second); return nil }
		p.start()
		time.Sleep(99*time.Second + 500*time.Millisecond)
		if n := p.count("ReceiveMessage"); n > 150 {
			t.Errorf("%d receives for a hundred times ten messages", n)
		}
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

// Where everybody else runs before a call goes out, each receive is full.
func testReceiveYieldsToGoroutinesThatGiveSlotsBack(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 10
		p.sources.Yield = func(string) { time.Sleep(time.Microsecond) }
		p.send(numbered(1000)...)
		p.faults(func(sqstest.Call) sqstest.Fault { return sqstest.Fault{} })
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(time.Second); return nil }
		p.start()
		time.Sleep(99*time.Second + 500*time.Millisecond)
		if n := p.count("ReceiveMessage"); n != 100 {
			t.Errorf("%d receives for a hundred times ten messages", n)
		}
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

func testSlotsBoundReceivesAndHandlers(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 7
		p.send(numbered(40)...)
		var now, most atomic.Int32
		p.handler = func(context.Context, consumer.Message) error {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Minute)
			now.Add(-1)
			return nil
		}
		p.start()
		synctest.Wait()
		p.wantDepths(p.queueURL, 33, 7)
		time.Sleep(10 * time.Minute)
		p.finishClean()
		if most.Load() != 7 {
			t.Errorf("%d at a time", most.Load())
		}
		p.wantDepths(p.queueURL, 0, 0)
	})
}

func testALongHandlerKeepsItsMessage(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.send("long")
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(3 * time.Hour); return nil }
		p.start()
		time.Sleep(4 * time.Hour)
		p.finishClean()
		if got := p.bodies(); len(got) != 1 {
			t.Errorf("handled %d times", len(got))
		}
		p.wantDepths(p.queueURL, 0, 0)
	})
}

func testHeartbeatsOfOneMomentShareTheirCall(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.send(numbered(10)...)
		var entries []int
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "ChangeMessageVisibilityBatch" {
				entries = append(entries, c.Entries)
			}
			return sqstest.Fault{DelayAfter: 10 * time.Millisecond}
		})
		p.sources.Random = func() float64 { return 0.5 } // no jitter
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(50 * time.Second); return nil }
		p.start()
		time.Sleep(time.Minute)
		p.finishClean()
		// One as soon as a third of the visibility timeout is over, and one more.
		p.locked(func() {
			if !slices.Equal(entries, []int{10, 10}) {
				t.Errorf("entries of the heartbeats' calls: %v", entries)
			}
		})
	})
}

func testHeartbeatsSurviveFailuresOfTheirCalls(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.send(numbered(3)...)
		n := 0
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation != "ChangeMessageVisibilityBatch" {
				return sqstest.Fault{}
			}
			n++
			return sqstest.Fault{FailEntries: []int{n % 3}}
		})
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(20 * time.Minute); return nil }
		p.start()
		time.Sleep(time.Hour)
		p.finishClean()
		if got := p.bodies(); len(got) != 3 {
			t.Errorf("handled %v", got)
		}
		p.wantDepths(p.queueURL, 0, 0)
	})
}

func testReceiveErrorsNeverEndTheRun(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		broken := true
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if broken && c.Operation == "ReceiveMessage" {
				return sqstest.Fault{Error: &sqstest.Error{Code: "InternalError", Message: "try later", Status: 500}}
			}
			return sqstest.Fault{}
		})
		p.start()
		time.Sleep(10 * time.Minute)
		if err := p.consumer.Healthy(time.Now()); err != nil {
			t.Errorf("unhealthy while the queue is down: %v", err)
		}
		if n := p.count("ReceiveMessage"); n > 300 {
			t.Errorf("%d receives in ten minutes of trouble", n)
		}
		p.locked(func() { broken = false })
		p.send("after")
		time.Sleep(time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

func testAHungReceiveIsCutOff(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		var hung atomic.Bool
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "ReceiveMessage" && !hung.Swap(true) {
				return sqstest.Fault{Delay: 24 * time.Hour}
			}
			return sqstest.Fault{}
		})
		p.send("waiting")
		p.start()
		time.Sleep(2 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

// testAServerThatHangsCostsNothingButItsTime: for two minutes no call is ever
// answered, at the start and with messages in every kind of work. Each call is
// cut off and made again, so that nothing is received twice.
func testAServerThatHangsCostsNothingButItsTime(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		var hangs atomic.Bool
		p.faults(func(sqstest.Call) sqstest.Fault {
			if hangs.Load() {
				return sqstest.Fault{Delay: 1000 * time.Hour}
			}
			return sqstest.Fault{}
		})
		hang := func() {
			hangs.Store(true)
			time.AfterFunc(2*time.Minute, func() { hangs.Store(false) })
		}
		p.cfg.Visibility = 4 * time.Minute // a beat falls into the two minutes
		p.handler = func(_ context.Context, m consumer.Message) error {
			switch kind, _, _ := strings.Cut(m.Body, "-"); kind {
			case "long":
				time.Sleep(10 * time.Minute)
			case "late":
			default:
				time.Sleep(90 * time.Second) // ends while the server hangs
				if kind == "bad" {
					return failure{permanent: true, reason: "bad"}
				}
				if kind == "again" && m.ReceiveCount == 1 {
					return errBoom
				}
			}
			return nil
		}
		hang()
		p.start()
		time.Sleep(4 * time.Minute)
		if !p.consumer.Ready() {
			t.Error("not ready two minutes after the server has answered again")
		}
		work := []string{"again-1", "again-2", "bad-1", "bad-2", "long-1", "long-2", "short-1", "short-2"}
		p.send(work...)
		time.Sleep(30 * time.Second)
		hang()
		time.Sleep(2*time.Minute + time.Second)
		p.send("late")
		time.Sleep(4 * time.Minute)
		if s := p.consumer.Stats(); s.Acks != 0 || s.Running != 2 {
			t.Errorf("%d acks unanswered and %d running four minutes after the hang, want the long ones to run: %+v", s.Acks, s.Running, s)
		}
		time.Sleep(6 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if dead := p.dead(); len(dead) != 2 || attribute(dead["bad-1"], consumer.AttrReason) != "bad" {
			t.Errorf("dead letters: %v", dead)
		}
		tried := append(work, "again-1", "again-2", "late")
		if got := slices.Sorted(slices.Values(p.bodies())); !slices.Equal(got, slices.Sorted(slices.Values(tried))) {
			t.Errorf("tried %v", got)
		}
	})
}

func testAMissingQueueEndsTheStart(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.QueueURL += "-not"
		p.start()
		if err := <-p.done; err == nil || !strings.Contains(err.Error(), "work-not") {
			t.Errorf("Run: %v", err)
		}
		p.stop()
	})
}

func testDeniedAccessEndsTheStart(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.faults(func(sqstest.Call) sqstest.Fault {
			return sqstest.Fault{Error: &sqstest.Error{Code: "AccessDenied", Message: "no", Status: 403, SenderFault: true}}
		})
		p.start()
		if err := <-p.done; err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("Run: %v", err)
		}
		p.stop()
	})
}

func testPauseStopsReceivingAndResumeGoesOn(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.start()
		synctest.Wait()
		p.consumer.Pause()
		time.Sleep(time.Minute) // the poll that was out has ended
		p.send("later")
		time.Sleep(time.Hour)
		if got := p.bodies(); len(got) != 0 {
			t.Errorf("handled %v while paused", got)
		}
		if err := p.consumer.Healthy(time.Now()); err != nil {
			t.Errorf("unhealthy while paused: %v", err)
		}
		p.consumer.Resume()
		synctest.Wait()
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

func TestRateBoundsStarts(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Rate = 2
		p.send(numbered(30)...)
		p.start()
		time.Sleep(5 * time.Second)
		if n := len(p.bodies()); n > 12 {
			t.Errorf("%d started in 5 seconds", n)
		}
		time.Sleep(time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

func testAQuietQueueIsPolledOnceATime(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.faults(nil)
		p.start()
		time.Sleep(time.Hour)
		if n := p.count("ReceiveMessage"); n > 181 {
			t.Errorf("%d receives in an hour", n)
		}
		if err := p.consumer.Healthy(time.Now()); err != nil {
			t.Error(err)
		}
		if !p.consumer.Ready() {
			t.Error("not ready")
		}
		p.finishClean()
		if p.consumer.Ready() {
			t.Error("ready after the stop")
		}
	})
}

func testALivelessLoopIsUnhealthy(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.start()
		synctest.Wait()
		if err := p.consumer.Healthy(time.Now().Add(time.Hour)); err == nil {
			t.Error("healthy although nothing has happened for an hour")
		}
		p.finishClean()
	})
}

func testASecondRunIsRefused(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.start()
		synctest.Wait()
		p.finishClean()
		if err := p.consumer.Run(t.Context()); err == nil {
			t.Error("no error")
		}
	})
}

func testNewReportsEverythingThatIsWrong(t *testing.T) {
	_, err := consumer.New(nil, nil, consumer.Config{
		Concurrency: -1, Visibility: time.Second, PollWait: time.Minute, DrainTimeout: 1, Backoff: 1, MaxBackoff: 1e18, Rate: -1,
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"QueueURL", "Concurrency -1", "Visibility 1s", "PollWait 1m0s", "DrainTimeout", "Backoff 1ns", "MaxBackoff", "Rate -1"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("error does not name %s: %v", field, err)
		}
	}
}

func testALostReceiptCancelsTheHandlerWhereNoLeaseGuardsIt(t *testing.T) {
	for _, cancels := range []bool{true, false} {
		bubble(t, 10, false, func(t *testing.T, p *pool) {
			p.cfg.CancelOnLostReceipt = cancels
			p.send("one")
			p.faults(func(c sqstest.Call) sqstest.Fault {
				if c.Operation == "ChangeMessageVisibilityBatch" {
					return sqstest.Fault{FailEntries: []int{0}, EntryError: &sqstest.Error{
						Code: "ReceiptHandleIsInvalid", Message: "gone", SenderFault: true,
					}}
				}
				return sqstest.Fault{}
			})
			var cause error
			p.handler = func(ctx context.Context, _ consumer.Message) error {
				select {
				case <-ctx.Done():
					cause = context.Cause(ctx)
				case <-time.After(50 * time.Second):
				}
				return nil
			}
			p.start()
			time.Sleep(55 * time.Second)
			p.finishClean()
			if errors.Is(cause, consumer.ErrReceiptLost) != cancels {
				t.Errorf("CancelOnLostReceipt %v: cause %v", cancels, cause)
			}
		})
	}
}

func testAMessageStaysHiddenUntilItsEndIsAnswered(t *testing.T) {
	for _, err := range []error{nil, failure{permanent: true}} {
		bubble(t, 10, false, func(t *testing.T, p *pool) {
			p.handler = func(context.Context, consumer.Message) error { return err }
			down := true
			p.faults(func(c sqstest.Call) sqstest.Fault {
				if down && (c.Operation == "DeleteMessageBatch" || c.Operation == "SendMessageBatch") {
					return sqstest.Fault{Error: &sqstest.Error{Code: "InternalError"}}
				}
				return sqstest.Fault{}
			})
			p.locked(func() { down = false })
			p.send("one")
			p.locked(func() { down = true })
			p.start()
			time.Sleep(4 * time.Minute)
			p.locked(func() { down = false })
			time.Sleep(time.Minute)
			p.finishClean()
			p.wantDepths(p.queueURL, 0, 0)
			if n := len(p.bodies()); n != 1 {
				t.Errorf("handled %d times", n)
			}
		})
	}
}
