package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

// listener is a client of a stream. It records the events and can close the connection.
type listener struct {
	*httptest.ResponseRecorder
	mu     sync.Mutex
	events []string // guarded by mu: names
	data   map[string]string
	writes atomic.Int64
}

func (l *listener) Write(p []byte) (int, error) {
	l.writes.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.data == nil {
		l.data = make(map[string]string)
	}
	for _, block := range strings.Split(string(p), "\n\n") {
		if name, ok := strings.CutPrefix(block, "event: "); ok {
			name, data, _ := strings.Cut(name, "\ndata: ")
			l.events = append(l.events, name)
			l.data[name] = data
		}
	}
	return len(p), nil
}

func (l *listener) Flush() {}

func (l *listener) take() (events []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, l.events = l.events, nil
	return events
}

// listen opens a stream; the returned func closes it.
func listen(h http.Handler) (l *listener, end func()) {
	l = &listener{ResponseRecorder: httptest.NewRecorder()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.ServeHTTP(l, request(http.MethodGet, "/api/queues/sqsonce/stream", nil).WithContext(ctx))
	}()
	return l, func() { cancel(); <-ended }
}

func TestStream(t *testing.T) {
	t.Run("stream sends changes alone", testStreamSendsChangesAlone)
	t.Run("frames are computed once for all viewers and never without one", testFramesAreComputedOnceForAllViewersAndNeverWithoutOne)
	t.Run("status is the pages frame and fresh without pages", testTheStatusIsThePagesFrameAndFreshWithoutPages)
	t.Run("stream ends when the worker closes", testAStreamEndsWhenTheWorkerCloses)
	t.Run("too many pages are refused", testTooManyPagesAreRefused)
	t.Run("stream outlives the servers deadlines", testAStreamOutlivesTheServersDeadlines)
	t.Run("hundred open pages take bounded memory", testAHundredOpenPagesTakeBoundedMemory)
}

func testStreamSendsChangesAlone(t *testing.T) {
	inVirtualTime(t, consoletest.Options{}, func(t *testing.T, w *consoletest.Worker, _ *client) {
		time.Sleep(time.Second)
		l, end := listen(w.Handler)
		defer end()
		time.Sleep(100 * time.Millisecond)
		if got := fmt.Sprint(l.take()); got != "[history status points flights outcomes failures]" {
			t.Fatalf("first come %s", got)
		}
		time.Sleep(3 * time.Second)
		for _, name := range l.take() {
			if name == "flights" || name == "outcomes" || name == "failures" || name == "history" {
				t.Errorf("%s has not changed, but comes again", name)
			}
		}
		w.Send(t, w.QueueURL, "order-17", nil)
		time.Sleep(3 * time.Second)
		if got := strings.Join(l.take(), " "); !strings.Contains(got, "outcomes") {
			t.Errorf("after a message come %s", got)
		}
		var outcomes []console.Outcome
		if err := json.Unmarshal([]byte(l.data["outcomes"]), &outcomes); err != nil || len(outcomes) != 1 || outcomes[0].Name != "order-17" {
			t.Errorf("outcomes are %s: %v", l.data["outcomes"], err)
		}
		var status console.Status
		if err := json.Unmarshal([]byte(l.data["status"]), &status); err != nil || status.State != "running" || status.Depths.Visible == nil {
			t.Errorf("the status is %s: %v", l.data["status"], err)
		}
	})
}

// watchedPool counts calls of Snapshot.
type watchedPool struct {
	console.Pool
	looks atomic.Int64
}

func (p *watchedPool) Snapshot(limit int) console.Snapshot {
	p.looks.Add(1)
	return p.Pool.Snapshot(limit)
}

// watchedQueue counts requests for its depth.
type watchedQueue struct {
	console.Queue
	asked atomic.Int64
}

func (q *watchedQueue) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, o ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	q.asked.Add(1)
	return q.Queue.GetQueueAttributes(ctx, in, o...)
}

func testFramesAreComputedOnceForAllViewersAndNeverWithoutOne(t *testing.T) {
	pool, queue := &watchedPool{}, &watchedQueue{}
	inVirtualTime(t, consoletest.Options{Edit: func(c *consoletest.Showing) {
		pool.Pool, c.Pool, queue.Queue, c.Queue = c.Pool, pool, c.Queue, queue
	}}, func(t *testing.T, w *consoletest.Worker, _ *client) {
		w.Send(t, w.QueueURL, "order-17", nil)
		time.Sleep(10 * time.Minute)
		if pool.looks.Load() != 0 || queue.asked.Load() != 0 {
			t.Fatalf("without a page there were %d snapshots of the pool and %d requests to the queue", pool.looks.Load(), queue.asked.Load())
		}
		var ends []func()
		for range 100 {
			_, end := listen(w.Handler)
			ends = append(ends, end)
			time.Sleep(7 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		for _, end := range ends {
			end()
		}
		// About one snapshot per second, and two requests every five seconds, for 61 seconds.
		if n := pool.looks.Load(); n < 50 || n > 70 {
			t.Errorf("for 100 pages the pool was looked at %d times in a minute", n)
		}
		if n := queue.asked.Load(); n < 20 || n > 28 {
			t.Errorf("for 100 pages the queue was asked %d times in a minute", n)
		}
		before := pool.looks.Load()
		time.Sleep(5 * time.Minute)
		if pool.looks.Load() != before {
			t.Error("the pool is looked at after the last page has gone")
		}
	})
}

func testTheStatusIsThePagesFrameAndFreshWithoutPages(t *testing.T) {
	pool := &watchedPool{}
	inVirtualTime(t, consoletest.Options{Edit: func(c *consoletest.Showing) { pool.Pool, c.Pool = c.Pool, pool }},
		func(t *testing.T, w *consoletest.Worker, c *client) {
			state := func() string {
				return get[struct{ Status console.Status }](c, "/api/queues/sqsonce/status").Status.State
			}
			time.Sleep(time.Second)
			if got := state(); got != "running" {
				t.Errorf("the worker is %s", got)
			}
			time.Sleep(100 * time.Millisecond)
			w.Pool.Pause()
			if got := state(); got != "paused" {
				t.Errorf("with no page open a status is old: %s", got)
			}

			page, end := listen(w.Handler)
			defer end()
			time.Sleep(10 * time.Second)
			before := pool.looks.Load()
			for range 1000 {
				state()
				time.Sleep(10 * time.Millisecond)
			}
			if n := pool.looks.Load() - before; n > 12 {
				t.Errorf("for 1,000 callers and a page the pool was looked at %d times in ten seconds", n)
			}
			if got := get[map[string]any](c, "/api/queues/sqsonce/status"); len(got) != 6 || got["history"] == nil || page.writes.Load() == 0 {
				t.Errorf("the status has %d parts", len(got))
			}
		})
}

func testAStreamEndsWhenTheWorkerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		w := consoletest.New(t, consoletest.Options{Edit: func(c *consoletest.Showing) { c.Closing = closing }})
		l := &listener{ResponseRecorder: httptest.NewRecorder()}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Handler.ServeHTTP(l, request(http.MethodGet, "/api/queues/sqsonce/stream", nil))
		}()
		time.Sleep(5 * time.Second)
		close(closing)
		<-ended
	})
}

func testTooManyPagesAreRefused(t *testing.T) {
	inVirtualTime(t, consoletest.Options{}, func(t *testing.T, w *consoletest.Worker, c *client) {
		var ends []func()
		refused := func(visitor *client, number int) {
			t.Helper()
			if rec := visitor.ask(http.MethodGet, "/api/queues/sqsonce/stream", nil); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
				t.Errorf("page %d gets %d", number, rec.Code)
			}
		}
		for range 180 {
			_, end := listen(w.Handler)
			ends = append(ends, end)
		}
		synctest.Wait()
		visitor := *c
		visitor.from = "192.0.2.7:4711"
		refused(&visitor, 181) // the others are reserved for visitors who may act
		for range 20 {
			_, end := listen(w.Handler)
			ends = append(ends, end)
		}
		synctest.Wait()
		refused(c, 201)
		for _, end := range ends {
			end()
		}
		_, end := listen(w.Handler)
		time.Sleep(time.Second)
		end()
	})
}

func testAStreamOutlivesTheServersDeadlines(t *testing.T) {
	w := consoletest.New(t, consoletest.Options{})
	server := httptest.NewUnstartedServer(w.Handler)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	server.Start()
	defer server.Close()
	defer server.CloseClientConnections()
	resp, err := http.Get(server.URL + "/api/queues/sqsonce/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	start := time.Now()
	for lines := bufio.NewScanner(resp.Body); ; {
		if !lines.Scan() {
			t.Fatalf("the stream ends after %s: %v", time.Since(start), lines.Err())
		}
		if lines.Text() == "event: status" && time.Since(start) > 600*time.Millisecond {
			return
		}
	}
}

// browse opens n pages over the network, waits until each has two frames, and returns the number of
// frames of each page so far and later.
func browse(t testing.TB, url string, n int) (frames []*atomic.Int64, end func()) {
	transport := &http.Transport{}
	ctx, cancel := context.WithCancel(context.Background())
	var pages, loaded sync.WaitGroup
	loaded.Add(n)
	for range n {
		count := new(atomic.Int64)
		frames = append(frames, count)
		pages.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/queues/sqsonce/stream", nil)
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Error(err)
				loaded.Done()
				return
			}
			defer resp.Body.Close()
			for reader := bufio.NewReaderSize(resp.Body, 4096); ; {
				line, err := reader.ReadString('\n')
				if err != nil {
					return
				}
				if line == "event: status\n" && count.Add(1) == 2 {
					loaded.Done()
				}
			}
		})
	}
	loaded.Wait()
	return frames, func() { cancel(); pages.Wait(); transport.CloseIdleConnections() }
}

// An open page may use this much memory of the worker: two goroutines, a connection with its
// buffers, and the data sent last.
const pageBytes = 128 << 10

func testAHundredOpenPagesTakeBoundedMemory(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{})
	for i := range 300 {
		w.Send(t, w.QueueURL, fmt.Sprintf("order-%d", i/2), nil)
	}
	inUse := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	_, end := browse(t, w.Server.URL, 2)
	end()
	before := inUse()
	_, end = browse(t, w.Server.URL, 100)
	during := inUse()
	end()
	t.Logf("100 pages take %d KiB, client's side included", (during-before)>>10)
	if during-before > 100*pageBytes {
		t.Errorf("100 pages take %d KiB, more than %d each", (during-before)>>10, pageBytes>>10)
	}
}

// BenchmarkHooks measures the cost of the hooks per message without an open page.
func BenchmarkHooks(b *testing.B) {
	h := console.NewHistory(30 * time.Second)
	c, d := h.ConsumerHooks(nil, consumer.Hooks{}), h.DedupeHooks(dedupe.Hooks{})
	m := consumer.Message{ID: "00000000-0000-0000-0000-000000000000", ReceiveCount: 1, SentAt: time.Now()}
	a := dedupe.Attempt{Name: "order-17", MessageID: m.ID, Number: 1, Fence: 7}
	done := consumer.Disposition{Action: consumer.Delete}
	b.ReportAllocs()
	for b.Loop() {
		c.Received(1, 0)
		d.Claimed(a)
		d.Settled(a, "completed", time.Millisecond, nil)
		c.Handled(m, done, time.Millisecond)
		c.Ended(m, done)
	}
}

// BenchmarkFrame measures the cost of one frame, which is made once a second for any number of open
// pages. 10 ms would be 1 % of a core.
func BenchmarkFrame(b *testing.B) {
	w := consoletest.New(b, consoletest.Options{Edit: func(c *consoletest.Showing) { c.Queue, c.DLQURL, c.Local, c.Pool = nil, "", false, fullPool{} }})
	c, d := w.History.ConsumerHooks(nil, consumer.Hooks{}), w.History.DedupeHooks(dedupe.Hooks{})
	for i := range 500 {
		name := fmt.Sprintf("order-%d", i)
		m := consumer.Message{ID: fmt.Sprintf("m-%d", i), ReceiveCount: 1, SentAt: time.Now()}
		d.Claimed(dedupe.Attempt{Name: name, MessageID: m.ID, Number: 1, Fence: 7})
		c.Handled(m, consumer.Disposition{Action: consumer.Release, Failure: true, Err: fmt.Errorf("charge %q: %s declined", name, strings.Repeat("x", i%90))}, time.Millisecond)
	}
	b.ReportAllocs()
	var bytes int
	for b.Loop() {
		rec := httptest.NewRecorder()
		w.Handler.ServeHTTP(rec, request(http.MethodGet, "/api/queues/sqsonce/status", nil))
		bytes = rec.Body.Len()
	}
	b.ReportMetric(float64(bytes), "bytes/frame")
	b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N), "%CPU")
}

// fullPool is a pool whose slots are all taken.
type fullPool struct{}

func (fullPool) Pause()  {}
func (fullPool) Resume() {}

func (fullPool) Snapshot(limit int) console.Snapshot {
	s := console.Snapshot{State: "running", Slots: 400, Running: 400, Flights: make([]console.Flight, limit)}
	for i := range s.Flights {
		s.Flights[i] = console.Flight{ID: fmt.Sprintf("m-%d", i), Name: fmt.Sprintf("order-%d", i), Phase: "running", ReceiveCount: 1, Received: time.Now(), VisibleAt: time.Now()}
	}
	return s
}

// subject is a worker in memory whose throughput is measured with a number of open pages.
type subject struct {
	name  string
	pages int
	off   bool // without a console

	rates []float64 // messages per second, by round
}

// scope is a testing.TB whose cleanups run before the test ends.
type scope struct {
	testing.TB
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// turn runs a new worker on a backlog with its pages open, and returns the messages per second. The
// worker is new, because the records of earlier ones would fill the memory. The time for sending
// the backlog and opening the pages does not count. Each page must get its frames, and at least
// leastFrames of them.
func (s *subject) turn(b *testing.B, backlog, leastFrames int) float64 {
	scope := &scope{TB: b}
	defer scope.end()
	done := make(chan struct{}, 1<<16)
	w := consoletest.Start(scope, consoletest.Options{Unwatched: s.off, Handle: func(context.Context, consumer.Message) (dedupe.Payload, error) {
		done <- struct{}{}
		return dedupe.Payload{}, nil
	}})
	w.Pool.Pause()
	for i := range backlog {
		w.Send(b, w.QueueURL, fmt.Sprintf("order-%d", i), nil)
	}
	frames, end := browse(b, w.Server.URL, s.pages)
	defer end()
	before := make([]int64, s.pages)
	runtime.GC() // so that every turn starts with the same heap
	for i, count := range frames {
		before[i] = count.Load()
	}
	start := time.Now()
	w.Pool.Resume()
	for range backlog {
		<-done
	}
	took := time.Since(start)
	// One frame per second. A page that falls behind only gets the latest frame.
	for i, count := range frames {
		if got, least := count.Load()-before[i], max(int64(leastFrames), int64(took.Seconds()/2)); got < least {
			b.Fatalf("%s: page %d had %d frames in %s, so this says nothing about pages", s.name, i, got, took)
		}
	}
	return float64(backlog) / took.Seconds()
}

// BenchmarkThroughput measures the throughput of a whole worker in memory: without the console,
// with it and no page, and with 1 and 100 open pages, whose clients run in the same process. In
// each round the four take turns in a different order, so that other load on the machine affects
// all of them. It reports the median rates, and the medians of the ratios to the worker without a
// console in the same round.
//
// A turn handles as many messages as the worker without a console handles in six seconds, so that
// it includes several frames. With -benchtime 1x, which only checks that the benchmark runs, it is
// shorter than a second.
func BenchmarkThroughput(b *testing.B) {
	turnTime, leastFrames := 6*time.Second, 2
	if flag.Lookup("test.benchtime").Value.String() == "1x" {
		turnTime, leastFrames = 500*time.Millisecond, 0
	}
	subjects := []*subject{{name: "without", off: true}, {name: "unseen"}, {name: "1-page", pages: 1}, {name: "100-pages", pages: 100}}
	const trial = 2000
	backlog := max(trial, int(subjects[0].turn(b, trial, 0)*turnTime.Seconds()))
	for round := 0; b.Loop(); round++ {
		for i := range subjects {
			s := subjects[(round+i)%len(subjects)]
			s.rates = append(s.rates, s.turn(b, backlog, leastFrames))
		}
	}
	for _, s := range subjects {
		ratios := make([]float64, len(s.rates))
		for i, rate := range s.rates {
			ratios[i] = rate / subjects[0].rates[i]
		}
		b.ReportMetric(median(s.rates), s.name+"-msg/s")
		b.ReportMetric(median(ratios), s.name+"-ratio")
	}
	b.ReportMetric(float64(backlog), "msg/turn")
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
