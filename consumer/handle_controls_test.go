package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
)

func TestHandlerTimeout(t *testing.T) {
	t.Run("obeyed", func(t *testing.T) {
		bubble(t, 2, false, func(t *testing.T, p *pool) {
			p.cfg.HandlerTimeout = time.Minute
			p.send("x")
			var cause error
			p.handler = func(ctx context.Context, _ consumer.Message) error {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return ctx.Err()
			}
			p.start()
			time.Sleep(10 * time.Minute)
			p.finishClean()
			if !errors.Is(cause, context.DeadlineExceeded) || len(p.bodies()) != 2 {
				t.Errorf("cause %v, %d tries", cause, len(p.bodies()))
			}
			if got := attribute(p.dead()["x"], consumer.AttrReason); got != "failed on its last receive" {
				t.Errorf("reason %q", got)
			}
		})
	})
	t.Run("ignored", func(t *testing.T) {
		bubble(t, 2, false, func(t *testing.T, p *pool) {
			p.cfg.HandlerTimeout = time.Minute
			p.send("x")
			var told []time.Duration
			p.cfg.Hooks.Overdue = func(m consumer.Message, running time.Duration) { told = append(told, running) }
			p.handler = func(context.Context, consumer.Message) error { time.Sleep(4 * time.Minute); return nil }
			p.start()
			time.Sleep(10 * time.Minute)
			p.finishClean()
			if len(told) != 3 || told[0] < 70*time.Second || told[0] > 73*time.Second {
				t.Errorf("told %v, want 10 s after the end of its time and each minute from then on", told)
			}
			p.wantDepths(p.queueURL, 0, 0)
		})
	})
}

func TestSetConcurrency(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 5
		p.send(numbered(200)...)
		p.handler = func(ctx context.Context, _ consumer.Message) error { return lasts(ctx, 10*time.Second) }
		p.start()
		for _, n := range []int{5, 25, 3} {
			if err := p.consumer.SetConcurrency(n); err != nil {
				t.Error(err)
			}
			time.Sleep(24 * time.Second)
			if s := p.consumer.Stats(); s.Running != n || s.Slots != n {
				t.Errorf("%d running of %d slots, want %d", s.Running, s.Slots, n)
			}
		}
		if err := p.consumer.SetConcurrency(0); err == nil {
			t.Error("no error for 0")
		}
		p.consumer.Abort()
		p.finishClean()
	})
}

func TestSnooze(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 1
		c := newClockwork()
		p.handler = func(_ context.Context, m consumer.Message) error {
			if m.ReceiveCount > 1 || m.LastReceive {
				t.Errorf("receive %d, last: %t", m.ReceiveCount, m.LastReceive)
			}
			if n := c.tick(m); m.Body == "later" && n < 4 {
				return consumer.Snooze(time.Hour)
			}
			return nil
		}
		p.send("later", "now")
		p.start()
		time.Sleep(4 * time.Hour)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if at := c.at["later"]; len(at) != 4 || at[3] < 3*time.Hour || at[3] > 3*time.Hour+time.Minute {
			t.Errorf("tried at %v", at)
		}
		if at := c.at["now"]; len(at) != 1 || at[0] > time.Second {
			t.Errorf("the other one was tried at %v", at)
		}
	})
}

func TestMessageDelete(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.send("x")
		p.handler = func(ctx context.Context, m consumer.Message) error {
			if err := m.Delete(ctx); err != nil {
				t.Error(err)
			}
			p.wantDepths(p.queueURL, 0, 0)
			_ = lasts(ctx, 5*time.Minute)
			return errBoom // in vain
		}
		p.faults(nil)
		p.start()
		time.Sleep(10 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if n := p.count("DeleteMessageBatch") + p.count("ChangeMessageVisibilityBatch"); n != 1 || len(p.bodies()) != 1 {
			t.Errorf("%d calls about a message that was deleted, %d tries", n, len(p.bodies()))
		}
	})
}

func TestMessageExtend(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.send("x")
		entered := make(chan struct{})
		p.handler = func(ctx context.Context, m consumer.Message) error {
			if err := m.Extend(ctx, time.Hour); err != nil {
				t.Error(err)
			}
			close(entered)
			<-ctx.Done()
			time.Sleep(time.Minute) // is left behind
			return nil
		}
		p.start()
		<-entered
		time.Sleep(5 * time.Minute) // heartbeats do not shorten it
		p.stop()
		p.consumer.Abort()
		if err := <-p.done; !errors.Is(err, consumer.ErrAbandoned) {
			t.Error(err)
		}
		time.Sleep(50 * time.Minute)
		p.wantDepths(p.queueURL, 0, 1)
		time.Sleep(10 * time.Minute)
		p.wantDepths(p.queueURL, 1, 0)
	})
	t.Run("not received", func(t *testing.T) {
		if err := (consumer.Message{}).Extend(t.Context(), time.Hour); err == nil {
			t.Error("no error")
		}
		if err := (consumer.Message{}).Delete(t.Context()); err == nil {
			t.Error("no error")
		}
	})
}

func TestHandler(t *testing.T) {
	t.Run("message delete in a group", testMessageDeleteInAGroup)
}

// A FIFO group continues after a message that its handler has deleted, even if the handler returns
// an error.
func testMessageDeleteInAGroup(t *testing.T) {
	bubble(t, 3, true, func(t *testing.T, p *pool) {
		p.sendGroup("g", "a", "b")
		p.handler = func(ctx context.Context, m consumer.Message) error {
			if m.ReceiveCount > 1 {
				t.Errorf("%s was received again", m.Body)
			}
			if err := m.Delete(ctx); err != nil {
				t.Error(err)
			}
			return consumer.Snooze(time.Minute)
		}
		p.start()
		time.Sleep(10 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if n := len(p.bodies()); n != 2 {
			t.Errorf("%d tries of two messages", n)
		}
	})
}
