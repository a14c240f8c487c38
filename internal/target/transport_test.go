package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestTransport(t *testing.T) {
	t.Run("target that cannot be connected to is down", testTargetThatCannotBeConnectedToIsDown)
	t.Run("target that does not accept in time is down", testTargetThatDoesNotAcceptInTimeIsDown)
	t.Run("socket and TLS targets are reached", testSocketAndTLSTargetsAreReached)
	t.Run("only a request that did not go out is tried again", testOnlyARequestThatDidNotGoOutIsTriedAgain)
	t.Run("transport that tells nothing leaves the outcome unknown", testTransportThatTellsNothingLeavesTheOutcomeUnknown)
	t.Run("connection is kept for the next message", testConnectionIsKeptForTheNextMessage)
	t.Run("idle connection is closed before the target would close it", testIdleConnectionIsClosedBeforeTheTargetWouldCloseIt)
}

func testTargetThatCannotBeConnectedToIsDown(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about being refused
	secure.StartTLS()                                   // with a certificate that is not trusted
	defer secure.Close()
	for name, cfg := range map[string]Config{
		"refused":                       {URL: "http://" + addr},
		"refused, with a client given":  {URL: "http://" + addr, HTTP: &http.Client{Transport: &http.Transport{}}},
		"refused, with the default one": {URL: "http://" + addr, HTTP: &http.Client{}},
		"no such socket":                {URL: "unix://" + filepath.Join(t.TempDir(), "none")},
		"certificate not trusted":       {URL: secure.URL},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, err = target.Post(t.Context(), Request{Name: "n", Body: "{}"})
			if kindOf(err) != notSent {
				t.Errorf("outcome is %q (%v)", kindOf(err), err)
			}
			if cfg.URL == "http://"+addr && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("error does not say why: %v", err)
			}
		})
	}
}

func testTargetThatDoesNotAcceptInTimeIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, stop := newPiped(t, Config{}, nil)
		defer stop()
		target.transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); kindOf(err) != notSent {
			t.Errorf("outcome is %q (%v)", kindOf(err), err)
		}
	})
}

func testSocketAndTLSTargetsAreReached(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 || r.URL.Path != "/" {
			t.Errorf("asked for %s by %s", r.URL.Path, r.Proto)
		}
	})
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	local := httptest.NewUnstartedServer(h)
	_ = local.Listener.Close()
	local.Listener = ln
	local.Start()
	defer local.Close()
	secure := httptest.NewTLSServer(h)
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	for name, cfg := range map[string]Config{
		"socket": {URL: "unix://" + socket},
		"TLS":    {URL: secure.URL + "/"},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			// In place of the system's roots, which a process reads once.
			target.transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
			if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); err != nil {
				t.Error(err)
			}
		})
	}
}

// roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func testOnlyARequestThatDidNotGoOutIsTriedAgain(t *testing.T) {
	broken := errors.New("connection is gone")
	for name, tc := range map[string]struct {
		reused, sent, foreign bool
		failures              int // then it works
		tries                 int
		want                  kind
	}{
		"kept connection closed since":               {reused: true, failures: 1, tries: 2, want: done},
		"several closed since":                       {reused: true, failures: 3, tries: 4, want: done},
		"all closed since":                           {reused: true, failures: 100, tries: 4, want: notSent},
		"new connection closed at once":              {failures: 1, tries: 1, want: notSent},
		"something went out":                         {reused: true, sent: true, failures: 1, tries: 1, want: unknown},
		"something went out, new":                    {sent: true, failures: 1, tries: 1, want: unknown},
		"unknown bytes went out":                     {reused: true, foreign: true, failures: 1, tries: 1, want: unknown},
		"unknown bytes went out on a new connection": {foreign: true, failures: 1, tries: 1, want: unknown},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := New(Config{URL: "http://target.invalid"})
			if err != nil {
				t.Fatal(err)
			}
			tries := 0
			target.transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				tries++
				near, far := net.Pipe()
				_ = far.Close()
				conn := &countingConn{Conn: near}
				conn.sent.Store(1000) // by earlier requests
				info := httptrace.GotConnInfo{Conn: conn, Reused: tc.reused}
				if tc.foreign {
					info.Conn = near
				}
				httptrace.ContextClientTrace(req.Context()).GotConn(info)
				if tc.sent {
					_, _ = conn.Write([]byte("POST"))
				}
				if tries <= tc.failures {
					return nil, broken
				}
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			})
			_, err = target.Post(t.Context(), Request{Name: "n", Body: "{}"})
			if got := kindOf(err); got != tc.want || tries != tc.tries {
				t.Errorf("outcome is %q after %d tries, want %q after %d (%v)", got, tries, tc.want, tc.tries, err)
			}
			if tc.want != done && !errors.Is(err, broken) {
				t.Errorf("error does not contain the cause: %v", err)
			}
		})
	}
}

func testTransportThatTellsNothingLeavesTheOutcomeUnknown(t *testing.T) {
	target, err := New(Config{URL: "http://target.invalid", HTTP: &http.Client{
		Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("broken") }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); kindOf(err) != unknown {
		t.Errorf("outcome is %q (%v)", kindOf(err), err)
	}
}

func testConnectionIsKeptForTheNextMessage(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Sqsonce-Name") == "bad" {
			http.Error(w, "no", http.StatusBadGateway)
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	target, err := New(Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		name := "good"
		if i%2 == 0 {
			name = "bad"
		}
		_, _ = target.Post(t.Context(), Request{Name: name, Body: "{}"})
	}
	if got := conns.Load(); got != 1 {
		t.Errorf("%d connections for 20 messages", got)
	}
}

func testIdleConnectionIsClosedBeforeTheTargetWouldCloseIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		target, stop := newPiped(t, Config{}, func(http.ResponseWriter, *http.Request) {})
		defer stop()
		transport := target.transport.(*http.Transport)
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			open.Add(1)
			return &closeSeen{Conn: conn, closed: func() { open.Add(-1) }}, err
		}
		if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if open.Load() != 1 {
			t.Fatalf("%d connections are open after a request", open.Load())
		}
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		if open.Load() != 0 {
			t.Errorf("%d connections are still open after 5 s", open.Load())
		}
	})
}

// closeSeen is a connection that tells when it is closed.
type closeSeen struct {
	net.Conn
	told   atomic.Bool
	closed func()
}

func (c *closeSeen) Close() error {
	if !c.told.Swap(true) {
		c.closed()
	}
	return c.Conn.Close()
}
