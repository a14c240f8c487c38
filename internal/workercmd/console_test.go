package workercmd

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// answerOf returns the answer of a URL.
func answerOf(t *testing.T, url string) (status int, contentType, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(data)
}

func TestConsole(t *testing.T) {
	t.Run("console is on the admin address", testTheConsoleIsOnTheAdminAddress)
	t.Run("proxy may pass on its own name", testAProxyMayPassOnItsOwnName)
	t.Run("open console does not hold up a stop", testAnOpenConsoleDoesNotHoldUpAStop)
}

func testTheConsoleIsOnTheAdminAddress(t *testing.T) {
	p := startLocal(t, "--admin-token", "t0ken")
	url := p.adminURL(t)
	send(t, anySDK(p.queueURL(t)), p.queueURL(t), body("order-17"), body("order-17"))
	wait(t, "the console tells the story of order-17", func() bool {
		_, _, text := answerOf(t, url+"/api/queues/sqsonce/names?name=order-17")
		return strings.Contains(text, `"status":"COMPLETED"`) && strings.Contains(text, `"kind":"claimed"`)
	})
	for path, want := range map[string]struct {
		status     int
		kind, text string
	}{
		"/":                          {200, "text/html; charset=utf-8", "<title>sqsonce</title>"},
		"/api/session":               {200, "application/json", `"local":true`},
		"/api/queues/sqsonce/status": {200, "application/json", `"state":"running"`},
		"/api/queues/sqsonce/config": {200, "application/json", `"name":"concurrency"`},
		"/healthz":                   {200, "application/json", `"status":"ok"`},
		"/config":                    {200, "application/json", `{"queues":{"sqsonce":{`},
		"/nothing":                   {404, "application/problem+json", "no such path"},
	} {
		status, kind, text := answerOf(t, url+path)
		if status != want.status || kind != want.kind || !strings.Contains(text, want.text) {
			t.Errorf("%s answers %d %s %.200s", path, status, kind, text)
		}
		if strings.Contains(text, "t0ken") {
			t.Errorf("%s shows the admin token", path)
		}
	}
}

func testAProxyMayPassOnItsOwnName(t *testing.T) {
	p := startLocal(t, "--admin-hosts", "console.example")
	for host, want := range map[string]int{"console.example": 200, "console.example:443": 200, "evil.example": 421} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.adminURL(t)+"/api/session", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.Body.Close() != nil || resp.StatusCode != want {
			t.Errorf("%s: status %d, %v", host, resp.StatusCode, err)
		}
		if want == http.StatusOK && !strings.Contains(string(text), `"may_act":false`) {
			t.Errorf("%s may act without the token: %s", host, text)
		}
	}
}

// The stream ends by itself, without using the servers' grace period. Time is virtual, because on a
// busy machine the grace period could end before the stream's goroutine runs.
func testAnOpenConsoleDoesNotHoldUpAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInBubble(t, 3, func(http.ResponseWriter, *http.Request) {})
		defer b.target.close()
		front := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		b.admin, b.out = front, io.Discard
		signalled, signal := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() {
			stopped <- b.serve(t.Context(), stops{gentle: signalled, hurried: signalled}, func(context.Context, *queueWorker) error { return nil })
		}()
		synctest.Wait() // the console has replaced the handler of the start

		transport := &http.Transport{DialContext: front.dial}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("http://localhost/api/queues/" + localQueue + "/stream")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if _, err := io.ReadFull(resp.Body, make([]byte, 64)); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, then %v", resp.StatusCode, err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, resp.Body)
			read <- err
		}()
		start := time.Now()
		signal() // twice: the pool gives up its long poll
		if err := <-stopped; err != nil {
			t.Errorf("stop: %v", err)
		}
		if took := time.Since(start); took >= serverGrace {
			t.Errorf("the stop took %s", took)
		}
		if err := <-read; err != nil {
			t.Errorf("the stream was cut off: %v", err)
		}
	})
}

// pipeListener accepts the connections of dial.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeListener) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }
