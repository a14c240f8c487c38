package producerapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestServer(t *testing.T) {
	t.Run("client that asks too often is held back", testClientThatAsksTooOftenIsHeldBack)
	t.Run("panic harms one request only", testPanicHarmsOneRequestOnly)
	t.Run("every request has its line in the log", testEveryRequestHasItsLineInTheLog)
	t.Run("probe that is given up spoils no other", testProbeThatIsGivenUpSpoilsNoOther)
	t.Run("probe that breaks is no answer", testProbeThatBreaksIsNoAnswer)
	t.Run("foreign name for this machine is refused without a token", testForeignNameForThisMachineIsRefusedWithoutAToken)
	t.Run("request ID is the clients own where it is fit", testRequestIDIsTheClientsOwnWhereItIsFit)
	t.Run("slow client is told so", testSlowClientIsToldSo)
	t.Run("wait outlives the deadline of the body", testWaitOutlivesTheDeadlineOfTheBody)
	t.Run("stop finishes requests under way", testStopFinishesRequestsUnderWay)
	t.Run("bad settings are listed together", testBadSettingsAreListedTogether)
}

func testClientThatAsksTooOftenIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", func(c *Config) { c.ClientRate = 2 })
		from := func(address string) reply {
			r := request(http.MethodGet, "/messages/a", "")
			r.RemoteAddr = address
			return b.serve(r)
		}
		for range 4 { // the burst is twice the rate
			from("192.0.2.1:1000").want(http.StatusNotFound)
		}
		r := from("192.0.2.1:2000").want(http.StatusTooManyRequests)
		if got := r.Header().Get("Retry-After"); got != "1" {
			t.Errorf("Retry-After is %q", got)
		}
		from("192.0.2.2:1000").want(http.StatusNotFound)
		from("[2001:db8::1]:1").want(http.StatusNotFound)
		b.do(http.MethodGet, "/healthz", "").want(http.StatusOK)
		time.Sleep(time.Second)
		from("192.0.2.1:1000").want(http.StatusNotFound)
		from("192.0.2.1:1000").want(http.StatusNotFound)
		from("192.0.2.1:1000").want(http.StatusTooManyRequests)
	})
}

// Each message of a batch counts as a request.
func TestClientRateOfBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", func(c *Config) { c.ClientRate = 5 })
		began, sent := time.Now(), 0
		for sent < 1000 {
			r := b.do(http.MethodPost, "/messages:batch", "["+strings.Join(bodies(100), ",")+"]")
			if r.Code == http.StatusTooManyRequests {
				wait, err := strconv.Atoi(r.Header().Get("Retry-After"))
				if err != nil || wait < 1 {
					t.Fatalf("Retry-After is %q", r.Header().Get("Retry-After"))
				}
				time.Sleep(time.Duration(wait) * time.Second)
				continue
			}
			r.want(http.StatusAccepted)
			sent += 100
		}
		// The last batch is admitted before its messages count.
		if took := time.Since(began); took < (1000-100-10)/5*time.Second {
			t.Errorf("1000 messages were taken in %s", took)
		}
	})
}

func testPanicHarmsOneRequestOnly(t *testing.T) {
	var log bytes.Buffer
	b := newBench(t, "orders", func(c *Config) {
		c.Records, c.Logger = brokenStore{}, slog.New(slog.NewJSONHandler(&log, nil))
	})
	r := b.do(http.MethodGet, "/messages/a", "").want(http.StatusInternalServerError)
	if strings.Contains(r.Body.String(), "internal error") == strings.Contains(r.Body.String(), "goroutine") {
		t.Errorf("answer is %s", r.Body)
	}
	if !strings.Contains(log.String(), "panic: broken") {
		t.Errorf("log is %s", log.String())
	}
	b.post(body("a")).want(http.StatusAccepted)
	b.post(body("a"), "Prefer", "wait=1").want(http.StatusInternalServerError) // on its own goroutine
}

func testEveryRequestHasItsLineInTheLog(t *testing.T) {
	var log bytes.Buffer
	b := newBench(t, "orders", func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	id := decode[queued](b.post(body("a/b"), "X-Request-Id", "req-1").want(http.StatusAccepted)).MessageID
	b.do(http.MethodGet, "/healthz", "")
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil { // a single line, without the probes
		t.Fatalf("%v in %s", err, log.String())
	}
	for key, want := range map[string]any{
		"msg": "request", "method": "POST", "path": "/", "status": 202.0, "name": "a/b", "message_id": id,
		"outcome": "QUEUED", "request_id": "req-1",
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	if took, ok := line["took"].(float64); !ok || took <= 0 {
		t.Errorf("took is %v", line["took"])
	}
}

// Many requests of one kind are logged at a bounded rate, and do not suppress other kinds.
func TestLogRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := newBench(t, "orders", func(c *Config) {
			c.Logger, c.LogRate, c.AuthTokens = slog.New(slog.NewJSONHandler(&log, nil)), 10, []string{token}
		})
		for range 1000 {
			b.do(http.MethodGet, "/messages/a", "") // without a token
		}
		b.post(body("a"), bearer...).want(http.StatusAccepted)
		time.Sleep(time.Second)
		b.do(http.MethodGet, "/messages/a", "")
		var refused, done int
		var left float64
		for line := range strings.Lines(log.String()) {
			var l struct {
				Status int     `json:"status"`
				Left   float64 `json:"unlogged_before"`
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			switch l.Status {
			case http.StatusUnauthorized:
				refused++
			case http.StatusAccepted:
				done++
			}
			left += l.Left
		}
		if refused != 11 || done != 1 || left != 990 {
			t.Errorf("%d refused and %d done requests are logged, and %g counted", refused, done, left)
		}
	})
}

func TestMetricsOfTheAPI(t *testing.T) {
	metrics := func(c *Config) {
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up 1")) })
	}
	open, closed := newBench(t, "orders", metrics), newBench(t, "orders", func(c *Config) { metrics(c); c.AuthTokens = []string{token} })
	without := newBench(t, "orders", nil)
	rebound := request(http.MethodGet, "/metrics", "")
	rebound.RemoteAddr, rebound.Host = "127.0.0.1:1", "rebound.example"
	for _, tc := range []struct {
		b    *bench
		r    *http.Request
		want int
	}{
		{open, request(http.MethodGet, "/metrics", ""), http.StatusOK},
		{open, rebound, http.StatusMisdirectedRequest},
		{closed, request(http.MethodGet, "/metrics", ""), http.StatusUnauthorized},
		{closed, request(http.MethodGet, "/metrics", "", bearer...), http.StatusOK},
		{closed, request(http.MethodPost, "/metrics", "{}", bearer...), http.StatusMethodNotAllowed},
		{without, request(http.MethodGet, "/metrics", ""), http.StatusNotFound},
	} {
		w := httptest.NewRecorder() // the path is not in the document
		tc.b.api.ServeHTTP(w, tc.r)
		if w.Code != tc.want || (w.Code == http.StatusOK) != (w.Body.String() == "up 1") {
			t.Errorf("%s as %q answers %d, want %d: %s", tc.r.Method, tc.r.Host, w.Code, tc.want, w.Body)
		}
	}
}

// Every message passed to SQS is counted once, by its outcome.
func TestSentMessagesAreCounted(t *testing.T) {
	for _, queue := range []string{"orders", "orders.fifo"} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			counted := make(map[string]int)
			var watched []string
			b := newBench(t, queue, func(c *Config) {
				c.Sent = func(outcome string) { mu.Lock(); counted[outcome]++; mu.Unlock() }
				c.Watch = func(r *http.Request, route string) (*http.Request, func(int)) {
					return r, func(status int) { watched = append(watched, fmt.Sprint(r.Method, " ", route, " ", status)) }
				}
			})
			b.post(body("a")).want(http.StatusAccepted)
			b.do(http.MethodPost, "/messages:batch", "["+strings.Join(bodies(25), ",")+"]").want(http.StatusAccepted)
			b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
				return sqstest.Fault{Delay: time.Millisecond, Error: &sqstest.Error{Code: "ServiceUnavailable"}}
			})
			b.post(body("b")).want(http.StatusServiceUnavailable)
			b.post("{").want(http.StatusBadRequest)
			mu.Lock()
			defer mu.Unlock()
			if fmt.Sprint(counted) != "map[accepted:26 failed:1]" {
				t.Errorf("%s: counted %v", queue, counted)
			}
			if fmt.Sprint(watched) != "[POST / 202 POST /messages:batch 202 POST / 503 POST / 400]" {
				t.Errorf("watched %q", watched)
			}
		})
	}
}

func testProbeThatIsGivenUpSpoilsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", nil)
		b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
			return sqstest.Fault{Delay: 20 * time.Millisecond}
		})
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Millisecond, leave)
		b.serve(request(http.MethodGet, "/readyz", "").WithContext(ctx))
		b.do(http.MethodGet, "/readyz", "").want(http.StatusOK)
	})
}

func TestProbesShareOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", nil)
		var calls atomic.Int64
		b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
			calls.Add(1)
			return sqstest.Fault{Delay: readyFor + time.Second}
		})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { b.do(http.MethodGet, "/readyz", "").want(http.StatusOK) })
		}
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		leave()
		b.serve(request(http.MethodGet, "/readyz", "").WithContext(ctx)).want(http.StatusServiceUnavailable) // the client has gone
		all.Wait()
		b.do(http.MethodGet, "/readyz", "").want(http.StatusOK) // the lifetime of the answer starts when it arrives
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls", n)
		}
		time.Sleep(readyFor + time.Millisecond)
		b.do(http.MethodGet, "/readyz", "").want(http.StatusOK)
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls after an answer has grown old", n)
		}
	})
}

func testProbeThatBreaksIsNoAnswer(t *testing.T) {
	var r readiness
	func() {
		defer func() { _ = recover() }()
		_ = r.ask(t.Context(), func(context.Context) error { panic("broken") })
	}()
	if err := r.ask(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("a question after one that broke: %v", err)
	}
}

func testForeignNameForThisMachineIsRefusedWithoutAToken(t *testing.T) {
	open := newBench(t, "orders", nil)
	closed := operatorBench(t, "orders")
	hosts := newBench(t, "orders", func(c *Config) { c.AnyHost = true })
	for _, tc := range []struct {
		b            *bench
		remote, host string
		want         int
	}{
		{open, "127.0.0.1:1234", "rebound.example", http.StatusMisdirectedRequest},
		{open, "127.0.0.1:1234", "rebound.example:8080", http.StatusMisdirectedRequest},
		{open, "[::1]:1234", "localhost.rebound.example", http.StatusMisdirectedRequest},
		{open, "[::ffff:127.0.0.1]:1234", "127.0.0.1.rebound.example", http.StatusMisdirectedRequest},
		{open, "127.0.0.1:1234", "", http.StatusMisdirectedRequest},
		{open, "127.0.0.1:1234", "LocalHost:8080", http.StatusAccepted},
		{open, "127.0.0.1:1234", "127.0.0.1:8080", http.StatusAccepted},
		{open, "[::1]:1234", "[::1]:8080", http.StatusAccepted},
		{open, "192.0.2.1:1234", "producer:8080", http.StatusAccepted},
		{closed, "127.0.0.1:1234", "producer.example", http.StatusAccepted},
		{hosts, "127.0.0.1:1234", "producer.example", http.StatusAccepted},
	} {
		r := request(http.MethodPost, "/", body("a"), bearer...)
		r.RemoteAddr, r.Host = tc.remote, tc.host
		if got := tc.b.serve(r); got.Code != tc.want {
			t.Errorf("host %q from %s was answered %d, want %d: %s", tc.host, tc.remote, got.Code, tc.want, got.Body)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		r := request(http.MethodGet, path, "")
		r.RemoteAddr, r.Host = "127.0.0.1:1234", "rebound.example"
		open.serve(r).want(http.StatusOK)
	}
}

func testRequestIDIsTheClientsOwnWhereItIsFit(t *testing.T) {
	b := newBench(t, "orders", nil)
	if got := b.do(http.MethodGet, "/healthz", "", "X-Request-Id", "abc-1").Header().Get("X-Request-Id"); got != "abc-1" {
		t.Errorf("id is %q", got)
	}
	ids := make(map[string]bool)
	for _, bad := range []string{"", "a b", "a\tb", "ü", strings.Repeat("x", 129)} {
		r := b.do(http.MethodGet, "/nothing", "", "X-Request-Id", bad)
		got := r.Header().Get("X-Request-Id")
		if got == bad || ids[got] || decode[problem](r).RequestID != got {
			t.Errorf("%q became %q", bad, got)
		}
		ids[got] = true
	}
}

// pipeListener accepts the far ends of pipes, so that a real server runs in virtual time.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial() net.Conn { return l.dialFrom("192.0.2.1") }

// dialFrom connects from this IP address.
func (l *pipeListener) dialFrom(address string) net.Conn {
	near, far := net.Pipe()
	l.conns <- addressed{far, &net.TCPAddr{IP: net.ParseIP(address), Port: 1}}
	return near
}

// addressed is a connection from an address.
type addressed struct {
	net.Conn
	from net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.from }

// served runs the API with the programs' server, in virtual time.
func served(t *testing.T, change func(*Config), test func(b *bench, l *pipeListener, stop context.CancelFunc)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", change)
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- admin.Serve(ctx, l, b.api, 5*time.Second) }()
		test(b, l, stop)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("server ended with %v", err)
		}
	})
}

func testSlowClientIsToldSo(t *testing.T) {
	served(t, nil, func(b *bench, l *pipeListener, _ context.CancelFunc) {
		conn := l.dial()
		defer conn.Close()
		began := time.Now()
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"name\":")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			b.t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusRequestTimeout || !bytes.Contains(text, []byte(`"field":"body"`)) || time.Since(began) != bodyTimeout {
			b.t.Errorf("answered %d after %s: %s", resp.StatusCode, time.Since(began), text)
		}
	})
}

func testWaitOutlivesTheDeadlineOfTheBody(t *testing.T) {
	served(t, nil, func(b *bench, l *pipeListener, _ context.CancelFunc) {
		conn := l.dial()
		defer conn.Close()
		go func() {
			time.Sleep(50 * time.Second)
			b.record("a", b.claim("a", body("a")), complete("1"))
		}()
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nPrefer: wait=60\r\nContent-Length: 12\r\n\r\n{\"name\":\"a\"}")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			b.t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			b.t.Errorf("answered %d", resp.StatusCode)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	})
}

func testStopFinishesRequestsUnderWay(t *testing.T) {
	served(t, nil, func(b *bench, l *pipeListener, stop context.CancelFunc) {
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			return sqstest.Fault{DelayAfter: 2 * time.Second} // two calls in a row, both within the grace period
		})
		posting, waiting := l.dial(), l.dial()
		defer posting.Close()
		defer waiting.Close()
		_, _ = io.WriteString(posting, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"name\":\"a\"}")
		_, _ = io.WriteString(waiting, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nPrefer: wait=60\r\nContent-Length: 12\r\n\r\n{\"name\":\"b\"}")
		time.Sleep(time.Second)
		stop()
		for what, conn := range map[string]net.Conn{"a post": posting, "a wait": waiting} {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				b.t.Fatalf("%s: %v", what, err)
			}
			if resp.StatusCode != http.StatusAccepted { // a wait is aborted after the message was accepted
				b.t.Errorf("%s was answered %d", what, resp.StatusCode)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	})
}

func testBadSettingsAreListedTogether(t *testing.T) {
	_, err := New(Config{SendTimeout: -1, MaxPending: 1, ClientRate: -1, AuthTokens: []string{""}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"SQS", "QueueURL", "Records", "Keys", "Scope", "SendTimeout", "MaxPending 1", "ClientRate", "AuthTokens[0]"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("error does not name %s: %v", field, err)
		}
	}
}

// A query that the operation would use in part is refused, and nothing is done.
func TestQuery(t *testing.T) {
	for name, op := range operations {
		t.Run(name, func(t *testing.T) {
			b := usualBench(t)
			before := b.record("done").Version
			open := slices.Contains([]string{"GET /healthz", "GET /readyz", "GET /openapi.json"}, name)
			for query, field := range map[string]string{"naem=done": "naem", "name=done&name=other": "name", "force=true&force=false": "force", "limit=%": "query"} {
				target := op.target + "?" + query
				if strings.Contains(op.target, "?") {
					target = op.target + "&" + query
				}
				r := b.do(op.method, target, op.body, bearer...)
				if r.t = t; open {
					if r.Code == http.StatusBadRequest {
						t.Errorf("%s: a probe is refused for its query", target)
					}
					continue
				}
				r.wantField(http.StatusBadRequest, field)
			}
			if after := b.record("done").Version; after != before {
				t.Errorf("the record was written: version %d, then %d", before, after)
			}
		})
	}
}
