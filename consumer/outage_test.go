package consumer_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
)

// outage is a dependency that is down for a while.
type outage struct {
	mu       sync.Mutex
	down     bool           // guarded by mu
	tried    []string       // guarded by mu; tried while it was down
	receives map[string]int // guarded by mu; highest receive count, by body
}

func (o *outage) set(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
}

func (o *outage) handle(_ context.Context, m consumer.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.receives == nil {
		o.receives = make(map[string]int)
	}
	o.receives[m.Body] = max(o.receives[m.Body], m.ReceiveCount)
	if !o.down {
		return nil
	}
	o.tried = append(o.tried, m.Body)
	return failure{unavailable: true}
}

// attempts returns the bodies that were tried while it was down.
func (o *outage) attempts() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.tried)
}

// seen returns the number of messages that were tried.
func (o *outage) seen() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.receives)
}

// wantOneReceiveEach fails the test if the outage has used up a receive.
func (o *outage) wantOneReceiveEach(t *testing.T, messages int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.receives) != messages {
		t.Errorf("%d messages tried, want %d", len(o.receives), messages)
	}
	for body, n := range o.receives {
		if n != 1 {
			t.Errorf("%s was received %d times", body, n)
		}
	}
}

func TestOutage(t *testing.T) {
	t.Run("outage of an hour burns nothing", testAnOutageOfAnHourBurnsNothing)
	t.Run("while something is down one message at a time is received and each time another", testWhileSomethingIsDownOneMessageAtATimeIsReceivedAndEachTimeAnother)
	t.Run("while something is closed nothing is received or tried", testWhileSomethingIsClosedNothingIsReceivedOrTried)
	t.Run("probe that is long at work does not hold up the next", testAProbeThatIsLongAtWorkDoesNotHoldUpTheNext)
	t.Run("message that is always unavailable does not stop the others", testAMessageThatIsAlwaysUnavailableDoesNotStopTheOthers)
	t.Run("failure of a messages own ends an outage and a deferral does not", testAFailureOfAMessagesOwnEndsAnOutageAndADeferralDoesNot)
	t.Run("stop in an outage gives back held messages", testStopInAnOutageGivesBackHeldMessages)
	t.Run("stop in an outage holds a last receive until the end of the drain", testAStopInAnOutageHoldsALastReceiveUntilTheEndOfTheDrain)
	t.Run("states are told in order", testStatesAreToldInOrder)
	t.Run("failure of its own does not hurry probes while something is reported down", testAFailureOfItsOwnDoesNotHurryProbesWhileSomethingIsReportedDown)
}

func testAnOutageOfAnHourBurnsNothing(t *testing.T) {
	for name, s := range sharings {
		t.Run(name, func(t *testing.T) { outageOfAnHour(t, s) })
	}
}

func outageOfAnHour(t *testing.T, s sharing) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		p.share(s)
		messages := 1000
		if s != (sharing{}) {
			messages = 300
		}
		o := &outage{down: true}
		p.handler = o.handle
		p.send(numbered(messages)...)
		p.faults(latencies(1, 100*time.Millisecond))
		p.start()
		time.Sleep(time.Hour)
		if err := p.consumer.Healthy(time.Now()); err != nil {
			t.Errorf("unhealthy in an outage: %v", err)
		}
		if n := len(o.attempts()); n > 900 {
			t.Errorf("%d tries in an hour, more than one every four seconds", n)
		}
		o.set(false)
		time.Sleep(5 * time.Minute)
		p.finishClean()
		p.faults(nil)
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 0, 0)
		o.wantOneReceiveEach(t, messages)
	})
}

func testWhileSomethingIsDownOneMessageAtATimeIsReceivedAndEachTimeAnother(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		o := &outage{down: true}
		p.handler = o.handle
		p.cfg.Concurrency = 10
		p.send(numbered(100)...)
		p.faults(latencies(2, 10*time.Millisecond))
		p.startReported("target", consumer.Down)
		time.Sleep(150 * time.Millisecond)
		if _, hidden := p.depths(p.queueURL); hidden > 2 {
			t.Errorf("%d received before the first probe was answered", hidden)
		}
		time.Sleep(3 * time.Minute)
		// One untried probe a second in the first minute, then one every five seconds, and as many
		// probes with held messages.
		if _, hidden := p.depths(p.queueURL); hidden < 80 || hidden > 88 {
			t.Errorf("%d received, want 60 in the first minute and 24 in two more", hidden)
		}
		tried := o.attempts()
		if len(tried) < 160 || len(tried) > 176 {
			t.Errorf("%d probes in three minutes", len(tried))
		}
		first := slices.Compact(slices.Sorted(slices.Values(tried[:20])))
		if len(first) < 10 {
			t.Errorf("the first twenty probes were %v, want ten messages", tried[:20])
		}
		if s := p.consumer.Stats(); s.State != consumer.Held || s.Running != 0 || s.Held < 80 || !slices.Equal(s.Down, []string{"target", "handler"}) {
			t.Errorf("stats: %+v", s)
		}
		o.set(false)
		p.consumer.Report("target", consumer.Up)
		time.Sleep(time.Minute)
		p.finishClean()
		p.faults(nil)
		p.wantDepths(p.queueURL, 0, 0)
		o.wantOneReceiveEach(t, 100)
	})
}

func testWhileSomethingIsClosedNothingIsReceivedOrTried(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		p.startReported("target", consumer.Closed)
		time.Sleep(time.Minute)
		p.send(numbered(30)...)
		time.Sleep(time.Hour)
		p.wantDepths(p.queueURL, 30, 0)
		if err := p.consumer.Healthy(time.Now()); err != nil {
			t.Errorf("unhealthy while closed: %v", err)
		}
		p.consumer.Report("target", consumer.Up)
		time.Sleep(time.Second)
		p.wantDepths(p.queueURL, 0, 0)
		// Messages from an open poll wait in the worker.
		p.consumer.Report("target", consumer.Closed)
		p.send("late")
		time.Sleep(5 * time.Minute)
		p.wantDepths(p.queueURL, 0, 1)
		if n := len(p.bodies()); n != 30 {
			t.Errorf("%d tried", n)
		}
		p.consumer.Report("target", consumer.Up)
		time.Sleep(time.Second)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

func testAProbeThatIsLongAtWorkDoesNotHoldUpTheNext(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(10 * time.Minute); return nil }
		p.send(numbered(40)...)
		p.startReported("store", consumer.Down)
		time.Sleep(time.Minute)
		if n := len(p.bodies()); n < 38 || n > 40 {
			t.Errorf("%d started in a minute, want one a second", n)
		}
		p.finishWithin(time.Hour)
	})
}

func testAMessageThatIsAlwaysUnavailableDoesNotStopTheOthers(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		p.handler = func(_ context.Context, m consumer.Message) error {
			if m.Body == "sick" {
				return failure{unavailable: true}
			}
			time.Sleep(time.Second)
			return nil
		}
		p.send("sick")
		p.send(numbered(500)...)
		p.faults(latencies(3, 100*time.Millisecond))
		p.start()
		time.Sleep(time.Minute)
		if _, hidden := p.depths(p.queueURL); hidden != 1 {
			t.Errorf("%d in flight after a minute, want the sick one", hidden)
		}
		p.finishClean()
		p.faults(nil)
		p.wantDepths(p.queueURL, 1, 0)
		p.wantDepths(p.dlqURL, 0, 0)
	})
}

func testAFailureOfAMessagesOwnEndsAnOutageAndADeferralDoesNot(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		answers := map[string]error{"down": failure{unavailable: true}, "twin": failure{deferred: true, after: time.Hour}, "bad": errBoom}
		p.handler = func(_ context.Context, m consumer.Message) (err error) {
			if m.Body == "down" && m.ReceiveCount == 1 {
				time.Sleep(time.Second)
			}
			p.locked(func() { err = answers[m.Body] })
			return err
		}
		p.start()
		p.send("down")
		time.Sleep(1100 * time.Millisecond)
		if s := p.consumer.Stats().State; s != consumer.Held {
			t.Errorf("state %s after the outage began", s)
		}
		p.send("twin")
		time.Sleep(300 * time.Millisecond)
		if s := p.consumer.Stats().State; s != consumer.Held {
			t.Errorf("state %s after a deferral", s)
		}
		var states []consumer.State
		p.locked(func() { answers["down"] = errBoom })
		time.Sleep(10 * time.Second)
		states = append(states, p.consumer.Stats().State)
		if !slices.Equal(states, []consumer.State{consumer.Running}) {
			t.Errorf("states %v after a failure", states)
		}
		p.finishClean()
	})
}

func testStopInAnOutageGivesBackHeldMessages(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		o := &outage{down: true}
		p.handler = o.handle
		p.send(numbered(20)...)
		p.start()
		time.Sleep(time.Minute)
		start := time.Now()
		p.finishClean()
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("the stop took %s", took)
		}
		p.wantDepths(p.queueURL, 20, 0)
	})
}

func testAStopInAnOutageHoldsALastReceiveUntilTheEndOfTheDrain(t *testing.T) {
	for _, recovers := range []bool{true, false} {
		bubble(t, 1, false, func(t *testing.T, p *pool) {
			o := &outage{down: true}
			p.handler = o.handle
			p.send("one")
			p.start()
			time.Sleep(time.Minute)
			p.stop()
			time.Sleep(15 * time.Second)
			o.set(!recovers)
			if err := <-p.done; err != nil {
				t.Error(err)
			}
			if recovers {
				p.wantDepths(p.queueURL, 0, 0)
			} else { // not tried, so SQS moves it, and its record has the reason
				p.wantDepths(p.queueURL, 0, 1)
			}
			p.wantDepths(p.dlqURL, 0, 0)
		})
	}
}

func testStatesAreToldInOrder(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		var mu sync.Mutex
		var states []consumer.State
		p.cfg.Hooks.State = func(s consumer.State) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, s)
		}
		p.start()
		synctest.Wait()
		p.consumer.Pause()
		p.consumer.Pause()
		p.consumer.Report("store", consumer.Down)
		p.consumer.Resume()
		p.consumer.Report("store", consumer.Up)
		p.finishClean()
		want := []consumer.State{consumer.Running, consumer.Paused, consumer.Held, consumer.Running, consumer.Draining, consumer.Stopped}
		if !slices.Equal(states, want) {
			t.Errorf("states %v, want %v", states, want)
		}
	})
}

// A message that fails for a reason of its own does not prove that a dependency reported as down is
// up. The next probe still waits.
func testAFailureOfItsOwnDoesNotHurryProbesWhileSomethingIsReportedDown(t *testing.T) {
	bubble(t, 100, false, func(t *testing.T, p *pool) {
		var tries atomic.Int32
		p.handler = func(context.Context, consumer.Message) error {
			tries.Add(1)
			return failure{permanent: true, reason: "rejected"}
		}
		p.send(numbered(400)...)
		p.faults(latencies(5, 10*time.Millisecond))
		p.startReported("target", consumer.Down)
		time.Sleep(3 * time.Minute)
		if n := tries.Load(); n < 80 || n > 88 {
			t.Errorf("%d probes in three minutes, want 60 in the first and 24 in two more", n)
		}
		p.consumer.Report("target", consumer.Up)
		time.Sleep(time.Minute)
		p.finishClean()
		p.faults(nil)
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 400, 0)
	})
}
