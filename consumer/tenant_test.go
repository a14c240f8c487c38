package consumer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/sqstest"
)

// atWork counts the handlers at work, by the tenant before the slash in a body.
type atWork struct {
	mu     sync.Mutex
	now    map[string]int         // guarded by mu
	most   map[string]int         // guarded by mu
	starts map[string][]time.Time // guarded by mu
	again  int                    // guarded by mu; messages received more than once
}

// handler works for as long as took says.
func (w *atWork) handler(took func() time.Duration) consumer.Handler {
	w.now, w.most, w.starts = make(map[string]int), make(map[string]int), make(map[string][]time.Time)
	return func(ctx context.Context, m consumer.Message) error {
		tenant, _, _ := strings.Cut(m.Body, "/")
		w.mu.Lock()
		w.now[tenant]++
		w.most[tenant] = max(w.most[tenant], w.now[tenant])
		w.starts[tenant] = append(w.starts[tenant], time.Now())
		if m.ReceiveCount > 1 {
			w.again++
		}
		d := took()
		w.mu.Unlock()
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.now[tenant]--
		return context.Cause(ctx)
	}
}

// upTo returns random times.
func upTo(seed uint64, most time.Duration) func() time.Duration {
	random := rand.New(rand.NewPCG(seed, 2))
	return func() time.Duration { return time.Duration(1 + random.Int64N(int64(most))) }
}

func of(tenant string, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("%s/%d", tenant, i)
	}
	return bodies
}

func TestGroupLimits(t *testing.T) {
	t.Run("concurrency", testGroupConcurrency)
	t.Run("rate", testGroupRate)
	t.Run("messages wait here", testGroupWaits)
	t.Run("at the bound nothing goes back", testGroupBound)
	t.Run("waiting sends nothing back", testGroupSendsNothingBack)
	t.Run("stop releases them", testGroupStop)
	t.Run("stop before the rate allows the next", testGroupRateStop)
	t.Run("group by another value", testGroupBy)
	t.Run("failures in FIFO groups", testGroupFIFO)
}

func testGroupConcurrency(t *testing.T) {
	for seed := range uint64(5) {
		bubble(t, 3, false, func(t *testing.T, p *pool) {
			var w atWork
			p.faults(latencies(seed, 20*time.Millisecond))
			p.cfg.Concurrency, p.cfg.GroupConcurrency = 20, 2
			p.handler = w.handler(upTo(seed, time.Second))
			p.start()
			for _, tenant := range []string{"a", "b", "c"} {
				p.sendGroup(tenant, of(tenant, 60)...)
			}
			p.send(of("free", 100)...)
			p.finishWithin(10 * time.Minute)
			if w.most["a"] != 2 || w.most["b"] != 2 || w.most["c"] != 2 || w.most["free"] < 10 || w.again > 0 {
				t.Errorf("seed %d: at work at a time: %v, want 2 of each group; %d received again", seed, w.most, w.again)
			}
		})
	}
}

func testGroupRate(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		var w atWork
		p.faults(latencies(1, 20*time.Millisecond))
		p.cfg.Concurrency, p.cfg.GroupRate = 20, 5
		p.handler = w.handler(upTo(1, time.Second))
		p.start()
		p.sendGroup("a", of("a", 300)...)
		p.send(of("free", 100)...)
		p.finishWithin(10 * time.Minute)
		starts := w.starts["a"]
		for i := range starts {
			// A bucket of 5 that 5 a second fill: in any time t at most 5t + 5.
			for j := i; j < len(starts); j++ {
				if most := 5 + 5*starts[j].Sub(starts[i]).Seconds(); float64(j-i) > most {
					t.Fatalf("%d starts within %s", j-i+1, starts[j].Sub(starts[i]))
				}
			}
		}
		if took := starts[len(starts)-1].Sub(starts[0]); took > 62*time.Second || w.again > 0 {
			t.Errorf("300 messages at 5 a second took %s, %d were received again", took, w.again)
		}
	})
}

func testGroupWaits(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		var w atWork
		p.cfg.Concurrency, p.cfg.GroupConcurrency = 20, 1
		p.handler = w.handler(func() time.Duration { return 10 * time.Second })
		p.sendGroup("a", of("a", 200)...)
		p.start()
		time.Sleep(5*time.Minute + time.Second) // several visibility timeouts
		s := p.consumer.Stats()
		if visible, hidden := p.depths(p.queueURL); visible > 0 || s.Running != 1 || s.Limited != hidden-1 || s.Parked != 0 || s.Queued != 0 {
			t.Errorf("%d visible, %d hidden, %+v: want one at work, and the others here without a slot", visible, hidden, s)
		}
		phases := make(map[string]int)
		for _, f := range p.consumer.Flights(0) {
			phases[f.Phase]++
		}
		if phases["limited"] != s.Limited || phases["running"] != 1 || len(phases) != 2 {
			t.Errorf("phases %v, want %d limited and 1 running", phases, s.Limited)
		}
		p.finishWithin(time.Hour)
		if s := p.consumer.Stats(); w.again > 0 || s.Limited != 0 {
			t.Errorf("%d messages were received again, and %d wait in the end", w.again, s.Limited)
		}
	})
}

// Messages that wait for their group are never sent back. Parked ones are sent back for them only
// where that makes room.
func testGroupSendsNothingBack(t *testing.T) {
	for name, tc := range map[string]struct {
		limited, parked int
		work            time.Duration // of the parked ones, before they are parked
		back            bool
	}{
		"full bound, then parked ones":  {1400, 15, 2 * time.Minute, false},
		"bound filled with parked ones": {600, 600, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 100, false, func(t *testing.T, p *pool) {
				var w atWork
				p.cfg.Concurrency, p.cfg.GroupConcurrency, p.cfg.Visibility = 20, 1, 10*time.Minute
				work := w.handler(func() time.Duration { return 2 * time.Second })
				var mu sync.Mutex
				back := 0
				p.handler = func(ctx context.Context, m consumer.Message) error {
					if strings.HasPrefix(m.Body, "a/") {
						return work(ctx, m)
					}
					mu.Lock()
					again := m.ReceiveCount > 1 || time.Since(m.SentAt) > tc.work+2*time.Minute
					if m.ReceiveCount > 1 {
						back++
					}
					mu.Unlock()
					if again {
						return nil
					}
					time.Sleep(tc.work)
					return consumer.Snooze(5 * time.Minute)
				}
				p.send(of("free", tc.parked)...)
				p.start()
				time.Sleep(time.Minute)
				p.sendGroup("a", of("a", tc.limited)...)
				p.finishWithin(2 * time.Hour)
				if w.again > 0 || back > 0 != tc.back {
					t.Errorf("%d messages that waited for their group were received again, want none; %d parked ones, want some: %v", w.again, back, tc.back)
				}
			})
		})
	}
}

func testGroupBound(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		var w atWork
		p.cfg.Concurrency, p.cfg.GroupConcurrency = 20, 5
		p.handler = w.handler(func() time.Duration { return time.Second })
		p.sendGroup("a", of("a", 1500)...)
		p.send(of("free", 20)...)
		p.start()
		time.Sleep(10 * time.Second)
		if s := p.consumer.Stats(); s.Limited < 990 || s.Limited > 1020 {
			t.Errorf("%d messages wait here, want some 1,000", s.Limited)
		}
		p.finishWithin(time.Hour)
		if w.again > 0 {
			t.Errorf("%d messages were received again", w.again)
		}
	})
}

func testGroupStop(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		var w atWork
		p.cfg.Concurrency, p.cfg.GroupConcurrency, p.cfg.PollWait = 20, 1, time.Second
		p.handler = w.handler(func() time.Duration { return 5 * time.Second })
		p.sendGroup("a", of("a", 50)...)
		p.start()
		time.Sleep(2 * time.Second)
		p.finishClean()
		p.wantDepths(p.queueURL, 49, 0)
	})
}

// The time at which the rate would let a message through passes after the stop has released it. The
// pool must not look for it: its alarm would ring without end, and virtual time would stand still.
func testGroupRateStop(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency, p.cfg.GroupRate, p.cfg.PollWait = 20, 1, time.Second
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(10 * time.Second); return nil }
		p.sendGroup("a", of("a", 5)...)
		p.start()
		time.Sleep(100 * time.Millisecond)
		p.finishClean()
		p.wantDepths(p.queueURL, 4, 0)
	})
}

func testGroupBy(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		var w atWork
		p.cfg.Concurrency, p.cfg.GroupConcurrency = 20, 3
		p.cfg.GroupBy = func(m consumer.Message) string {
			tenant, _, _ := strings.Cut(m.Body, "/")
			if tenant == "broken" {
				panic("ouch")
			}
			return tenant
		}
		p.handler = w.handler(upTo(1, time.Second))
		p.start()
		p.send(slices.Concat(of("a", 60), of("broken", 60))...)
		p.finishWithin(10 * time.Minute)
		if w.most["a"] != 3 || w.most["broken"] <= 3 {
			t.Errorf("at work at a time: %v, want 3 of a, and no bound for messages without a group", w.most)
		}
	})
}

// Heads of FIFO groups that wait for another try do not use up their tenant's bound.
func testGroupFIFO(t *testing.T) {
	bubble(t, 10, true, func(t *testing.T, p *pool) {
		var w atWork
		p.cfg.Concurrency, p.cfg.GroupConcurrency = 20, 2
		p.cfg.GroupBy = func(consumer.Message) string { return "one tenant" }
		work := w.handler(upTo(1, time.Second))
		p.handler = func(ctx context.Context, m consumer.Message) error {
			if err := work(ctx, m); err != nil {
				return err
			}
			if strings.HasPrefix(m.Body, "bad") {
				return consumer.RetryAfter(errBoom, time.Minute)
			}
			return nil
		}
		p.start()
		for i := range 5 {
			p.sendGroup(fmt.Sprint("bad", i), fmt.Sprint("bad", i, "/0"))
		}
		p.sendGroup("good", of("good", 20)...)
		time.Sleep(time.Minute)
		w.mu.Lock()
		n := len(w.starts["good"])
		w.mu.Unlock()
		if n < 20 {
			t.Errorf("%d of 20 messages were begun beside failing groups", n)
		}
		p.finishWithin(time.Hour)
	})
}

// One tenant with many messages does not slow down the others: their times from sending to
// handling stay below twice those without it.
func TestNoisyTenant(t *testing.T) {
	for name, tc := range map[string]struct{ noisy int }{"900 in front": {900}, "thousands on a fair queue": {testutil.N(t, 2000)}} {
		t.Run(name, func(t *testing.T) {
			without, beside := othersP99(t, 0), othersP99(t, tc.noisy)
			t.Logf("p99 of the others: %s without, %s beside %d messages", without, beside, tc.noisy)
			if beside >= 2*without {
				t.Errorf("the others wait %s beside %d messages of one tenant, %s without", beside, tc.noisy, without)
			}
		})
	}
}

// othersP99 returns the time from sending to handling within which 99 of 100 messages of quiet
// tenants start, after the given number of messages of a noisy one.
func othersP99(t *testing.T, noisy int) (p99 time.Duration) {
	bubble(t, 5, false, func(t *testing.T, p *pool) {
		var mu sync.Mutex
		var waits []time.Duration
		p.cfg.GroupConcurrency = 5
		took := upTo(1, 200*time.Millisecond)
		p.handler = func(_ context.Context, m consumer.Message) error {
			mu.Lock()
			if !strings.HasPrefix(m.Body, "noisy") {
				waits = append(waits, time.Since(m.SentAt))
			}
			d := took()
			mu.Unlock()
			time.Sleep(d)
			return nil
		}
		p.sendGroup("noisy", of("noisy", noisy)...)
		for i := range 100 {
			tenant := fmt.Sprint("t", i)
			p.sendGroup(tenant, of(tenant, 10)...)
		}
		p.faults(func(sqstest.Call) sqstest.Fault {
			return sqstest.Fault{Delay: 8 * time.Millisecond, DelayAfter: 7 * time.Millisecond}
		})
		p.start()
		for begun := 0; begun < 1000; {
			time.Sleep(time.Second)
			mu.Lock()
			begun = len(waits)
			mu.Unlock()
		}
		p.finishClean()
		slices.Sort(waits)
		p99 = waits[len(waits)*99/100]
	})
	return p99
}
