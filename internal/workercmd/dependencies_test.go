package workercmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/testutil"
)

// outageCase is an outage of the target or of the store.
type outageCase struct {
	set    func(b *inBubble, down bool)
	status int      // the target's answer while it is down
	args   []string // more flags
	failed int      // attempts that may count: four, because the fifth failure makes the target suspect

	then     http.HandlerFunc // answers instead after the target has failed for a while
	messages int              // in the queue; 0 means 200
}

// In an outage of a minute with a backlog, and a maxReceiveCount of 3, no message is dead-lettered
// and no attempts are used up.
func TestOutageBurnsNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]outageCase{
		"target refuses":              {set: func(b *inBubble, down bool) { b.target.refuse(down) }, messages: 1000},
		"target answers 404":          {status: 404, failed: 4, messages: 1000},
		"target answers 401":          {status: 401, failed: 4},
		"target redirects":            {status: 302, failed: 4},
		"resets after it is suspect":  {status: 404, failed: 4, then: func(w http.ResponseWriter, _ *http.Request) { hangUp(w) }},
		"hangs after it is suspect":   {status: 404, failed: 4, then: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"target answers 500":          {status: 500, failed: 4},
		"store is down":               {set: func(b *inBubble, down bool) { b.store.set(down) }, messages: 1000},
		"target and its health":       {status: 503, failed: 4, args: []string{"--target-health", "/up"}},
		"target refuses batches":      {set: func(b *inBubble, down bool) { b.target.refuse(down) }, messages: 1000, args: []string{"--target-batch", "10"}},
		"target answers 500, batches": {status: 500, failed: 4, args: []string{"--target-batch", "10"}},
		"target answers 404, batches": {status: 404, failed: 4, args: []string{"--target-batch", "10"}},
		"target refuses, with gate":   {set: func(b *inBubble, down bool) { b.target.refuse(down) }, args: []string{"--target-health", "/up"}},
	} {
		t.Run(name, tc.check)
	}
}

func (tc outageCase) check(t *testing.T) {
	const outage = time.Minute
	synctest.Test(t, func(t *testing.T) {
		n := testutil.N(t, max(tc.messages, 200))
		target := failingTarget{then: tc.then, latency: newLatencies(t)}
		b := newInBubble(t, 3, target.ServeHTTP, tc.args...)
		for i := range n {
			b.send(body("m" + strconv.Itoa(i)))
		}
		set := func(down bool) {
			if tc.set != nil {
				tc.set(b, down)
				return
			}
			target.set(map[bool]int{true: tc.status, false: 204}[down])
		}
		target.set(204)
		set(true)
		b.begin()
		defer b.end()
		time.Sleep(outage)
		asked, tried := target.asked(), b.attempts(n)
		if tried > tc.failed {
			t.Errorf("%d attempts counted within the outage, want at most %d", tried, tc.failed)
		}
		// One message per slot at the start, then two probes per second.
		if most := b.settings.Concurrency + 2*int(outage/time.Second) + 2 + 2*tc.failed; asked > most {
			t.Errorf("target was asked %d times within the outage, want at most %d", asked, most)
		}
		if err := b.pool.Healthy(time.Now()); err != nil {
			t.Errorf("unhealthy within the outage: %v", err)
		}
		set(false)
		if !b.await(2*time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 }) {
			t.Errorf("%d of %d messages are left two minutes after the outage", b.depth(b.back.queueURL), n)
		}
		if dead := b.dead(); len(dead) > 0 {
			t.Errorf("%d dead letters, the first with %v", len(dead), dead[0].MessageAttributes)
		}
		for i := range n {
			if r := b.record("m" + strconv.Itoa(i)); r.Status != protocol.Completed {
				t.Fatalf("m%d is %s", i, r.Status)
			}
		}
		if again := b.attempts(n) - n; again > tc.failed {
			t.Errorf("%d attempts more than names, want at most %d", again, tc.failed)
		}
	})
}

// attempts returns the number of attempts counted for m0 and the following names. An attempt under
// way does not count. An attempt that has left its name IN_PROGRESS counts if its record does.
func (b *inBubble) attempts(n int) (sum int) {
	running := make(map[string]bool)
	for _, f := range b.pool.Flights(0) {
		running[f.Name] = f.Phase == "running"
	}
	for i := range n {
		name := "m" + strconv.Itoa(i)
		r := b.record(name)
		sum += r.Attempts
		if r.Status == protocol.InProgress && running[name] {
			sum--
		}
	}
	return sum
}

// opened is the time after which a target that fails every request counts as down.
const opened = 10 * time.Second

// failingTarget answers with a settable status, after a short time.
type failingTarget struct {
	then    http.HandlerFunc // answers instead after it has failed for opened; may be nil
	latency *latencies

	mu     sync.Mutex
	status int       // guarded by mu
	since  time.Time // guarded by mu; when the status was set
	posts  int       // guarded by mu
}

func (f *failingTarget) set(status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.since = status, time.Now()
}

func (f *failingTarget) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.posts
}

func (f *failingTarget) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(f.latency.below(20 * time.Millisecond))
	f.mu.Lock()
	status := f.status
	if r.Method == http.MethodPost {
		f.posts++
	}
	over := time.Since(f.since) > opened
	f.mu.Unlock()
	if f.then != nil && status >= 300 && over {
		f.then(w, r)
		return
	}
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(status)
}

// A misconfigured target rejects every message. Only the first four messages lose an attempt, until
// an operator confirms the answers.
func TestTargetThatBlamesEverything(t *testing.T) {
	for name, believe := range map[string]bool{"until it is mended": false, "an operator believes it": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 60
				target := failingTarget{latency: newLatencies(t)}
				target.set(400)
				b := newInBubble(t, 3, target.ServeHTTP)
				for i := range n {
					b.send(body("m" + strconv.Itoa(i)))
				}
				b.begin()
				defer b.end()
				time.Sleep(10 * time.Minute)
				if dead := len(b.dead()); dead != 4 || !slices.Contains(b.pool.Stats().Down, targetDown) {
					t.Errorf("%d dead letters, down %v", dead, b.pool.Stats().Down)
				}
				line := `level=ERROR msg="the target is suspect: several messages in a row have failed alike; messages are held and probed until one succeeds"` +
					` answer="target answered 400 Bad Request" if_it_is_right="POST http://pipes/believe?queue=sqsonce, or --suspect-after 0"`
				if n := strings.Count(b.log.String(), line); n != 1 {
					t.Errorf("logged %d times: %s", n, line)
				}
				more := 0
				if believe {
					b.judge.Believe()
					more = n - 4
				} else {
					target.set(204)
				}
				if !b.await(10*time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 }) {
					t.Errorf("%d messages are left", b.depth(b.back.queueURL))
				}
				if got := len(b.dead()); got != more {
					t.Errorf("%d more dead letters, want %d", got, more)
				}
			})
		})
	}
}

// If the target hangs and its health path fails, the backlog is held. With hold, only the requests
// under way make their names UNKNOWN, because no message is tried while the health path fails.
func TestTargetThatHangs(t *testing.T) {
	const n, slots = 60, 8
	for _, tc := range []struct {
		name             string
		args             []string
		counted, unknown int // upper bounds
	}{
		{"retry", nil, 4, 0},
		{"hold", []string{"--on-unknown", "hold"}, slots, slots},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hanging atomic.Bool
				args := []string{"--target-health", "/up", "--target-timeout", "2s", "--max-attempts", "3", "--concurrency", strconv.Itoa(slots)}
				b := newInBubble(t, 3, func(w http.ResponseWriter, r *http.Request) {
					if hanging.Load() {
						<-r.Context().Done()
						return
					}
					w.WriteHeader(http.StatusNoContent)
				}, append(args, tc.args...)...)
				b.begin()
				defer b.end()
				time.Sleep(5 * time.Second) // until the health path has answered
				hanging.Store(true)
				for i := range n {
					b.send(body("m" + strconv.Itoa(i)))
				}
				time.Sleep(10 * time.Minute)
				if got := b.attempts(n); got > tc.counted {
					t.Errorf("%d attempts are counted", got)
				}
				hanging.Store(false)
				if !b.await(2*time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 }) {
					t.Errorf("%d messages are left", b.depth(b.back.queueURL))
				}
				unknown := 0
				for i := range n {
					if b.record("m"+strconv.Itoa(i)).Status == protocol.Unknown {
						unknown++
					}
				}
				if dead := b.dead(); len(dead) != unknown || unknown > tc.unknown {
					t.Errorf("%d dead letters, %d names are UNKNOWN", len(dead), unknown)
				}
			})
		})
	}
}

// A crash of the target fails the requests under way, and does not block their slots.
func TestCrashOfTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 10
		var crashes atomic.Int32
		b := newInBubble(t, 10, func(w http.ResponseWriter, _ *http.Request) {
			if crashes.Add(1) <= slots {
				time.Sleep(time.Second)
				hangUp(w)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}, "--concurrency", strconv.Itoa(slots), "--target-timeout", "1h")
		b.begin()
		defer b.end()
		for i := range slots + 20 {
			b.send(body("m" + strconv.Itoa(i)))
		}
		done := func() (n int) {
			for i := range slots + 20 {
				if b.record("m"+strconv.Itoa(i)).Status == protocol.Completed {
					n++
				}
			}
			return n
		}
		if !b.await(30*time.Second, func() bool { return done() == 20 }) {
			t.Errorf("%d of 20 messages are done while %d names are held", done(), slots)
		}
	})
}

func TestQueueWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var log bytes.Buffer
		w := &queueWatch{log: slog.New(slog.NewTextHandler(&log, nil)), stats: func() (s consumer.Stats) {
			if down.Load() {
				s.Down = []string{queueDown}
			}
			return s
		}}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.run(ctx) })
		for _, is := range []bool{false, true, false, true} {
			down.Store(is)
			time.Sleep(time.Minute)
		}
		stop()
		running.Wait()
		if got := strings.Count(log.String(), "the queue is down"); got != 2 {
			t.Errorf("logged %d times that it is down", got)
		}
		if got := strings.Count(log.String(), "the queue answers again"); got != 1 {
			t.Errorf("logged %d times that it answers", got)
		}
	})
}

func TestDependencies(t *testing.T) {
	t.Run("nothing is received before the target is healthy", testNothingIsReceivedBeforeTheTargetIsHealthy)
	t.Run("wait for health ends with the stop", testWaitForHealthEndsWithTheStop)
	t.Run("store is down when it keeps failing", testStoreIsDownWhenItKeepsFailing)
	t.Run("health gate looks again when it is told", testHealthGateLooksAgainWhenItIsTold)
}

func testNothingIsReceivedBeforeTheTargetIsHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := failingTarget{latency: newLatencies(t)}
		target.set(503)
		b := newInBubble(t, 3, target.ServeHTTP, "--target-health", "/up")
		b.send(body("a"))
		b.begin()
		defer b.end()
		time.Sleep(time.Hour)
		if visible, _ := counts(t, b.back.queue, b.back.queueURL); visible != "1" || target.asked() != 0 {
			t.Errorf("%s messages are visible, target was asked %d times", visible, target.asked())
		}
		if err := b.pool.Healthy(time.Now()); err != nil {
			t.Errorf("unhealthy while it waits on purpose: %v", err)
		}
		target.set(204)
		if !b.await(10*time.Second, func() bool { return b.depth(b.back.queueURL) == 0 }) {
			t.Error("not handled within 10 s of the target's health")
		}
	})
}

func testWaitForHealthEndsWithTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInBubble(t, 3, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, "--target-health", "/up")
		b.begin()
		time.Sleep(time.Minute)
		start := time.Now()
		b.end()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("the stop took %s", took)
		}
	})
}

// After a denied write the store is not ready until a write succeeds.
func TestStoreWatch_ready(t *testing.T) {
	denied := fmt.Errorf("%w: AccessDeniedException", dedupe.ErrUnavailable)
	for name, tc := range map[string]struct {
		call  func(dedupe.Hooks)
		ready bool
	}{
		"a claim":          {func(h dedupe.Hooks) { h.Claimed(dedupe.Attempt{}) }, true},
		"an outcome":       {func(h dedupe.Hooks) { h.Settled(dedupe.Attempt{}, "completed", 0, nil) }, true},
		"a release":        {func(h dedupe.Hooks) { h.Settled(dedupe.Attempt{}, "released", 0, nil) }, true},
		"a renewal":        {func(h dedupe.Hooks) { h.Renewed(dedupe.Attempt{}, nil) }, true},
		"a failed renewal": {func(h dedupe.Hooks) { h.Renewed(dedupe.Attempt{}, denied) }, false},
		"no outcome":       {func(h dedupe.Hooks) { h.Settled(dedupe.Attempt{}, "unrecorded", 0, denied) }, false},
		"a lost outcome":   {func(h dedupe.Hooks) { h.Settled(dedupe.Attempt{}, "lost", 0, nil) }, false},
		"a read":           {func(h dedupe.Hooks) { h.Replayed(dedupe.Attempt{}, "recorded") }, false},
		"another failure":  {func(h dedupe.Hooks) { h.StoreFailed(dedupe.Attempt{}, "claim", errors.New("no route")) }, false},
		"nothing":          {func(dedupe.Hooks) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := storeWatch{log: slog.New(slog.DiscardHandler), report: func(string, consumer.Condition) {}}
			hooks := w.hooks(dedupe.Hooks{})
			hooks.StoreFailed(dedupe.Attempt{}, "claim", errors.New("no route"))
			if err := w.ready(); err != nil {
				t.Errorf("after a lost answer: %v", err)
			}
			hooks.StoreFailed(dedupe.Attempt{}, "claim", denied)
			if err := w.ready(); !errors.Is(err, dedupe.ErrUnavailable) {
				t.Errorf("after a denied write: %v", err)
			}
			tc.call(hooks)
			if err := w.ready(); (err == nil) != tc.ready {
				t.Errorf("after %s: %v", name, err)
			}
		})
	}
}

func testStoreIsDownWhenItKeepsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []consumer.Condition
		w := storeWatch{log: slog.New(slog.DiscardHandler), report: func(dependency string, is consumer.Condition) {
			if dependency != storeDown {
				t.Errorf("report of %s", dependency)
			}
			told = append(told, is)
		}}
		var seen []string
		hooks := w.hooks(dedupe.Hooks{
			StoreFailed: func(_ dedupe.Attempt, op string, _ error) { seen = append(seen, op) },
			Claimed:     func(dedupe.Attempt) { seen = append(seen, "claimed") },
			Replayed:    func(_ dedupe.Attempt, kind string) { seen = append(seen, kind) },
			Settled:     func(_ dedupe.Attempt, outcome string, _ time.Duration, _ error) { seen = append(seen, outcome) },
		})
		fail := func(after time.Duration) {
			time.Sleep(after)
			hooks.StoreFailed(dedupe.Attempt{}, "claim", errors.New("no"))
		}
		expect := func(when string, want ...consumer.Condition) {
			t.Helper()
			if !slices.Equal(told, want) {
				t.Errorf("%s: reports %v, want %v", when, told, want)
			}
		}
		fail(0)
		fail(storePatience - 1)
		expect("not for long")
		hooks.Claimed(dedupe.Attempt{})
		fail(1)
		fail(storePatience - 1)
		expect("with a success between")
		fail(time.Hour)
		expect("once an hour")
		fail(storePatience)
		fail(1)
		expect("for long", consumer.Down)
		hooks.Replayed(dedupe.Attempt{}, "cached")
		hooks.Settled(dedupe.Attempt{}, "unrecorded", 0, nil)
		expect("with no word from the store", consumer.Down)
		hooks.Settled(dedupe.Attempt{}, "completed", 0, nil)
		hooks.Replayed(dedupe.Attempt{}, "recorded")
		expect("answered", consumer.Down, consumer.Up)
		want := "[claim claim claimed claim claim claim claim claim cached unrecorded completed recorded]"
		if got := fmt.Sprint(seen); got != want {
			t.Errorf("passed on %s, want %s", got, want)
		}
	})
}

func testHealthGateLooksAgainWhenItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []consumer.Condition
		healthy := true
		gate := newHealthGate(func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if healthy {
				return nil
			}
			return errors.New("no")
		}, func() {}, func(_ string, is consumer.Condition) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, is)
		}, slog.New(slog.DiscardHandler))
		last := func() consumer.Condition {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return told[len(told)-1]
		}
		gate.close()
		if last() != consumer.Closed {
			t.Error("open before anybody has looked")
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { gate.run(ctx) })
		if last() != consumer.Up {
			t.Error("closed although the target is healthy")
		}
		mu.Lock()
		healthy = false
		mu.Unlock()
		gate.look()
		gate.look()
		if last() != consumer.Closed {
			t.Error("open although the target is not healthy")
		}
		mu.Lock()
		healthy = true
		mu.Unlock()
		time.Sleep(healthMost)
		if last() != consumer.Up {
			t.Error("closed although the target is healthy again")
		}
		stop()
		running.Wait()
	})
}
