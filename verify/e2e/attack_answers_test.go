package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// hostileAnswers are the bytes that a target answers to the message of a name, and whether its work
// then counts as done.
var hostileAnswers = map[string]struct {
	write func(conn net.Conn)
	done  bool
}{
	"nothing":              {func(net.Conn) {}, false},
	"no HTTP":              {text("SSH-2.0-OpenSSH_9.6\r\n"), false},
	"another protocol":     {text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), false},
	"no status":            {text("HTTP/1.1 OK\r\n\r\n"), false},
	"two lengths":          {text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), false},
	"a length below zero":  {text("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}"), false},
	"another coding":       {text("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), false},
	"a cut body":           {text("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}"), false},
	"a cut chunk":          {text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n{}"), false},
	"a chunk of 16 EiB":    {text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}"), false},
	"100 kB of header":     {text("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 100_000) + "\r\n\r\n"), false},
	"10,000 headers":       {text("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: yyyyyyyy\r\n", 10_000) + "\r\n"), false},
	"another protocol now": {text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), false},
	"endless hints":        {without("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), false},
	"an endless header":    {without("HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("y", 1000)+"\r\n"), false},
	"an endless body":      {without("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<16)), false},
	"endless chunks":       {without("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "10000\r\n"+strings.Repeat("x", 1<<16)+"\r\n"), false},
	"an endless trailer":   {without("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: "+strings.Repeat("y", 1000)+"\r\n"), false},
	"a long type":          {text("HTTP/1.1 200 OK\r\nContent-Type: text/" + strings.Repeat("y", 60_000) + "\r\nContent-Length: 2\r\n\r\nab"), true},
	"a type that commands": {text("HTTP/1.1 200 OK\r\nContent-Type: text/html\t\x9b31m\xc2\x9b31m\r\nContent-Length: 2\r\n\r\nab"), true},
	"a page":               {text("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 25\r\n\r\n<script>alert(1)</script>"), true},
	"a body of no type":    {text("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x00\xff\x1b\x9b"), true},
	"100,000 deep":         {text("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), true},
	"a bomb": {func(conn net.Conn) {
		text("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + bomb())(conn)
	}, true},
	"another answer": {text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"), true},
}

// text writes a text and closes the connection.
func text(s string) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, s) }
}

// without writes a text and then its last part again and again, without an end.
func without(parts ...string) func(net.Conn) {
	return func(conn net.Conn) {
		_, err := io.WriteString(conn, strings.Join(parts, ""))
		for err == nil {
			_, err = io.WriteString(conn, parts[len(parts)-1])
		}
	}
}

// bomb is a gzip of 64 MiB.
var bomb = sync.OnceValue(func() string { return zipped(make([]byte, 64<<20)) })

// zipped is a gzip of data.
func zipped(data []byte) string {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, _ = zip.Write(data) // into memory
	_ = zip.Close()
	return b.String()
}

// rawTarget returns the address of a target that answers with hostileAnswers, and with {} to other
// names.
func rawTarget(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	ln, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // the test has ended
			}
			go func() {
				defer func() { _ = conn.Close() }()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				if hostile, ok := hostileAnswers[r.Header.Get("X-Sqsonce-Name")]; ok {
					hostile.write(conn)
				} else {
					text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")(conn)
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

// Whatever a target answers, only its own messages suffer, and the worker's memory stays bounded.
func testHostileAnswers(t *testing.T) {
	bomb() // before its answer is awaited
	l := startLocal(t, "--target-url", rawTarget(t), "--max-attempts", "1", "--target-timeout", "2s", "--suspect-after", "0", "--on-unknown", "hold")
	during(t, l.api, "", func() {
		for name := range hostileAnswers {
			if code, _, body := post(t, l.api, fmt.Sprintf(`{"name":%q}`, name)); code != http.StatusAccepted {
				t.Fatalf("%s: %d %s", name, code, body)
			}
		}
		for name, tc := range hostileAnswers {
			r := final(t, l.api, name)
			if (r.Status == "COMPLETED") != tc.done {
				t.Errorf("%s: %+v", name, r)
			}
			if len(r.Result) > 8<<10 || len(r.Error) > 2<<10 {
				t.Errorf("%s: %d bytes of result and %d of error", name, len(r.Result), len(r.Error))
			}
		}
	})
	l.slim(250)
}

// slim checks that the process has never held more MiB of memory.
func (p *process) slim(most int) {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	peak, err := strconv.Atoi(regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(string(status))[1])
	if err != nil || peak > most<<10 {
		p.t.Errorf("the process has held %d kB, %v; want at most %d MiB", peak, err, most)
	}
	p.t.Logf("at most %d MiB of memory", peak>>10)
}

// A target that answers with a redirect to other servers: one of this machine, and the metadata of
// the instance, which a proxy would be asked for.
func testRedirects(t *testing.T) {
	var reached atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inner.Close()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get("X-Sqsonce-Name")
		code, to, found := strings.Cut(name, " ")
		if status, err := strconv.Atoi(code); found && err == nil {
			http.Redirect(w, r, to, status)
		}
	}))
	defer app.Close()
	t.Setenv("HTTP_PROXY", inner.URL)
	l := startLocal(t, "--target-url", app.URL, "--max-attempts", "1", "--target-token", "token-of-the-target")
	during(t, l.api, "", func() {
		for _, to := range []string{inner.URL + "/drain", "http://169.254.169.254/latest/meta-data/iam/security-credentials/", "//169.254.169.254/"} {
			for _, code := range []string{"301", "302", "303", "307", "308"} {
				name := code + " " + to
				if code, _, body := post(t, l.api, fmt.Sprintf(`{"name":%q}`, name)); code != http.StatusAccepted {
					t.Fatalf("%s: %d %s", name, code, body)
				}
				if r := final(t, l.api, name); r.Status != "REJECTED" || !strings.Contains(r.Error, code) {
					t.Errorf("after a redirect %s: %+v", name, r)
				}
			}
		}
	})
	if reached.Load() > 0 {
		t.Errorf("the worker followed a redirect %d times", reached.Load())
	}
}
