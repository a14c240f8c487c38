package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/sqstest"
)

// The tests in this file check faults that users of other consumers have reported. Each names the
// report.

func TestOthersFaults(t *testing.T) {
	t.Run("short visibility timeout is kept up by its own measure", testAShortVisibilityTimeoutIsKeptUpByItsOwnMeasure)
	t.Run("two deliveries of a message are deleted in one batch", testTwoDeliveriesOfAMessageAreDeletedInOneBatch)
	t.Run("deletes that fill no batch are sent at a stop", testDeletesThatFillNoBatchAreSentAtAStop)
	t.Run("long poll is never cut off by a stop", testALongPollIsNeverCutOffByAStop)
	t.Run("heartbeats end with their message", testHeartbeatsEndWithTheirMessage)
	t.Run("neither errors nor hung connections stop the receiving", testNeitherErrorsNorHungConnectionsStopTheReceiving)
	t.Run("received messages that have not begun are visible after a stop", testReceivedMessagesThatHaveNotBegunAreVisibleAfterAStop)
	t.Run("stop reaches every handler and a message has one heartbeat", testStopReachesEveryHandlerAndAMessageHasOneHeartbeat)
	t.Run("slots are given back once and stops may be repeated", testSlotsAreGivenBackOnceAndStopsMayBeRepeated)
	t.Run("binary attribute is no string", testABinaryAttributeIsNoString)
	t.Run("empty answer delays nothing", testAnEmptyAnswerDelaysNothing)
	t.Run("dead letters of a mebibyte are split over calls", testDeadLettersOfAMebibyteAreSplitOverCalls)
	t.Run("message that cannot be decoded is dead lettered", testAMessageThatCannotBeDecodedIsDeadLettered)
	t.Run("one slow message holds back no other", testOneSlowMessageHoldsBackNoOther)
	t.Run("credentials that come back are enough", testCredentialsThatComeBackAreEnough)
	t.Run("deletes that fail pile up to a bound", testDeletesThatFailPileUpToABound)
	t.Run("nothing is left behind by ended messages", testNothingIsLeftBehindByEndedMessages)
	t.Run("each entry of a batch is answered for itself", testEachEntryOfABatchIsAnsweredForItself)
	t.Run("redriven message carries its story", testARedrivenMessageCarriesItsStory)
	t.Run("drain too short for the queue is warned about", testADrainTooShortForTheQueueIsWarnedAbout)
}

// bento #878: a refresh every 30 seconds, independent of the queue's timeout, made every receipt
// handle invalid, and the queue never drained.
func testAShortVisibilityTimeoutIsKeptUpByItsOwnMeasure(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.cfg.Visibility = 10 * time.Second
		p.send(numbered(30)...)
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(10 * time.Minute); return nil }
		p.start()
		time.Sleep(11 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if n := len(p.bodies()); n != 30 {
			t.Errorf("30 messages were handled %d times", n)
		}
	})
}

// awspring #1634, #1654: a message that was delivered twice was acknowledged twice in one batch
// under one ID, and SQS refused the whole batch.
func testTwoDeliveriesOfAMessageAreDeletedInOneBatch(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send(numbered(5)...)
		duplicated := false
		deletes := 0
		p.faults(func(c sqstest.Call) sqstest.Fault {
			f := sqstest.Fault{DelayAfter: 50 * time.Millisecond}
			if c.Operation == "ReceiveMessage" && !duplicated {
				duplicated, f.Duplicate = true, true
			}
			if c.Operation == "DeleteMessageBatch" {
				deletes += c.Entries
			}
			return f
		})
		p.handler = func(_ context.Context, m consumer.Message) error {
			time.Sleep(time.Until(time.Date(2000, 1, 1, 0, 0, 30, 0, time.UTC))) // all end at the same time
			return nil
		}
		p.start()
		time.Sleep(time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if deletes != 10 {
			t.Errorf("%d deletes for ten deliveries of five messages", deletes)
		}
	})
}

// awspring #1663, #1664: acknowledgements that had not filled a batch were dropped at the shutdown.
func testDeletesThatFillNoBatchAreSentAtAStop(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.send(numbered(23)...)
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "DeleteMessageBatch" {
				return sqstest.Fault{Delay: 900 * time.Millisecond}
			}
			return sqstest.Fault{}
		})
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(time.Second); return nil }
		p.start()
		time.Sleep(1050 * time.Millisecond) // the first deletes are in flight, the others wait for them
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

// awspring #1558, superlog #280, aws-sdk-js #2350: a cancelled long poll left messages invisible,
// and with a maxReceiveCount of 1 for good.
func testALongPollIsNeverCutOffByAStop(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		var mu sync.Mutex
		var cut []error
		p.server.Control(func(ctx context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "ReceiveMessage" {
				context.AfterFunc(ctx, func() {
					mu.Lock()
					defer mu.Unlock()
					cut = append(cut, ctx.Err())
				})
			}
			return sqstest.Fault{}
		})
		p.start()
		synctest.Wait()
		p.stop()
		time.Sleep(19 * time.Second)
		p.send("last")
		if err := <-p.done; err != nil {
			t.Error(err)
		}
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 0, 0)
		if !slices.Equal(p.bodies(), []string{"last"}) {
			t.Errorf("handled %v", p.bodies())
		}
		mu.Lock()
		defer mu.Unlock()
		for _, err := range cut {
			if errors.Is(err, context.DeadlineExceeded) {
				t.Error("a poll met its deadline")
			}
		}
	})
}

// bbc #376: the heartbeat of a message continued after the message was settled.
func testHeartbeatsEndWithTheirMessage(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.send(numbered(100)...)
		p.handler = func(_ context.Context, m consumer.Message) error {
			if m.ReceiveCount == 1 && m.Body < "m050" {
				return failure{after: 10 * time.Hour}
			}
			return nil
		}
		p.start()
		time.Sleep(30 * time.Second)
		p.faults(nil)
		time.Sleep(time.Hour)
		if n := p.count("ChangeMessageVisibilityBatch"); n != 0 {
			t.Errorf("%d heartbeats without a message", n)
		}
		if f := p.consumer.Flights(0); len(f) != 0 {
			t.Errorf("%d messages are still kept", len(f))
		}
		p.finishClean()
	})
}

// bbc #130, JustSaying #299, spring-attic #577: the consumer stopped silently after a connection
// hung, or after an error.
func testNeitherErrorsNorHungConnectionsStopTheReceiving(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		random := rand.New(rand.NewPCG(1, 1)) // one receive is open at a time
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation != "ReceiveMessage" {
				return sqstest.Fault{}
			}
			switch random.IntN(5) {
			case 1:
				return sqstest.Fault{Delay: 24 * time.Hour} // a NAT that has forgotten the connection
			case 2:
				return sqstest.Fault{LoseAnswer: true}
			case 3:
				return sqstest.Fault{Error: &sqstest.Error{Code: "ExpiredToken", Status: 403, SenderFault: true}}
			case 4:
				return sqstest.Fault{Error: &sqstest.Error{Code: "RequestThrottled", Status: 400, SenderFault: true}}
			}
			return sqstest.Fault{}
		})
		p.start()
		for i := range 20 {
			p.send(fmt.Sprint(i))
			time.Sleep(10 * time.Minute)
			if err := p.consumer.Healthy(time.Now()); err != nil {
				t.Error(err)
			}
		}
		p.faults(nil)
		time.Sleep(10 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if n := len(p.bodies()); n != 20 {
			t.Errorf("%d handled", n)
		}
	})
}

// celery #8875, #10172: messages that were received but not started stayed invisible after the
// shutdown.
func testReceivedMessagesThatHaveNotBegunAreVisibleAfterAStop(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Rate = 1
		p.handler = func(ctx context.Context, _ consumer.Message) error { <-ctx.Done(); return ctx.Err() }
		p.send(numbered(80)...)
		p.start()
		time.Sleep(5 * time.Second)
		p.finishClean()
		p.wantDepths(p.queueURL, 80, 0)
	})
}

// machinery: the heartbeat's goroutine could take the single stop signal that was meant for the
// loop, and each message had two heartbeats.
func testStopReachesEveryHandlerAndAMessageHasOneHeartbeat(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		beats := make(map[string]int)
		var mu sync.Mutex
		p.cfg.Hooks.Extended = func(m consumer.Message, _ time.Time) {
			mu.Lock()
			defer mu.Unlock()
			beats[m.Body]++
		}
		const messages = 300
		p.cfg.Concurrency = messages
		p.send(numbered(messages)...)
		p.faults(latencies(1, 100*time.Millisecond))
		p.handler = func(ctx context.Context, _ consumer.Message) error { <-ctx.Done(); return ctx.Err() }
		p.start()
		time.Sleep(5 * time.Minute)
		mu.Lock()
		all := 0
		for body, n := range beats {
			all += n
			if n > 17 { // 300 s, at most one in 18 s
				t.Errorf("%s: %d heartbeats in five minutes", body, n)
			}
		}
		if len(beats) != messages {
			t.Errorf("%d messages had heartbeats", len(beats))
		}
		if calls := p.count("ChangeMessageVisibilityBatch"); calls > all/4 {
			t.Errorf("%d calls for %d heartbeats", calls, all)
		}
		mu.Unlock()
		p.finishClean()
	})
}

// shoryuken 7.0.3: a slot was returned twice, and a second stop deadlocked.
func testSlotsAreGivenBackOnceAndStopsMayBeRepeated(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 3
		p.handler = func(_ context.Context, m consumer.Message) error {
			if m.ReceiveCount == 1 {
				panic("no")
			}
			return nil
		}
		p.send(numbered(40)...)
		p.start()
		time.Sleep(time.Hour)
		if s := p.consumer.Stats(); s.Running != 0 || s.Queued != 0 || s.Acks != 0 || s.Parked != 0 || s.Bytes != 0 || s.Polls != 1 {
			t.Errorf("at rest: %+v", s)
		}
		p.wantDepths(p.queueURL, 0, 0)
		for range 3 {
			p.stop()
			p.consumer.Abort()
		}
		p.finishClean()
		p.stop()
		p.consumer.Abort()
		p.consumer.Pause()
		p.consumer.Resume()
		p.consumer.Report("x", consumer.Down)
	})
}

// simple-sqsd: an attribute with a binary value was read as a string, through a nil pointer.
func testABinaryAttributeIsNoString(t *testing.T) {
	m := consumer.Message{Attributes: map[string]types.MessageAttributeValue{
		"b": {DataType: aws.String("Binary"), BinaryValue: []byte{1}},
	}}
	if v, ok := m.Attribute("b"); ok || v != "" {
		t.Errorf("%q, %v", v, ok)
	}
}

// redpanda connect #694: after an empty answer it waited before the next receive, and throughput
// fell to a tenth.
func testAnEmptyAnswerDelaysNothing(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		c := newClockwork()
		p.handler = func(_ context.Context, m consumer.Message) error { c.tick(m); return nil }
		p.start()
		for i := range 20 {
			time.Sleep(41*time.Second + time.Duration(i)*time.Second)
			sent := time.Since(c.start)
			p.send(fmt.Sprint(i))
			synctest.Wait()
			if at := c.at[fmt.Sprint(i)]; len(at) != 1 || at[0] != sent {
				t.Errorf("sent at %s, handled at %v", sent, at)
			}
		}
		p.finishClean()
	})
}

// floci #1277, aws-sdk-java-v2 #5540: a batch is bounded by its bytes, too.
func testDeadLettersOfAMebibyteAreSplitOverCalls(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.handler = func(context.Context, consumer.Message) error {
			time.Sleep(time.Second)
			return failure{permanent: true}
		}
		for i := range 8 {
			p.send(fmt.Sprint(i) + strings.Repeat("x", 300<<10))
		}
		var entries []int
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessageBatch" {
				entries = append(entries, c.Entries)
			}
			return sqstest.Fault{DelayAfter: 50 * time.Millisecond}
		})
		p.start()
		time.Sleep(time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 8, 0)
		if len(entries) < 3 || slices.Max(entries) > 3 {
			t.Errorf("entries of each call: %v", entries)
		}
	})
}

// vector, machinery: a message that could not be decoded was deleted.
func testAMessageThatCannotBeDecodedIsDeadLettered(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.handler = consumer.JSON(func(context.Context, consumer.Message, struct{ N int }) error { return nil })
		p.send(`{"N": 1}`, `{"N": "one"}`, `no JSON`)
		p.start()
		synctest.Wait()
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		dead := p.dead()
		if len(dead) != 2 || attribute(dead["no JSON"], consumer.AttrReason) != "bad message" {
			t.Errorf("%d dead letters: %v", len(dead), dead)
		}
	})
}

// gocloud, patron, machinery: an error of a call, or of a handler, ended the subscription. spring:
// a slow message delayed the others of its batch.
func testOneSlowMessageHoldsBackNoOther(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		c := newClockwork()
		p.handler = func(_ context.Context, m consumer.Message) error {
			c.tick(m)
			if m.Body == "m000" {
				time.Sleep(10 * time.Minute)
			}
			return nil
		}
		p.faults(latencies(9, 40*time.Millisecond))
		p.send(numbered(1000)...)
		p.start()
		time.Sleep(30 * time.Second)
		if n := c.seen(); n != 1000 {
			t.Errorf("%d begun in half a minute", n)
		}
		p.finishWithin(time.Hour)
	})
}

// aws-sdk-go #3229, bbc #373: expired credentials stopped a worker.
func testCredentialsThatComeBackAreEnough(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		expired := false
		p.faults(func(sqstest.Call) sqstest.Fault {
			if expired {
				return sqstest.Fault{Error: &sqstest.Error{Code: "ExpiredTokenException", Status: 403, SenderFault: true}}
			}
			return sqstest.Fault{}
		})
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(time.Minute); return nil }
		p.start()
		p.send(numbered(5)...)
		time.Sleep(time.Second)
		p.locked(func() { expired = true })
		time.Sleep(30 * time.Second)
		p.locked(func() { expired = false })
		time.Sleep(2 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if n := len(p.bodies()); n != 5 {
			t.Errorf("five messages were handled %d times", n)
		}
	})
}

// Deletes that fail for a long time are bounded in memory, and no work is repeated.
func testDeletesThatFailPileUpToABound(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 10
		down := true
		p.faults(func(c sqstest.Call) sqstest.Fault {
			f := sqstest.Fault{DelayAfter: 20 * time.Millisecond}
			if c.Operation == "DeleteMessageBatch" && down {
				f.Error = &sqstest.Error{Code: "InternalError"}
			}
			return f
		})
		p.send(numbered(400)...)
		p.start()
		for range 20 {
			time.Sleep(time.Minute)
			if n := len(p.consumer.Flights(0)); n > 10*10+10+10 {
				t.Fatalf("%d messages are kept", n)
			}
		}
		if err := p.consumer.Healthy(time.Now()); err != nil {
			t.Errorf("unhealthy at the bound: %v", err)
		}
		p.locked(func() { down = false })
		time.Sleep(time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if n := len(p.bodies()); n != 400 {
			t.Errorf("400 messages were handled %d times", n)
		}
	})
}

// smithy-go #604 and others: handled messages must not leave memory behind.
func testNothingIsLeftBehindByEndedMessages(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.faults(latencies(10, 100*time.Millisecond))
		p.start()
		p.send(numbered(200)...)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := runtime.NumGoroutine()
		p.send(numbered(500)...)
		time.Sleep(time.Minute)
		synctest.Wait()
		if after := runtime.NumGoroutine(); after > before+2 {
			t.Errorf("%d goroutines, %d before", after, before)
		}
		p.finishClean()
	})
}

// An entry that the answer does not mention, or that fails alone, is neither lost nor does it
// affect the others (gocloud: one error for a batch).
func testEachEntryOfABatchIsAnsweredForItself(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		var answered, failed int
		var mu sync.Mutex
		p.cfg.Hooks.Answered = func(operation string, entries, bad int, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if operation == "DeleteMessageBatch" {
				answered += entries
				failed += bad
			}
		}
		p.faults(func(c sqstest.Call) sqstest.Fault {
			f := sqstest.Fault{DelayAfter: 10 * time.Millisecond}
			if c.Operation == "DeleteMessageBatch" && c.Entries > 2 {
				f.FailEntries = []int{1}
				f.EntryError = &sqstest.Error{Code: "RequestThrottled", SenderFault: true}
			}
			return f
		})
		p.send(numbered(50)...)
		p.start()
		time.Sleep(time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if failed == 0 || answered != 50+failed {
			t.Errorf("%d entries answered, %d of them failed", answered, failed)
		}
	})
}

// A redrive moves a message with the attributes of its dead letter.
func testARedrivenMessageCarriesItsStory(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		var reasons []string
		p.handler = func(_ context.Context, m consumer.Message) error {
			reason, there := m.Attribute(consumer.AttrReason)
			reasons = append(reasons, reason)
			if there {
				return nil
			}
			return failure{permanent: true, reason: "mismatch"}
		}
		p.send("bad")
		p.start()
		time.Sleep(time.Second)
		if _, err := p.client.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{
			SourceArn:      aws.String("arn:aws:sqs:us-east-1:000000000000:work-dlq"),
			DestinationArn: aws.String("arn:aws:sqs:us-east-1:000000000000:work"), // copies have no source queue in SQS
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 0, 0)
		if !slices.Equal(reasons, []string{"", "mismatch"}) {
			t.Errorf("reasons seen by the handler: %q", reasons)
		}
	})
}

// nats TESTING.md has a silent skip. Here, settings that will cause trouble are logged.
func testADrainTooShortForTheQueueIsWarnedAbout(t *testing.T) {
	for _, drain := range []time.Duration{15 * time.Second, 25 * time.Second} {
		bubble(t, 1, false, func(t *testing.T, p *pool) {
			var log bytes.Buffer
			p.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			p.cfg.DrainTimeout = drain
			p.start()
			synctest.Wait()
			p.finishClean()
			if told := strings.Contains(log.String(), "DrainTimeout"); told != (drain < 20*time.Second) {
				t.Errorf("drain %s: log %s", drain, log.String())
			}
		})
	}
}
