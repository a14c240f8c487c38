package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/sqstest"
)

// judge decides like a worker whether a target is down: five different messages that failed,
// without a success between them, make it suspect. A message that was refused meanwhile, and fails
// after another's success, has failed for a reason of its own.
type judge struct {
	mu       sync.Mutex
	suspects map[string]bool // guarded by mu; messages that failed since the last success
	held     map[string]bool // guarded by mu; messages refused while the target was suspect
}

func (j *judge) answer(body string, err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err == nil:
		j.suspects = nil
		return nil
	case j.held[body] && len(j.suspects) < 5:
		return err
	case !j.held[body]:
		if j.suspects == nil {
			j.suspects = make(map[string]bool)
		}
		j.suspects[body] = true
	}
	if len(j.suspects) < 5 {
		return err
	}
	if j.held == nil {
		j.held = make(map[string]bool)
	}
	j.held[body] = true
	return failure{unavailable: true, cause: err}
}

// short makes a call to SQS take a moment.
func short(sqstest.Call) sqstest.Fault {
	return sqstest.Fault{Delay: 5 * time.Millisecond, DelayAfter: 5 * time.Millisecond}
}

// lasts waits for d, or for the end of ctx.
func lasts(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A few messages that always fail do not keep the others from being handled, although they make the
// target suspect.
func TestProgress(t *testing.T) {
	for _, tc := range []struct {
		name          string
		slots, poison int
		fails         time.Duration // duration of a failing call
		sharing       sharing
	}{
		{"more poison messages than slots", 50, 60, 50 * time.Millisecond, sharing{}},
		{"one slot and five poison messages", 1, 5, 50 * time.Millisecond, sharing{}},
		{"one slot and sixty poison messages", 1, 60, 50 * time.Millisecond, sharing{}},
		{"poison messages that fail slowly", 50, 60, 20 * time.Second, sharing{}},
		{"batches", 50, 60, 50 * time.Millisecond, sharing{batch: 5}},
		{"batches that fail slowly", 50, 60, 20 * time.Second, sharing{batch: 5}},
		{"group limits", 50, 60, 50 * time.Millisecond, sharing{limit: 3}},
		{"group limits and slow failures", 50, 60, 20 * time.Second, sharing{limit: 3}},
		{"batches and group limits", 50, 60, 50 * time.Millisecond, sharing{batch: 5, limit: 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 5, false, func(t *testing.T, p *pool) {
				p.share(tc.sharing)
				p.cfg.Concurrency = tc.slots
				p.faults(short)
				j, c := &judge{}, newClockwork()
				p.handler = func(ctx context.Context, m consumer.Message) error {
					if !strings.HasPrefix(m.Body, "poison") {
						c.tick(m)
						return j.answer(m.Body, lasts(ctx, 50*time.Millisecond))
					}
					_ = lasts(ctx, tc.fails)
					return j.answer(m.Body, errBoom)
				}
				for i := range tc.poison {
					p.send(fmt.Sprint("poison", i))
				}
				p.send(numbered(500)...)
				p.start()
				time.Sleep(2*time.Minute + time.Second)
				if c.seen() == 0 {
					t.Error("no good message was begun within two minutes")
				}
				time.Sleep(8 * time.Minute)
				if n := c.seen(); n != 500 {
					t.Errorf("%d of 500 good messages handled after ten minutes: %+v", n, p.consumer.Stats())
				}
				p.consumer.Abort()
				p.finishClean()
			})
		})
	}
}

// The messages of one tenant whose database is down wait for backoffs of their own, and the others
// are handled.
func TestOneTenantsOutage(t *testing.T) {
	healthy := 3 * testutil.N(t, 400)
	for _, tc := range []struct {
		name string
		bad  int // messages of the tenant, beside the healthy ones
		most int // average tries of each in ten minutes
	}{
		{"one message", 1, 14}, // as many doubled backoffs of up to 10 s as can be drawn
		{"more than there are slots", 30, 14},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 3, false, func(t *testing.T, p *pool) {
				p.cfg.Concurrency = 20
				p.faults(short)
				var held atomic.Int32
				p.cfg.Hooks.State = func(s consumer.State) {
					if s == consumer.Held {
						held.Add(1)
					}
				}
				good, bad := newClockwork(), newClockwork()
				p.handler = func(ctx context.Context, m consumer.Message) error {
					if strings.HasPrefix(m.Body, "bad") {
						bad.tick(m)
						return failure{unavailable: true}
					}
					good.tick(m)
					return lasts(ctx, 20*time.Millisecond)
				}
				for i := range 3 {
					for j := range tc.bad {
						if j%3 == i {
							p.send(fmt.Sprint("bad", j))
						}
					}
					for _, body := range numbered(healthy / 3) {
						p.send(fmt.Sprint(body, "-", i))
					}
				}
				p.start()
				time.Sleep(10 * time.Minute)
				if n := good.seen(); n != healthy {
					t.Errorf("%d of %d healthy messages handled", n, healthy)
				}
				tries := 0
				bad.mu.Lock()
				for _, at := range bad.at {
					tries += len(at)
				}
				bad.mu.Unlock()
				if n := int(held.Load()); n > tc.bad {
					t.Errorf("held %d times for %d messages, want at most once for each", n, tc.bad)
				}
				if tries > tc.most*tc.bad {
					t.Errorf("%d tries of %d messages whose tenant is down, want at most %d", tries, tc.bad, tc.most*tc.bad)
				}
				p.consumer.Abort()
				p.finishClean()
				p.wantDepths(p.dlqURL, 0, 0)
			})
		})
	}
}

// The probes of nine hours fit into the bound, and no message is received twice.
func TestLongOutage(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		o := &outage{down: true}
		p.handler = o.handle
		p.cfg.Visibility = time.Hour // fewer heartbeats make the test cheaper
		p.send(numbered(1000)...)
		p.faults(latencies(7, 100*time.Millisecond))
		p.start()
		start := time.Now()
		// One probe a second in the first minute, one every five seconds up to ten minutes, then
		// one a minute, in addition to the messages from before the outage.
		time.Sleep(time.Second)
		here := o.seen()
		for _, pace := range []struct {
			at   time.Duration
			want int
		}{{time.Minute, 59}, {10 * time.Minute, 59 + 108}, {70 * time.Minute, 59 + 108 + 60}} {
			time.Sleep(time.Until(start.Add(pace.at)))
			if n := o.seen() - here; n < pace.want-3 || n > pace.want+3 {
				t.Errorf("%d messages probed within %s, want %d", n, pace.at, pace.want)
			}
		}
		time.Sleep(time.Until(start.Add(9 * time.Hour)))
		if s := p.consumer.Stats(); s.Held < 690 || s.Held >= 1000 {
			t.Errorf("%d messages held after nine hours, want a probe a minute: %+v", s.Held, s)
		}
		o.set(false)
		time.Sleep(5 * time.Minute)
		p.finishClean()
		p.faults(nil)
		p.wantDepths(p.queueURL, 0, 0)
		o.wantOneReceiveEach(t, 1000)
	})
}

// Probes with untried messages keep their interval, even if they are late because the only slot is
// taken. 60 failing messages start in a little more than a minute, and those behind them within
// two.
func TestProbesKeepTheirPace(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 1
		o := &outage{down: true}
		var calls atomic.Int32
		p.handler = func(ctx context.Context, m consumer.Message) error {
			took := 50 * time.Millisecond
			if calls.Add(1)%4 == 0 {
				took = 1500 * time.Millisecond
			}
			if err := lasts(ctx, took); err != nil {
				return err
			}
			return o.handle(ctx, m)
		}
		p.send(numbered(100)...)
		p.faults(short)
		p.start()
		for _, tc := range []struct {
			at          time.Duration
			least, most int
		}{{time.Minute, 57, 61}, {10 * time.Minute, 100, 100}} {
			time.Sleep(tc.at)
			if n := o.seen(); n < tc.least || n > tc.most {
				t.Errorf("%d different messages are begun within %s, want %d to %d", n, tc.at, tc.least, tc.most)
			}
		}
		// The probes of a five-minute pause do not follow all at once.
		p.consumer.Pause()
		time.Sleep(5 * time.Minute)
		before := len(o.attempts())
		p.consumer.Resume()
		time.Sleep(2 * time.Second)
		if n := len(o.attempts()) - before; n < 1 || n > 4 {
			t.Errorf("%d probes right after the pause, want one or two of each kind", n)
		}
		p.consumer.Abort()
		p.finishClean()
	})
}

// At the bound on waiting messages the longest held message makes room for an untried one, if it
// has two receives left. Ten slots need one receive before any failure, so ten messages arrive at
// once. A probe that was due before they waited may bring one more. With more slots, further
// receives would race with the first failure.
func TestOutageAtTheBound(t *testing.T) {
	const atOnce, messages, size = 10 + 1, 30, 200 << 10
	for maxReceives, wantReceives := range map[int]int{2: 1, 3: 2, 5: 4} {
		t.Run(fmt.Sprint("maxReceiveCount ", maxReceives), func(t *testing.T) {
			bubble(t, maxReceives, false, func(t *testing.T, p *pool) {
				o := &outage{down: true}
				var mu sync.Mutex
				received := make(map[string]time.Time) // first time with each receive count
				p.handler = func(ctx context.Context, m consumer.Message) error {
					mu.Lock()
					defer mu.Unlock()
					this, before := fmt.Sprint(m.Body[:2], m.ReceiveCount), fmt.Sprint(m.Body[:2], m.ReceiveCount-1)
					if _, again := received[this]; !again {
						received[this] = time.Now()
					}
					if at, ok := received[before]; ok && time.Since(at) < 15*time.Minute {
						t.Errorf("%.2s is received again %s after it was, want a quarter of an hour at least", m.Body, time.Since(at))
					}
					return o.handle(ctx, m)
				}
				p.cfg.Concurrency = 10
				p.cfg.MaxWaitingBytes = 1 << 20
				for i := range messages {
					p.send(fmt.Sprintf("%02d%s", i, strings.Repeat("x", size-2)))
				}
				p.faults(short)
				p.start()
				time.Sleep(5 * time.Minute)
				if n := o.seen(); maxReceives == 2 && n > atOnce || maxReceives > 2 && n != messages {
					t.Errorf("%d messages tried in five minutes", n)
				}
				time.Sleep(time.Hour)
				if s := p.consumer.Stats(); s.Bytes > atOnce*size {
					t.Errorf("%d bytes wait here, want at most %d", s.Bytes, atOnce*size)
				}
				o.mu.Lock()
				for body, n := range o.receives {
					if n > wantReceives {
						t.Errorf("%.2s was received %d times, want at most %d", body, n, wantReceives)
					}
				}
				o.mu.Unlock()
				o.set(false)
				time.Sleep(time.Hour)
				p.finishClean()
				p.wantDepths(p.queueURL, 0, 0)
				p.wantDepths(p.dlqURL, 0, 0)
			})
		})
	}
}

// After an outage concurrency starts at one and doubles with each success. It rises slowly while
// handlers take long.
func TestConcurrencyAfterAnOutage(t *testing.T) {
	for _, tc := range []struct {
		name  string
		takes time.Duration
		want  map[time.Duration]int // running handlers, by the time since the end of the outage
	}{
		{"short handlers", time.Second, map[time.Duration]int{
			500 * time.Millisecond: 1, 1500 * time.Millisecond: 2, 2500 * time.Millisecond: 8, 3500 * time.Millisecond: 20,
		}},
		{"long handlers", time.Hour, map[time.Duration]int{
			500 * time.Millisecond: 1, 5500 * time.Millisecond: 2, 10500 * time.Millisecond: 3, 2 * time.Minute: 20,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 3, false, func(t *testing.T, p *pool) {
				p.cfg.Concurrency = 20
				p.handler = func(ctx context.Context, _ consumer.Message) error { return lasts(ctx, tc.takes) }
				p.send(numbered(200)...)
				p.startReported("health", consumer.Closed)
				time.Sleep(time.Minute)
				p.consumer.Report("health", consumer.Up)
				start := time.Now()
				for _, at := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond,
					3500 * time.Millisecond, 5500 * time.Millisecond, 10500 * time.Millisecond, 2 * time.Minute} {
					time.Sleep(time.Until(start.Add(at)))
					if want, ok := tc.want[at]; ok && p.consumer.Stats().Running != want {
						t.Errorf("%d running %s after the outage, want %d", p.consumer.Stats().Running, at, want)
					}
				}
				p.consumer.Abort()
				p.finishClean()
			})
		})
	}
}
