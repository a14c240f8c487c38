package workercmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/ecs"
	"github.com/sqsonce/sqsonce/internal/telemetry"
	"github.com/sqsonce/sqsonce/internal/testutil/transcript"
	"github.com/sqsonce/sqsonce/sqstest"
)

// several is a worker in virtual time with the queues orders, mails and bills, a target for each,
// and a shared store.
type several struct {
	*worker
	t       *testing.T
	sqs     *sqs.Client
	urls    map[string]string
	targets map[string]*pipedTarget
	output  bytes.Buffer // guarded by the logger

	mu      sync.Mutex
	handled map[string]int   // guarded by mu; requests that the targets have answered
	refused map[string]error // guarded by mu; errors of starts, by queue
	starts  map[string]int   // guarded by mu; number of starts

	ended chan error // the result of runQueues
	halt  context.CancelFunc
}

// newSeveral returns a worker for a file of queues; answer is called for each request.
func newSeveral(t *testing.T, file string, answer func(queue string, r *http.Request)) *several {
	t.Helper()
	s := &several{
		t: t, urls: make(map[string]string), targets: make(map[string]*pipedTarget),
		handled: make(map[string]int), refused: make(map[string]error), starts: make(map[string]int), ended: make(chan error, 1),
	}
	server, store := sqstest.New(sqstest.Config{}), memstore.New()
	s.sqs = sqs.NewFromConfig(server.AWSConfig())
	c := fileSettings(t, file, "--table", "shared")
	s.worker = &worker{
		cfg: c, log: slog.New(slog.NewTextHandler(&s.output, nil)), out: io.Discard, admin: newPipedTarget(nil),
		lines: awsenv.NewLogPipe(io.Discard), protector: ecs.New(ecs.Config{}),
		dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			queue, _, _ := strings.Cut(addr, ".")
			return s.targets[queue].dial(ctx, network, addr)
		},
	}
	var err error
	if s.telemetry, err = telemetry.New(t.Context(), telemetry.Config{Logger: s.log}); err != nil {
		t.Fatal(err)
	}
	for _, settings := range c.queues() {
		name := settings.queueName()
		if s.urls[name], _, err = awsenv.CreateQueue(t.Context(), s.sqs, name); err != nil {
			t.Fatal(err)
		}
		s.targets[name] = newPipedTarget(func(_ http.ResponseWriter, r *http.Request) {
			answer(name, r)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.handled[name]++
		})
		q, err := s.newQueue(settings)
		if err != nil {
			t.Fatal(err)
		}
		q.back = backend{queue: s.sqs, queueURL: s.urls[name], dlqURL: s.urls[name] + "-dlq", store: store}
		s.queues = append(s.queues, q)
	}
	return s
}

// begin replaces a start on AWS.
func (s *several) begin(ctx context.Context, q *queueWorker) error {
	q.stopping = ctx.Done()
	name := q.settings.queueName()
	s.mu.Lock()
	s.starts[name]++
	err := s.refused[name]
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return q.newPool()
}

func (s *several) refuse(queue string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[queue] = err
}

// troubledStore is a store whose calls fail after a time.
type troubledStore struct {
	dedupe.Store
	after time.Duration
}

func (s troubledStore) Swap(context.Context, protocol.Version, protocol.Record) error {
	time.Sleep(s.after)
	return errors.New("access denied")
}

func (s troubledStore) Get(context.Context, string) (protocol.Record, error) {
	time.Sleep(s.after)
	return protocol.Record{}, errors.New("access denied")
}

// troubleStore lets the calls to the store of one queue fail after a time.
func (s *several) troubleStore(queue string, after time.Duration) {
	for _, q := range s.queues {
		if q.settings.queueName() == queue {
			q.back.store = troubledStore{q.back.store, after}
		}
	}
}

// run runs the worker until stop.
func (s *several) run() {
	ctx, halt := context.WithCancel(s.t.Context())
	s.halt = halt
	l := life{working: ctx, outer: ctx, stop: halt}
	if err := s.open(l); err != nil {
		s.t.Fatal(err)
	}
	var lending sync.WaitGroup
	lending.Go(func() { s.lendSlots(ctx) })
	go func() {
		err := s.runQueues(l, s.begin)
		lending.Wait()
		s.ended <- err
	}()
}

// stop ends the worker and returns its error.
func (s *several) stop() error {
	s.halt()
	err := <-s.ended
	for _, target := range s.targets {
		target.close()
	}
	s.admin.(*pipedTarget).close()
	time.Sleep(time.Minute) // until the targets return
	if s.t.Failed() {
		s.t.Logf("%.20000s", s.output.String())
	}
	return err
}

// fill sends messages to a queue.
func (s *several) fill(queue string, n int) {
	for i := range n {
		send(s.t, s.sqs, s.urls[queue], body(fmt.Sprintf("%s-%d", queue, i)))
	}
}

// count returns the number of messages that a queue's target has handled.
func (s *several) count(queue string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handled[queue]
}

// ask sends a request to the admin server.
func (s *several) ask(path string, into any) int {
	s.t.Helper()
	w := &answerRecorder{header: make(http.Header), status: http.StatusOK}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.RemoteAddr = "127.0.0.1:1"
	s.front.ServeHTTP(w, r)
	if err := json.Unmarshal(w.body.Bytes(), into); into != nil && err != nil {
		s.t.Fatalf("%s: %v in %.200s", path, err, w.body.String())
	}
	return w.status
}

// answerRecorder records an answer.
type answerRecorder struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (a *answerRecorder) Header() http.Header         { return a.header }
func (a *answerRecorder) WriteHeader(status int)      { a.status = status }
func (a *answerRecorder) Write(p []byte) (int, error) { return a.body.Write(p) }

const threeQueues = `slots: 12
queues:
- {queue-url: http://h/0/orders, target-url: http://orders.invalid/, weight: 2}
- {queue-url: http://h/0/mails, target-url: http://mails.invalid/, target-timeout: 10m}
- {queue-url: http://h/0/bills, target-url: http://bills.invalid/}
`

// Each message of orders takes a second, and the queue has 6 of 12 slots: 60 messages take at least
// 10 seconds. Every fault lasts longer than a minute.
func TestQueueInTrouble(t *testing.T) {
	hang := func(queue string, r *http.Request) {
		if queue == "mails" {
			<-r.Context().Done()
			return
		}
		time.Sleep(time.Second)
	}
	for name, tc := range map[string]struct {
		answer  func(string, *http.Request)
		prepare func(*several)
	}{
		"none":           {func(string, *http.Request) { time.Sleep(time.Second) }, func(*several) {}},
		"target hangs":   {hang, func(s *several) { s.fill("mails", 100) }},
		"target refuses": {hang, func(s *several) { s.fill("mails", 100); s.targets["mails"].refuse(true) }},
		"table denies writes": {hang, func(s *several) {
			s.fill("mails", 100)
			s.troubleStore("mails", 0)
		}},
		"table hangs": {hang, func(s *several) {
			s.fill("mails", 100)
			s.troubleStore("mails", 10*time.Second)
		}},
		"queue missing": {hang, func(s *several) { s.refuse("mails", errors.New("queue does not exist")) }},
		"policy denies, twice": {hang, func(s *several) {
			s.refuse("mails", errors.New("access denied"))
			s.refuse("bills", errors.New("access denied"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSeveral(t, threeQueues, tc.answer)
				tc.prepare(s)
				s.run()
				time.Sleep(10 * time.Second) // until the hanging queue has borrowed all slots that it can
				s.fill("orders", 60)
				time.Sleep(time.Minute)
				if n := s.count("orders"); n != 60 {
					t.Errorf("%d of 60 messages of the other queue are handled", n)
				}
				if err := s.stop(); err != nil && !errors.Is(err, consumer.ErrAbandoned) {
					t.Error(err)
				}
			})
		})
	}
}

func TestLendSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Longer than the interval of lendSlots, and never in step with it.
		s := newSeveral(t, threeQueues, func(string, *http.Request) { time.Sleep(3300 * time.Millisecond) })
		slots := func(queue int) int { return s.queues[queue].stats().Slots }
		s.run()
		time.Sleep(2 * time.Second)
		if slots(0) != 6 || slots(1) != 3 || slots(2) != 3 {
			t.Errorf("idle queues have %d, %d and %d slots", slots(0), slots(1), slots(2))
		}
		s.fill("mails", 200)
		time.Sleep(10500 * time.Millisecond)
		if slots(1) != 12 || s.queues[1].stats().Running != 12 {
			t.Errorf("the only busy queue has %d slots and uses %d", slots(1), s.queues[1].stats().Running)
		}
		s.fill("orders", 200)
		time.Sleep(10500 * time.Millisecond)
		if slots(0) != 8 || slots(1) != 4 {
			t.Errorf("two busy queues have %d and %d slots, and a third lends 3", slots(0), slots(1))
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRunQueues(t *testing.T) {
	t.Run("queue that cannot start is shown and tried again", testQueueStartsLater)
	t.Run("no queue can start", testNoQueueStarts)
	t.Run("pool that ends early is made anew", testPoolEndsEarly)
	t.Run("stop drains all at once", testStopDrainsAllQueues)
	t.Run("scope", testScopesOfQueues)
}

// Each queue has a message that takes 20 of the 25 seconds of --drain-timeout. One after the other
// they would take 60.
func testStopDrainsAllQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeveral(t, threeQueues, func(string, *http.Request) { time.Sleep(20 * time.Second) })
		s.run()
		for _, queue := range []string{"orders", "mails", "bills"} {
			s.fill(queue, 1)
		}
		time.Sleep(time.Second)
		stopped := time.Now()
		s.halt()
		err := <-s.ended
		s.ended <- err
		if took := time.Since(stopped); err != nil || took < 19*time.Second || took > 25*time.Second {
			t.Errorf("the stop took %s: %v", took, err)
		}
		if orders, mails, bills := s.count("orders"), s.count("mails"), s.count("bills"); orders+mails+bills != 3 {
			t.Errorf("%d, %d and %d messages are handled", orders, mails, bills)
		}
		_ = s.stop()
	})
}

// A name is known by the scope: that of the queue, or one that queues share.
func testScopesOfQueues(t *testing.T) {
	const file = `queues:
- {queue-url: http://h/0/orders, target-url: http://orders.invalid/, scope: both}
- {queue-url: http://h/0/mails, target-url: http://mails.invalid/, scope: both}
- {queue-url: http://h/0/bills, target-url: http://bills.invalid/}
`
	synctest.Test(t, func(t *testing.T) {
		s := newSeveral(t, file, func(string, *http.Request) {})
		s.run()
		for _, queue := range []string{"orders", "mails", "bills"} {
			send(t, s.sqs, s.urls[queue], body("a"))
			time.Sleep(10 * time.Second)
		}
		if orders, mails, bills := s.count("orders"), s.count("mails"), s.count("bills"); orders != 1 || mails != 0 || bills != 1 {
			t.Errorf("name a was handled %d, %d and %d times", orders, mails, bills)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

func testQueueStartsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeveral(t, threeQueues, func(string, *http.Request) {})
		s.refuse("mails", errors.New("queue does not exist"))
		s.run()
		s.fill("mails", 3)
		time.Sleep(time.Second)
		var health struct {
			Queues map[string]struct{ Status, Reason string }
		}
		if status := s.ask("/readyz", &health); status != http.StatusOK || health.Queues["mails"].Reason != "queue does not exist" || health.Queues["orders"].Status != "ok" {
			t.Errorf("/readyz answers %d, %+v", status, health)
		}
		if status := s.ask("/healthz", &health); status != http.StatusOK {
			t.Errorf("/healthz answers %d, %+v", status, health)
		}
		var console struct {
			Queues []struct{ Name, State, Why string }
		}
		s.ask("/api/queues", &console)
		if len(console.Queues) != 3 || !strings.Contains(fmt.Sprint(console), "{mails starting queue does not exist}") {
			t.Errorf("the console shows %+v", console)
		}
		if stats := s.queues[1].stats(); len(stats.Down) != 1 || stats.State != consumer.Starting {
			t.Errorf("metrics are made of %+v", stats)
		}
		s.refuse("mails", nil)
		time.Sleep(time.Minute)
		if n := s.count("mails"); n != 3 {
			t.Errorf("%d of 3 messages are handled once the queue is there", n)
		}
		if status := s.ask("/api/queues/mails/status", nil); status != http.StatusOK {
			t.Errorf("the console answers %d for the queue", status)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		for _, q := range s.queues {
			if is := q.stats().State; is != consumer.Stopped {
				t.Errorf("%s is %s after the stop", q.settings.queueName(), is)
			}
		}
	})
}

func testNoQueueStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeveral(t, threeQueues, func(string, *http.Request) {})
		for _, q := range []string{"orders", "mails", "bills"} {
			s.refuse(q, errors.New("cannot start"))
		}
		s.run()
		err := <-s.ended
		s.ended <- err
		if want := "queue bills: cannot start\nqueue mails: cannot start\nqueue orders: cannot start"; err == nil || err.Error() != want {
			t.Errorf("error is %v, want %s", err, want)
		}
		_ = s.stop()
	})
}

// The queue is deleted between the check at the start and the pool's first call.
func testPoolEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeveral(t, threeQueues, func(string, *http.Request) {})
		if _, err := s.sqs.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: new(s.urls["mails"])}); err != nil {
			t.Fatal(err)
		}
		s.run()
		time.Sleep(time.Second)
		if stats := s.queues[1].stats(); stats.State != consumer.Starting || len(stats.Down) != 1 {
			t.Errorf("the queue is gone: %+v", stats)
		}
		if err := s.queues[1].notStarted(); !strings.Contains(err.Error(), "worker pool") {
			t.Errorf("reason is %v", err)
		}
		time.Sleep(2 * time.Minute) // SQS allows the name again a minute after the deletion
		if _, _, err := awsenv.CreateQueue(t.Context(), s.sqs, "mails"); err != nil {
			t.Fatal(err)
		}
		s.fill("mails", 2)
		time.Sleep(2 * time.Minute)
		if n := s.count("mails"); n != 2 {
			t.Errorf("%d of 2 messages are handled", n)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// example returns the file of the documentation with other URLs.
func example(t *testing.T, queues, target string) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/several-queues.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(data)
	if block == nil {
		t.Fatal("no file in the documentation")
	}
	text := strings.ReplaceAll(string(block[1]), "https://sqs.eu-west-1.amazonaws.com/123456789012", queues)
	return regexp.MustCompile(`http://127\.0\.0\.1:[56]000`).ReplaceAllString(text, target)
}

// The file of the documentation works on the emulators.
func TestSeveralQueues(t *testing.T) {
	o := newOutside(t)
	targets := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer targets.Close()
	queues := strings.TrimSuffix(o.queueURL, "/jobs")
	file := strings.ReplaceAll(example(t, queues, targets.URL), "table: bills", "table: bills-"+o.table)
	p := start(t, "--config", writeFile(t, file), "--table", o.table, "--create", "--handler", "target")
	url := p.adminURL(t)
	wait(t, "all queues work", func() bool {
		_, _, text := answerOf(t, url+"/readyz")
		return strings.Count(text, `"status":"ok"`) == 4
	})
	send(t, o.sqs, queues+"/orders", `{"order":{"id":"a"}}`)
	send(t, o.sqs, queues+"/mails", `{"mail_id":"a"}`) // another name: the scope is the queue
	handled := func(queue string) float64 {
		return sum(scrape(t, url), "sqsonce_attempts_total", "messaging_destination_name", queue)
	}
	wait(t, "both messages are handled", func() bool { return handled("orders") == 1 && handled("mails") == 1 })
	m := scrape(t, url)
	for queue, want := range map[string]float64{"orders": 30, "mails": 10, "bills.fifo": 4} {
		if got := sum(m, "sqsonce_slots", "messaging_destination_name", queue); got != want {
			t.Errorf("%s has %v slots, want %v", queue, got, want)
		}
	}
	var out, errs transcript.Buffer
	addr := strings.TrimPrefix(url, "http://")
	if code := run(t.Context(), []string{"check", "--admin-addr", addr}, &out, &errs, nil); code != 0 || out.String() != "bills.fifo: ok\nmails: ok\norders: ok\n" {
		t.Errorf("check: exit code %d, %q, %q", code, out.String(), errs.String())
	}
	for path, want := range map[string]string{
		"/config": `"mails":{`, "/api/session": `"name":"mails"`, "/api/queues": `"name":"orders","state":"running"`,
		"/api/queues/bills.fifo/status": `"state":"running"`, "/api/queues/orders/names?name=a": "COMPLETED", "/api/queues/mails/names?name=a": "COMPLETED",
	} {
		if status, _, text := answerOf(t, url+path); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s answers %d %.300s", path, status, text)
		}
	}
	for queue, want := range map[string]int{"mails": http.StatusNotFound, "bills.fifo": http.StatusAccepted} {
		resp := request(t, http.MethodPost, url+"/concurrency?queue="+queue, "5", nil)
		if _ = resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("/concurrency of %s answers %d, want %d", queue, resp.StatusCode, want)
		}
	}
	p.signals <- syscall.SIGTERM
	p.signals <- syscall.SIGTERM // a second signal aborts the long polls
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(p.stderr.String(), `"queue":"mails"`) {
		t.Error("no log line names the queue")
	}
}
