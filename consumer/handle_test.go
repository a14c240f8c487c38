package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
)

// clockwork remembers when each message was tried.
type clockwork struct {
	mu    sync.Mutex
	start time.Time
	at    map[string][]time.Duration // guarded by mu; since the start, by body
}

func newClockwork() *clockwork {
	return &clockwork{start: time.Now(), at: make(map[string][]time.Duration)}
}

// seen returns how many messages were tried.
func (c *clockwork) seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.at)
}

// tick returns the number of the try, from 1.
func (c *clockwork) tick(m consumer.Message) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[m.Body] = append(c.at[m.Body], time.Since(c.start))
	return len(c.at[m.Body])
}

func TestHandle(t *testing.T) {
	t.Run("deferral doubles with each receive", testADeferralDoublesWithEachReceive)
	t.Run("patience on the last receive costs no receive and no slot", testPatienceOnTheLastReceiveCostsNoReceiveAndNoSlot)
	t.Run("parked message takes a slot ahead of receives", testAParkedMessageTakesASlotAheadOfReceives)
	t.Run("waiting messages are bounded", testWaitingMessagesAreBounded)
	t.Run("message parked for twelve hours is dead lettered with the reason", testAMessageParkedForTwelveHoursIsDeadLetteredWithTheReason)
	t.Run("handler beyond twelve hours is cancelled where no lease guards it", testAHandlerBeyondTwelveHoursIsCancelledWhereNoLeaseGuardsIt)
	t.Run("lost attempt never deletes its message", testALostAttemptNeverDeletesItsMessage)
	t.Run("failure backs off and the last one is dead lettered", testAFailureBacksOffAndTheLastOneIsDeadLettered)
	t.Run("flights and stats tell where each message is", testFlightsAndStatsTellWhereEachMessageIs)
}

func testADeferralDoublesWithEachReceive(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		c := newClockwork()
		p.handler = func(_ context.Context, m consumer.Message) error {
			if c.tick(m) == 5 {
				return nil
			}
			return failure{deferred: true, after: 3 * time.Second}
		}
		p.send("twin")
		p.start()
		time.Sleep(5 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		want := 4 * time.Second // three, and up to one, in whole seconds
		for i, at := range c.at["twin"][1:] {
			if gap := at - c.at["twin"][i]; gap != want {
				t.Errorf("try %d came after %s, want %s", i+2, gap, want)
			}
			want *= 2
		}
	})
}

func testPatienceOnTheLastReceiveCostsNoReceiveAndNoSlot(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 1
		c := newClockwork()
		var parks []bool
		p.cfg.Hooks.Parked = func(_ consumer.Message, parked bool) { parks = append(parks, parked) }
		p.handler = func(_ context.Context, m consumer.Message) error {
			if m.Body == "twin" && c.tick(m) < 100 {
				return failure{deferred: true, after: 30 * time.Second}
			}
			return nil
		}
		p.send("twin")
		p.send(numbered(20)...)
		p.start()
		time.Sleep(time.Second)
		if n := len(p.bodies()); n != 21 {
			t.Errorf("%d handled while one is parked", n)
		}
		f := p.consumer.Flights(0)
		if len(f) != 1 || f[0].Phase != "parked" || f[0].VisibleAt.Before(time.Now()) {
			t.Errorf("flights: %+v", f)
		}
		time.Sleep(time.Hour)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 0, 0)
		if len(parks) != 2*99 {
			t.Errorf("%d parkings and ends of them told", len(parks))
		}
	})
}

func testAParkedMessageTakesASlotAheadOfReceives(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 2
		c := newClockwork()
		p.handler = func(_ context.Context, m consumer.Message) error {
			n := c.tick(m)
			if m.Body == "twin" && n < 6 {
				return failure{deferred: true, after: 10 * time.Second}
			}
			time.Sleep(time.Second)
			return nil
		}
		p.send("twin")
		p.send(numbered(300)...)
		p.faults(latencies(4, 40*time.Millisecond))
		p.start()
		time.Sleep(2 * time.Minute)
		p.stop()
		<-p.done
		ticks := c.at["twin"]
		if len(ticks) != 6 {
			t.Fatalf("tried %d times", len(ticks))
		}
		for i := range ticks[1:] {
			if gap := ticks[i+1] - ticks[i]; gap > 12*time.Second {
				t.Errorf("try %d came after %s", i+2, gap)
			}
		}
	})
}

func testWaitingMessagesAreBounded(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		var done atomic.Bool
		p.handler = func(context.Context, consumer.Message) error {
			if done.Load() {
				return nil
			}
			return failure{deferred: true, after: 10 * time.Minute}
		}
		p.send(numbered(1500)...)
		p.faults(latencies(5, 20*time.Millisecond))
		p.start()
		time.Sleep(5 * time.Minute)
		if s := p.consumer.Stats(); s.Parked < 1000 || s.Parked > 1000+50 {
			t.Errorf("%d parked, want 1000 and those in flight", s.Parked)
		}
		if err := p.consumer.Healthy(time.Now()); err != nil {
			t.Errorf("unhealthy at the bound: %v", err)
		}
		done.Store(true)
		time.Sleep(15 * time.Minute)
		p.finishClean()
		p.faults(nil)
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 0, 0)
	})
}

func testAMessageParkedForTwelveHoursIsDeadLetteredWithTheReason(t *testing.T) {
	bubble(t, 1, false, func(t *testing.T, p *pool) {
		p.handler = func(context.Context, consumer.Message) error {
			return failure{deferred: true, after: 14 * time.Minute}
		}
		p.cfg.Visibility = time.Hour
		p.send("twin")
		p.start()
		time.Sleep(time.Second)
		p.consumer.Pause()
		time.Sleep(12 * time.Hour)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if got := attribute(p.dead()["twin"], consumer.AttrReason); got != "in progress elsewhere" {
			t.Errorf("reason %q", got)
		}
	})
}

func testAHandlerBeyondTwelveHoursIsCancelledWhereNoLeaseGuardsIt(t *testing.T) {
	for _, cancels := range []bool{true, false} {
		bubble(t, 10, false, func(t *testing.T, p *pool) {
			p.cfg.CancelOnLostReceipt = cancels
			var causes []error
			p.handler = func(ctx context.Context, m consumer.Message) error {
				if m.ReceiveCount > 1 {
					return nil
				}
				select {
				case <-ctx.Done():
				case <-time.After(13 * time.Hour):
				}
				causes = append(causes, context.Cause(ctx))
				return ctx.Err()
			}
			p.cfg.Visibility = time.Hour
			p.send("endless")
			p.start()
			time.Sleep(time.Second)
			p.consumer.Pause()
			time.Sleep(11 * time.Hour)
			p.consumer.Resume()
			time.Sleep(3 * time.Hour)
			p.finishClean()
			if len(causes) != 1 || errors.Is(causes[0], consumer.ErrReceiptLost) != cancels {
				t.Errorf("CancelOnLostReceipt %v: causes %v", cancels, causes)
			}
			p.wantDepths(p.queueURL, 0, 0) // the redelivered copy was done
		})
	}
}

func testALostAttemptNeverDeletesItsMessage(t *testing.T) {
	for _, maxReceives := range []int{1, 10} {
		bubble(t, maxReceives, false, func(t *testing.T, p *pool) {
			c := newClockwork()
			p.handler = func(_ context.Context, m consumer.Message) error {
				if c.tick(m) < 3 {
					return failure{keep: true}
				}
				return nil // the outcome of the attempt that took over, replayed
			}
			p.send("lost")
			p.start()
			time.Sleep(40 * time.Second)
			p.wantDepths(p.queueURL, 0, 1)
			time.Sleep(5 * time.Minute)
			p.finishClean()
			p.wantDepths(p.queueURL, 0, 0)
			p.wantDepths(p.dlqURL, 0, 0)
		})
	}
}

func testAFailureBacksOffAndTheLastOneIsDeadLettered(t *testing.T) {
	bubble(t, 4, false, func(t *testing.T, p *pool) {
		c := newClockwork()
		p.handler = func(_ context.Context, m consumer.Message) error {
			c.tick(m)
			if m.Body == "asked" && m.ReceiveCount == 1 {
				return failure{after: 2 * time.Hour}
			}
			return fmt.Errorf("try %d: %w", m.ReceiveCount, errBoom)
		}
		p.send("plain", "asked")
		p.start()
		time.Sleep(3 * time.Hour)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		for body, m := range p.dead() {
			if n := len(c.at[body]); n != 4 {
				t.Errorf("%s was tried %d times", body, n)
			}
			if attribute(m, consumer.AttrReason) != "failed on its last receive" || attribute(m, consumer.AttrError) != "try 4: boom" {
				t.Errorf("%s: attributes %v", body, m.MessageAttributes)
			}
		}
		ceiling := 10 * time.Second
		for i, at := range c.at["plain"][1:] {
			if gap := at - c.at["plain"][i]; gap > ceiling+time.Second {
				t.Errorf("try %d came after %s, want at most %s", i+2, gap, ceiling)
			}
			ceiling *= 2
		}
		if gap := c.at["asked"][1] - c.at["asked"][0]; gap < 2*time.Hour {
			t.Errorf("tried after %s, although two hours were asked for", gap)
		}
	})
}

func testFlightsAndStatsTellWhereEachMessageIs(t *testing.T) {
	bubble(t, 10, true, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 2
		p.cfg.Name = func(m consumer.Message) (string, bool) { return "n-" + m.Body, true }
		p.handler = func(_ context.Context, m consumer.Message) error {
			if m.Body == "b1" {
				return errBoom
			}
			time.Sleep(90 * time.Second)
			return nil
		}
		p.sendGroup("a", "a1", "a2")
		p.sendGroup("b", "b1", "b2")
		p.start()
		synctest.Wait()
		time.Sleep(time.Millisecond)
		phases := make(map[string]string)
		for _, f := range p.consumer.Flights(0) {
			phases[f.Name] = f.Phase
			if f.GroupID == "" || f.ReceiveCount != 1 || f.Received.IsZero() || !f.VisibleAt.After(time.Now()) {
				t.Errorf("flight %+v", f)
			}
		}
		if phases["n-a1"] != "running" || phases["n-a2"] != "following" {
			t.Errorf("phases %v", phases)
		}
		if len(p.consumer.Flights(1)) != 1 {
			t.Error("limit not kept")
		}
		time.Sleep(time.Minute)
		for _, f := range p.consumer.Flights(0) {
			if f.Extensions < 2 || !f.VisibleAt.After(time.Now().Add(30*time.Second)) {
				t.Errorf("flight %+v", f)
			}
		}
		p.stop()
		<-p.done
		time.Sleep(time.Minute) // the handlers pay no heed
	})
}
