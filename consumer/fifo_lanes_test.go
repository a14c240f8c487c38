package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/testutil"
)

// sendGroups sends n messages to each of the groups.
func (p *pool) sendGroups(prefix string, groups, n int, padding string) {
	p.t.Helper()
	for g := range groups {
		bodies := make([]string, n)
		for i := range bodies {
			bodies[i] = fmt.Sprintf("%s%d-%d%s", prefix, g, i, padding)
		}
		p.sendGroup(fmt.Sprint(prefix, g), bodies...)
	}
}

// Groups whose heads fail do not delay other groups, even if many messages wait behind the heads.
func TestFailingGroups(t *testing.T) {
	for _, tc := range []struct {
		name   string
		groups int
		takes  time.Duration
		bound  time.Duration // until a hundred healthy groups are done
	}{
		{"fast failures", 110, time.Millisecond, 10 * time.Second},
		{"slow failures", 110, 20 * time.Second, 2 * time.Minute},
		{"more than may wait", 400, time.Millisecond, time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 10, true, func(t *testing.T, p *pool) {
				p.sendGroups("bad", tc.groups, 10, "")
				p.faults(short)
				good := newClockwork()
				p.handler = func(ctx context.Context, m consumer.Message) error {
					if strings.HasPrefix(m.Body, "bad") {
						_ = lasts(ctx, tc.takes)
						return errBoom
					}
					good.tick(m)
					return nil
				}
				p.start()
				time.Sleep(time.Minute)
				p.sendGroups("good", 100, 1, "")
				time.Sleep(tc.bound)
				if n := good.seen(); n != 100 {
					t.Errorf("%d of 100 healthy groups handled after %s: %+v", n, tc.bound, p.consumer.Stats())
				}
				p.consumer.Abort()
				p.finishClean()
			})
		})
	}
}

// All slots can be used, however long the groups are.
func TestDeepGroups(t *testing.T) {
	for _, tc := range []struct {
		name          string
		slots, groups int
		padding       int
	}{
		{"many slots", 300, 320, 0},
		{"large messages", 50, 60, 20 << 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 10, true, func(t *testing.T, p *pool) {
				p.cfg.Concurrency = tc.slots
				p.cfg.MaxWaitingBytes = 2 << 20
				p.sendGroups("g", tc.groups, 20, strings.Repeat("x", tc.padding))
				p.faults(short)
				p.handler = func(ctx context.Context, _ consumer.Message) error { return lasts(ctx, time.Minute) }
				p.start()
				time.Sleep(30 * time.Second)
				if s := p.consumer.Stats(); s.Running != tc.slots || s.Bytes > 2*p.cfg.MaxWaitingBytes {
					t.Errorf("%d running of %d slots, %d bytes wait: %+v", s.Running, s.Slots, s.Bytes, s)
				}
				p.consumer.Abort()
				p.finishClean()
			})
		})
	}
}

// At the upper bound the lane with the latest due time goes back as a whole, if each of its
// messages has two receives left.
func TestLanesAtTheBound(t *testing.T) {
	for _, maxReceives := range []int{2, 5} {
		t.Run(fmt.Sprint("maxReceiveCount ", maxReceives), func(t *testing.T) {
			bubble(t, maxReceives, true, func(t *testing.T, p *pool) {
				p.cfg.MaxWaitingBytes = 1 << 20
				p.sendGroups("bad", 40, 2, strings.Repeat("x", 100<<10))
				p.faults(short)
				o := newOrder()
				var tried sync.Map
				p.handler = func(_ context.Context, m consumer.Message) error {
					tried.Store(m.Body[:8], true)
					o.mu.Lock()
					o.tried[m.Body] = max(o.tried[m.Body], m.ReceiveCount)
					o.mu.Unlock()
					return retryIn(time.Hour)
				}
				p.start()
				time.Sleep(10 * time.Minute)
				n, most := 0, 0
				tried.Range(func(any, any) bool { n++; return true })
				o.mu.Lock()
				for _, receives := range o.tried {
					most = max(most, receives)
				}
				o.mu.Unlock()
				if maxReceives == 2 && n > 25 || maxReceives == 5 && n < 40 {
					t.Errorf("%d of 40 groups tried", n)
				}
				if most >= maxReceives {
					t.Errorf("a message was received %d times", most)
				}
				p.consumer.Abort()
				p.finishClean()
				p.wantDepths(p.dlqURL, 0, 0)
			})
		})
	}
}

// stalled is a queue whose heartbeats stop while the process is suspended.
type stalled struct {
	consumer.Queue
	now atomic.Bool
}

func (q *stalled) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	for q.now.Load() {
		time.Sleep(100 * time.Millisecond)
	}
	return q.Queue.ChangeMessageVisibilityBatch(context.WithoutCancel(ctx), in, o...)
}

// A worker that was suspended for longer than its visibility timeout starts no message that another
// worker has received meanwhile.
func TestStalledWorker(t *testing.T) {
	for _, fifo := range []bool{true, false} {
		t.Run(fmt.Sprint("fifo ", fifo), func(t *testing.T) {
			bubble(t, 10, fifo, func(t *testing.T, p *pool) {
				if fifo {
					p.sendGroup("g", numbered(10)...)
				} else {
					p.send(numbered(10)...)
				}
				begun := p.stall(t, fifo)
				seen := make(map[string]int)
				for _, b := range begun {
					seen[b[1:]]++
				}
				for body, n := range seen {
					if fifo && body != begun[0][1:] && n > 1 || n > 2 {
						t.Errorf("%s was begun %d times: %v", body, n, begun)
					}
				}
				// B works in order, and messages that A starts after its suspension never overtake
				// those of B.
				var ofB []string
				for _, b := range begun {
					if b[0] == 'B' {
						ofB = append(ofB, b[1:])
					}
				}
				if fifo && !slices.IsSorted(ofB) {
					t.Errorf("not in order: %v", begun)
				}
				p.wantDepths(p.queueURL, 0, 0)
			})
		})
	}
}

// stall runs the workers A and B for ten minutes. A is suspended within its first message. It
// returns the messages in the order of their beginning, each after the letter of its worker.
func (p *pool) stall(t *testing.T, fifo bool) (begun []string) {
	t.Helper()
	a, got := &stalled{Queue: p.client}, &log{}
	var once atomic.Bool
	var ca *consumer.Consumer
	work := func(worker string) consumer.Handler {
		return func(ctx context.Context, m consumer.Message) error {
			got.add(worker + m.Body)
			if worker == "A" && once.CompareAndSwap(false, true) {
				ca.Pause() // a suspended process does nothing
				defer ca.Resume()
				a.now.Store(true)
				time.Sleep(90 * time.Second) // the whole process is suspended
				a.now.Store(false)
			}
			return lasts(ctx, 2*time.Second)
		}
	}
	cfgA := p.cfg
	if !fifo {
		cfgA.Rate = 5 // five start, five wait for the rate
	}
	var err error
	if ca, err = consumer.New(a, work("A"), cfgA); err != nil {
		t.Fatal(err)
	}
	cb, err := consumer.New(p.client, work("B"), p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- ca.Run(ctx) }()
	time.Sleep(5 * time.Second)
	go func() { done <- cb.Run(ctx) }()
	time.Sleep(10 * time.Minute)
	stop()
	if err := cmpErr(<-done, <-done); err != nil {
		t.Error(err)
	}
	return strings.Fields(got.String())
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// SQS makes a message visible after twelve hours in spite of heartbeats. No message is started that
// could not end before.
func TestTwelveHours(t *testing.T) {
	t.Run("a lane", func(t *testing.T) {
		bubble(t, 5, true, func(t *testing.T, p *pool) {
			p.cfg.Visibility = time.Hour
			p.sendGroup("g", "a", "b", "c", "d")
			p.handler = func(ctx context.Context, _ consumer.Message) error { return lasts(ctx, 5*time.Hour) }
			p.start()
			time.Sleep(24 * time.Hour)
			p.finishClean()
			if got := p.bodies(); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
				t.Errorf("begun %v, want each once and in order", got)
			}
			p.wantDepths(p.queueURL, 0, 0)
		})
	})
	t.Run("a handler", func(t *testing.T) {
		draws := testutil.N(t, 1)
		for i := range draws {
			bubble(t, 5, false, func(t *testing.T, p *pool) {
				p.cfg.CancelOnLostReceipt = true
				p.sources.Random = func() float64 { return float64(i) / float64(draws) }
				p.send("long")
				var again, cancelled time.Time
				p.handler = func(ctx context.Context, m consumer.Message) error {
					if m.ReceiveCount > 1 {
						again = time.Now()
						return nil
					}
					<-ctx.Done()
					cancelled = time.Now()
					return ctx.Err()
				}
				start := time.Now()
				p.start()
				time.Sleep(12*time.Hour + 2*time.Minute)
				p.finishClean()
				if cancelled.IsZero() || again.IsZero() || again.Before(cancelled) || cancelled.Sub(start) > 12*time.Hour {
					t.Errorf("cancelled after %s, delivered again after %s", cancelled.Sub(start), again.Sub(start))
				}
			})
		}
	})
}
