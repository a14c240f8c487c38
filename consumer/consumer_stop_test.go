package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestStop(t *testing.T) {
	t.Run("stop at any moment strands and burns nothing", testAStopAtAnyMomentStrandsAndBurnsNothing)
	t.Run("stop releases messages that have not started at once", testStopReleasesMessagesThatHaveNotStartedAtOnce)
	t.Run("message on its last receive is handled during the stop", testMessageOnItsLastReceiveIsHandledDuringTheStop)
	t.Run("messages of the last poll are released or handled", testMessagesOfTheLastPollAreReleasedOrHandled)
	t.Run("handler that obeys the end of the drain is released", testAHandlerThatObeysTheEndOfTheDrainIsReleased)
	t.Run("cancelled last receive is dead lettered as stopped", testACancelledLastReceiveIsDeadLetteredAsStopped)
	t.Run("handler that ignores its cancellation keeps its message and is named", testAHandlerThatIgnoresItsCancellationKeepsItsMessageAndIsNamed)
	t.Run("second signal skips the drain", testASecondSignalSkipsTheDrain)
	t.Run("stop before the start receives nothing", testAStopBeforeTheStartReceivesNothing)
	t.Run("stop while the queue is not reached yet ends the run", testAStopWhileTheQueueIsNotReachedYetEndsTheRun)
	t.Run("stop during the answers loses none", testAStopDuringTheAnswersLosesNone)
	t.Run("record is settled before its message", testARecordIsSettledBeforeItsMessage)
	t.Run("message whose outcome is not recorded is left to its timeout", testAMessageWhoseOutcomeIsNotRecordedIsLeftToItsTimeout)
	t.Run("parked message waits for its owner until the end of the drain", testAParkedMessageWaitsForItsOwnerUntilTheEndOfTheDrain)
	t.Run("message that outlasts the drain is dead lettered with a reason", testMessageThatOutlastsTheDrainIsDeadLetteredWithAReason)
	t.Run("run returns after its goroutines have ended", testRunReturnsAfterItsGoroutinesHaveEnded)
}

// The hardest case: with a maxReceiveCount of 1, every message that is received and not handled is
// dead-lettered. With group limits, hundreds of messages wait in the worker, and a stop costs each
// of them a receive.
func testAStopAtAnyMomentStrandsAndBurnsNothing(t *testing.T) {
	for name, s := range sharings {
		maxReceives := 1
		if s.limit > 0 {
			maxReceives = 2
		}
		for seed := range testutil.N(t, 4) {
			t.Run(fmt.Sprintf("%s, seed %d", name, seed), func(t *testing.T) {
				t.Parallel()
				stopAtAnyMoment(t, s, seed, maxReceives)
			})
		}
	}
}

func stopAtAnyMoment(t *testing.T, s sharing, seed, maxReceives int) {
	bubble(t, maxReceives, false, func(t *testing.T, p *pool) {
		const messages = 1000
		p.share(s)
		random := rand.New(rand.NewPCG(uint64(seed), 2))
		p.send(numbered(messages)...)
		p.faults(latencies(uint64(seed), 500*time.Millisecond))
		var mu sync.Mutex
		p.handler = func(context.Context, consumer.Message) error {
			mu.Lock()
			d := time.Duration(random.Int64N(int64(4 * time.Second)))
			mu.Unlock()
			time.Sleep(d) // less than the drain without a long poll
			return nil
		}
		stopAt := time.Duration(random.Int64N(int64(50 * time.Second)))
		p.start()
		time.Sleep(stopAt)
		p.finishClean()
		p.faults(nil)
		visible, hidden := p.depths(p.queueURL)
		handled := len(p.bodies())
		if hidden != 0 || visible+handled != messages {
			t.Errorf("stop after %s: %d handled, %d visible, %d invisible of %d", stopAt, handled, visible, hidden, messages)
		}
		p.wantDepths(p.dlqURL, 0, 0)
	})
}

func testStopReleasesMessagesThatHaveNotStartedAtOnce(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 10
		p.cfg.Rate = 1
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(20 * time.Second); return nil }
		p.send(numbered(10)...)
		p.start()
		time.Sleep(3500 * time.Millisecond) // four have started, six wait for the rate
		p.stop()
		time.Sleep(time.Second)
		p.wantDepths(p.queueURL, 6, 4)
		if err := <-p.done; err != nil {
			t.Error(err)
		}
		p.wantDepths(p.queueURL, 6, 0)
		if n := len(p.bodies()); n != 4 {
			t.Errorf("%d started", n)
		}
	})
}

func testMessageOnItsLastReceiveIsHandledDuringTheStop(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 10
		p.cfg.Rate = 5
		p.send(numbered(10)...)
		p.start()
		time.Sleep(100 * time.Millisecond) // five have started, five wait for the rate
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 0, 0)
		if n := len(p.bodies()); n != 10 {
			t.Errorf("%d handled", n)
		}
	})
}

func testMessagesOfTheLastPollAreReleasedOrHandled(t *testing.T) {
	for _, maxReceives := range []int{1, 10} {
		bubble(t, maxReceives, false, func(t *testing.T, p *pool) {
			p.start()
			synctest.Wait() // a long poll is open
			p.stop()
			time.Sleep(time.Second)
			p.send(numbered(3)...)
			if err := <-p.done; err != nil {
				t.Error(err)
			}
			if maxReceives == 1 {
				p.wantDepths(p.queueURL, 0, 0)
				p.wantDepths(p.dlqURL, 0, 0)
			} else {
				p.wantDepths(p.queueURL, 3, 0)
			}
		})
	}
}

func testAHandlerThatObeysTheEndOfTheDrainIsReleased(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send("one")
		p.handler = func(ctx context.Context, _ consumer.Message) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		p.start()
		synctest.Wait()
		start := time.Now()
		p.finishClean()
		if took := time.Since(start); took < p.cfg.StopTime()-4*time.Second || took >= p.cfg.StopTime() {
			t.Errorf("the stop took %s", took)
		}
		p.wantDepths(p.queueURL, 1, 0)
	})
}

func testACancelledLastReceiveIsDeadLetteredAsStopped(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.send("one")
		p.handler = func(ctx context.Context, _ consumer.Message) error { <-ctx.Done(); return ctx.Err() }
		p.start()
		synctest.Wait()
		p.finishClean()
		if got := attribute(p.dead()["one"], consumer.AttrReason); got != "stopped" {
			t.Errorf("reason %q", got)
		}
		p.wantDepths(p.queueURL, 0, 0)
	})
}

func testAHandlerThatIgnoresItsCancellationKeepsItsMessageAndIsNamed(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		let := make(chan struct{})
		p.cfg.Name = func(m consumer.Message) (string, bool) { return "order-" + m.Body, true }
		p.send("deaf", "good")
		p.handler = func(_ context.Context, m consumer.Message) error {
			if m.Body == "deaf" {
				<-let
			}
			return nil
		}
		p.start()
		synctest.Wait()
		start := time.Now()
		err := p.finish()
		if !errors.Is(err, consumer.ErrAbandoned) || !strings.Contains(err.Error(), "order-deaf") || strings.Contains(err.Error(), "order-good") {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(start); took > p.cfg.StopTime() {
			t.Errorf("the stop took %s, more than %s", took, p.cfg.StopTime())
		}
		p.wantDepths(p.queueURL, 0, 1)
		time.Sleep(time.Minute)
		p.wantDepths(p.queueURL, 1, 0)
		close(let)
		synctest.Wait()
		p.wantDepths(p.queueURL, 1, 0) // its outcome no longer counts: its message is not deleted
	})
}

func testASecondSignalSkipsTheDrain(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send("one")
		p.handler = func(ctx context.Context, _ consumer.Message) error { <-ctx.Done(); return ctx.Err() }
		p.start()
		synctest.Wait()
		p.stop()
		time.Sleep(time.Second)
		start := time.Now()
		p.consumer.Abort()
		p.consumer.Abort()
		if err := <-p.done; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
		p.wantDepths(p.queueURL, 1, 0)
	})
}

func testAStopBeforeTheStartReceivesNothing(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send("one")
		p.faults(nil)
		var err error
		if p.consumer, err = consumer.New(p.client, p.handler, p.cfg); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := p.consumer.Run(ctx); err != nil {
			t.Error(err)
		}
		if n := p.count("ReceiveMessage"); n != 0 {
			t.Errorf("%d receives", n)
		}
		if s := p.consumer.Stats().State; s != consumer.Stopped {
			t.Errorf("state %s", s)
		}
	})
}

func testAStopWhileTheQueueIsNotReachedYetEndsTheRun(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.faults(func(sqstest.Call) sqstest.Fault {
			return sqstest.Fault{Error: &sqstest.Error{Code: "InternalError"}}
		})
		p.start()
		time.Sleep(time.Hour)
		if p.consumer.Ready() {
			t.Error("ready before the queue was reached")
		}
		p.finishClean()
	})
}

// The deletes of all handled messages are sent and answered before Run returns, including those
// that fail at first.
func testAStopDuringTheAnswersLosesNone(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.send(numbered(37)...)
		n := 0
		p.faults(func(c sqstest.Call) sqstest.Fault {
			f := sqstest.Fault{DelayAfter: 300 * time.Millisecond}
			if c.Operation == "DeleteMessageBatch" {
				n++
				f.FailEntries = []int{n % 10, (n + 3) % 10}
			}
			return f
		})
		p.start()
		time.Sleep(450 * time.Millisecond) // the first deletes are in flight
		p.finishClean()
		p.faults(nil)
		visible, hidden := p.depths(p.queueURL)
		if hidden != 0 || visible+len(p.bodies()) != 37 {
			t.Errorf("%d handled, %d visible, %d invisible", len(p.bodies()), visible, hidden)
		}
	})
}

// After its cancellation a handler may, for instance, release its record. That ends before another
// receiver can see its message.
func testARecordIsSettledBeforeItsMessage(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send("one")
		settled := false
		p.handler = func(ctx context.Context, _ consumer.Message) error {
			<-ctx.Done()
			time.Sleep(2 * time.Second)
			p.wantDepths(p.queueURL, 0, 1)
			settled = true
			return ctx.Err()
		}
		p.start()
		synctest.Wait()
		p.finishClean()
		if !settled {
			t.Error("Run has returned before the handler")
		}
		p.wantDepths(p.queueURL, 1, 0)
	})
}

func testAMessageWhoseOutcomeIsNotRecordedIsLeftToItsTimeout(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send("one")
		p.handler = func(ctx context.Context, _ consumer.Message) error { <-ctx.Done(); return failure{keep: true} }
		p.start()
		synctest.Wait()
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 1)
		time.Sleep(time.Minute)
		p.wantDepths(p.queueURL, 1, 0)
	})
}

func testAParkedMessageWaitsForItsOwnerUntilTheEndOfTheDrain(t *testing.T) {
	for _, ownerDone := range []bool{true, false} {
		bubble(t, 1, false, func(t *testing.T, p *pool) {
			p.send("twin")
			start := time.Now()
			p.handler = func(context.Context, consumer.Message) error {
				if ownerDone && time.Since(start) > 22*time.Second {
					return nil // replayed
				}
				return failure{deferred: true, after: 10 * time.Second}
			}
			p.start()
			time.Sleep(5 * time.Second)
			p.finishClean()
			p.wantDepths(p.queueURL, 0, 0)
			dead := p.dead()
			if got := attribute(dead["twin"], consumer.AttrReason); ownerDone && len(dead) != 0 || !ownerDone && got != "in progress elsewhere at stop" {
				t.Errorf("owner done %v: %d dead letters, reason %q", ownerDone, len(dead), got)
			}
		})
	}
}

func testMessageThatOutlastsTheDrainIsDeadLetteredWithAReason(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 1
		p.start()
		synctest.Wait() // a poll for one message is open
		p.stop()
		time.Sleep(19 * time.Second)
		p.handler = func(ctx context.Context, _ consumer.Message) error { <-ctx.Done(); return ctx.Err() }
		p.send("late")
		if err := <-p.done; err != nil {
			t.Error(err)
		}
		p.wantDepths(p.queueURL, 0, 0)
		if got := attribute(p.dead()["late"], consumer.AttrReason); got != "stopped" {
			t.Errorf("reason %q", got)
		}
	})
}

func testRunReturnsAfterItsGoroutinesHaveEnded(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send(numbered(25)...)
		var mu sync.Mutex
		var running []string
		p.handler = func(ctx context.Context, m consumer.Message) error {
			mu.Lock()
			running = append(running, m.Body)
			mu.Unlock()
			<-ctx.Done()
			time.Sleep(3500 * time.Millisecond) // within the grace period and the time to settle
			mu.Lock()
			running = slices.DeleteFunc(running, func(b string) bool { return b == m.Body })
			mu.Unlock()
			return ctx.Err()
		}
		p.start()
		synctest.Wait()
		p.finishClean()
		if len(running) != 0 {
			t.Errorf("%d handlers at work after the end of Run", len(running))
		}
	})
}
