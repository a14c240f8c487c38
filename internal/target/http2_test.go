package target

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// newH2C serves h by HTTP/2 without TLS, and counts connections.
func newH2C(t *testing.T, h http.HandlerFunc) (srv *httptest.Server, target *Target, conns *atomic.Int32) {
	t.Helper()
	srv, conns = httptest.NewUnstartedServer(h), &atomic.Int32{}
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	target, err := New(Config{URL: "h2c" + srv.URL[len("http"):] + "/work"})
	if err != nil {
		t.Fatal(err)
	}
	return srv, target, conns
}

func TestHTTP2TargetSharesOneConnection(t *testing.T) {
	const requests = 20
	var together sync.WaitGroup
	together.Add(requests)
	_, target, conns := newH2C(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ProtoMajor != 2 || r.URL.Path != "/work" || r.Header.Get("Idempotency-Key") != `"n"` {
			t.Errorf("asked for %s by %s with key %s", r.URL.Path, r.Proto, r.Header.Get("Idempotency-Key"))
		}
		if string(body) != "first" {
			together.Done()
			together.Wait()
		}
		_, _ = w.Write(body)
	})
	if _, err := target.Post(t.Context(), Request{Name: "n", Body: "first"}); err != nil {
		t.Fatal(err)
	}
	var posts sync.WaitGroup
	for range requests {
		posts.Go(func() {
			resp, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"})
			if err != nil || string(resp.Body) != "{}" {
				t.Errorf("answer is %q (%v)", resp.Body, err)
			}
		})
	}
	posts.Wait()
	if conns.Load() != 1 {
		t.Errorf("%d connections, want 1", conns.Load())
	}
}

func TestHTTP2RequestWithoutAnAnswerHasAnUnknownOutcome(t *testing.T) {
	_, target, _ := newH2C(t, func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler) // resets the stream
	})
	if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); kindOf(err) != unknown {
		t.Errorf("outcome is %q (%v)", kindOf(err), err)
	}
}

func TestHTTP2TargetThatIsGoneIsDown(t *testing.T) {
	srv, target, _ := newH2C(t, func(http.ResponseWriter, *http.Request) {})
	if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); err != nil {
		t.Fatal(err)
	}
	srv.CloseClientConnections()
	srv.Close()
	// On the connection that is breaking just now it cannot be known.
	_, _ = target.Post(t.Context(), Request{Name: "n", Body: "{}"})
	if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); kindOf(err) != notSent {
		t.Errorf("outcome is %q (%v)", kindOf(err), err)
	}
}

// Nothing but the timeout cuts the work short, also not a target that is too busy
// with it to say that it lives.
func TestHTTP2TargetThatIsSilentHasItsWholeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var peer sync.WaitGroup
		peer.Go(func() {
			_, _ = far.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // settings, and then nothing
		})
		peer.Go(func() { _, _ = io.Copy(io.Discard, far) })
		const timeout = 5 * time.Minute
		target, err := New(Config{URL: "h2c://target.invalid/", Timeout: timeout, Dial: func(context.Context, string, string) (net.Conn, error) {
			return near, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = target.Post(t.Context(), Request{Name: "n", Body: "{}"})
		if took := time.Since(start); kindOf(err) != unknown || took != timeout {
			t.Errorf("after %s the outcome is %q (%v)", took, kindOf(err), err)
		}
		_, _ = near.Close(), far.Close()
		peer.Wait()
	})
}
