package consumer_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/testutil"
)

// throttle is a target that admits a limited number of requests in each second.
type throttle struct {
	mu       sync.Mutex
	admits   int
	window   time.Time // guarded by mu
	admitted int       // guarded by mu; in this window
	refused  int       // guarded by mu
}

func (t *throttle) request() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now().Truncate(time.Second); !now.Equal(t.window) {
		t.window, t.admitted = now, 0
	}
	if t.admitted == t.admits {
		t.refused++
		return failure{refused: true, after: time.Second}
	}
	t.admitted++
	return nil
}

// A target that refuses excess requests gets as many as it admits, and no attempt counts against
// the messages.
func TestRefusals(t *testing.T) {
	for n := range testutil.N(t, 3) {
		seed := uint64(n + 1)
		bubble(t, 5, false, func(t *testing.T, p *pool) {
			target := &throttle{admits: 20}
			p.faults(latencies(seed, 20*time.Millisecond))
			var mu sync.Mutex
			receives, last, done := 0, time.Time{}, 0
			p.handler = func(ctx context.Context, m consumer.Message) error {
				err := target.request()
				_ = lasts(ctx, 5*time.Millisecond+time.Duration(len(m.Body)+int(m.Body[len(m.Body)-1])%40)*5*time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				receives = max(receives, m.ReceiveCount)
				if err == nil {
					done++
					last = time.Now()
				}
				return err
			}
			for range 15 {
				p.send(numbered(100)...)
			}
			start := time.Now()
			p.start()
			time.Sleep(3 * time.Minute)
			p.finishClean()
			p.wantDepths(p.queueURL, 0, 0)
			p.wantDepths(p.dlqURL, 0, 0)
			if rate := float64(done) / last.Sub(start).Seconds(); done != 1500 || rate < 18 {
				t.Errorf("%d of 1,500 done, %.1f a second, want at least 18", done, rate)
			}
			if target.refused > 600 || receives != 1 {
				t.Errorf("%d refusals, want at most 600; up to %d receives of a message, want 1", target.refused, receives)
			}
			t.Logf("seed %d: %d refusals, %.2f a second", seed, target.refused, float64(done)/last.Sub(start).Seconds())
		})
	}
}

// The rate also bounds receiving, because messages that wait for it here could be handled
// elsewhere.
func TestRateBoundsReceiving(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Rate, p.cfg.Concurrency = 1, 50
		p.send(numbered(200)...)
		p.faults(short)
		p.start()
		time.Sleep(10 * time.Second)
		if _, hidden := p.depths(p.queueURL); hidden > 2 {
			t.Errorf("%d messages wait here for a rate of one a second", hidden)
		}
		if n := len(p.bodies()); n < 9 {
			t.Errorf("%d begun in ten seconds", n)
		}
		p.finishClean()
	})
}
