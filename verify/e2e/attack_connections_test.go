package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// hold opens connections to an address, writes to each, and keeps them open until the test ends.
func hold(t *testing.T, address string, n int, request string) (conns []net.Conn) {
	t.Helper()
	for range n {
		conn := dial(t, address)
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return conns
}

// listener is an address at which a process accepts connections.
type listener struct {
	*process
	name, address string
}

// listeners starts the programs with all listeners that they have.
func listeners(t *testing.T) (*local, []listener) {
	t.Helper()
	const own, metrics = "127.0.0.1:0", `metrics at (http://127\.0\.0\.1:\d+)`
	l := startLocal(t, "--metrics-addr", own)
	s := newStack(t)
	api := start(t, s.env, "producer", "serve", "--create", "--queue-url", s.queueURL, "--table", s.table, "--addr", own, "--metrics-addr", own)
	all := []listener{
		{l.process, "API of the local worker", l.api},
		{l.process, "SQS of the local worker", l.queue},
		{l.process, "worker --admin-addr", l.admin(t)},
		{l.process, "worker --metrics-addr", l.match(metrics)},
		{api, "producer serve", api.match(`producer at (http://127\.0\.0\.1:\d+)`)},
		{api, "producer --metrics-addr", api.match(metrics)},
	}
	page := start(t, s.env, "producer", "console", "--queue-url", *queueURL(t, s.client, s.table), "--table", s.table, "--addr", own)
	return l, append(all, listener{page, "producer console", page.match(`console at (http://127\.0\.0\.1:\d+)`)})
}

// A client that never ends its headers is cut off at every listener.
func testSlowHeaders(t *testing.T) {
	t.Parallel() // it waits for the server's time-out
	l, all := listeners(t)
	during(t, l.api, "", func() {
		slow := make(map[string][]net.Conn)
		for _, ln := range all {
			slow[ln.name] = hold(t, ln.address, 200, "GET /queue HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		}
		for name, conns := range slow {
			for _, conn := range conns {
				if rest, err := io.ReadAll(conn); err != nil || strings.Contains(string(rest), " 200 ") {
					t.Errorf("%s: %q, %v, want the connection closed", name, rest, err)
					break
				}
			}
		}
	})
}

// Headers of any size are refused at every listener.
func testLargeHeaders(t *testing.T) {
	l, all := listeners(t)
	during(t, l.api, "", func() {
		for _, ln := range all {
			request := message(ln.address, "GET", "/healthz", "", "X: "+strings.Repeat("y", 100_000))
			if got := send(t, ln.address, request); got.code != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("%s: %d %.80s, want 431", ln.name, got.code, got.body)
			}
		}
	})
}

// A client opens more connections than a listener takes, and sends nothing. The process holds no
// more than its bound, closes each after a while, and serves others, who open a connection for each
// of their requests. Each listener has places of its own, so that the API answers while another is
// full.
func testManyConnections(t *testing.T) {
	t.Parallel() // it waits for the server's time-out
	const bound, more, others = 4096, 300, 200
	l := startLocal(t, "--metrics-addr", "127.0.0.1:0")
	metrics := l.match(`metrics at (http://127\.0\.0\.1:\d+)`)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	duringOf(t, client, l.api, "", func() {
		conns := hold(t, metrics, bound+more, "")
		eventually(t, "a full listener", func() bool { return l.files() >= bound })
		most := 0
		for _, conn := range conns {
			most = max(most, l.files())
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Fatalf("%q, %v, want the connection closed", rest, err)
			}
		}
		if most > bound+others {
			t.Errorf("the process has held %d connections and other files, want at most %d", most, bound+others)
		}
		if got := send(t, metrics, message(metrics, "GET", "/healthz", "")); got.code != http.StatusOK {
			t.Errorf("after the attack: %d %s", got.code, got.body)
		}
		hold(t, l.api, 500, "")
		hold(t, l.admin(t), 200, "")
	})
}

// files returns the number of the process's open files.
func (p *process) files() int {
	p.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(all)
}
