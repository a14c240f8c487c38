package target

import (
	"context"
	"encoding/binary"
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

func TestHTTP2(t *testing.T) {
	t.Run("h t t P2 target shares one connection", testHTTP2TargetSharesOneConnection)
	t.Run("h t t P2 request without an answer has an unknown outcome", testHTTP2RequestWithoutAnAnswerHasAnUnknownOutcome)
	t.Run("h t t P2 target that is gone is down", testHTTP2TargetThatIsGoneIsDown)
	t.Run("h t t P2 target that is silent has its whole timeout", testHTTP2TargetThatIsSilentHasItsWholeTimeout)
	t.Run("h t t P2 not processed", testHTTP2NotProcessed)
}

func testHTTP2TargetSharesOneConnection(t *testing.T) {
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
	// A new connection may answer its request before the transport offers it to others.
	for known := int32(-1); known != conns.Load(); {
		known = conns.Load()
		if _, err := target.Post(t.Context(), Request{Name: "n", Body: "first"}); err != nil {
			t.Fatal(err)
		}
	}
	open := conns.Load()
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
	if conns.Load() != open {
		t.Errorf("%d connections, want the %d of before", conns.Load(), open)
	}
}

func testHTTP2RequestWithoutAnAnswerHasAnUnknownOutcome(t *testing.T) {
	_, target, _ := newH2C(t, func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler) // resets the stream
	})
	if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); kindOf(err) != unknown {
		t.Errorf("outcome is %q (%v)", kindOf(err), err)
	}
}

func testHTTP2TargetThatIsGoneIsDown(t *testing.T) {
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
func testHTTP2TargetThatIsSilentHasItsWholeTimeout(t *testing.T) {
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

// rawHTTP2 answers each request with a frame that reply makes for its stream, on the
// n-th connection.
func rawHTTP2(t *testing.T, reply func(conn int, stream uint32) []byte) *Target {
	t.Helper()
	var conns atomic.Int32
	var peers sync.WaitGroup
	target, err := New(Config{URL: "h2c://target.invalid/", Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		n := int(conns.Add(1))
		answers := make(chan []byte, 16)
		peers.Go(func() {
			for answer := range answers {
				if _, err := far.Write(answer); err != nil {
					break
				}
			}
			_ = far.Close()
		})
		peers.Go(func() {
			defer close(answers)
			answers <- []byte{0, 0, 0, 4, 0, 0, 0, 0, 0} // settings
			head := make([]byte, 24)
			_, _ = io.ReadFull(far, head) // preface
			for {
				head = head[:9]
				if _, err := io.ReadFull(far, head); err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, far, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
					return
				}
				if head[3] == 1 { // HEADERS
					answers <- reply(n, binary.BigEndian.Uint32(head[5:]))
				}
			}
		})
		return near, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		target.transport.(*http.Transport).CloseIdleConnections()
		peers.Wait()
	})
	return target
}

// frame is an HTTP/2 frame on a stream.
func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	head := []byte{0, 0, byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// A server that says by HTTP/2 that it did not process a request has not: the
// request is sent again, and if that does not help, nothing is counted.
func testHTTP2NotProcessed(t *testing.T) {
	none := []byte{0, 0, 0, 0} // last stream
	for name, refuse := range map[string]func(stream uint32) []byte{
		"GOAWAY":            func(uint32) []byte { return frame(7, 0, 0, append(none, 0, 0, 0, 0)...) },
		"GOAWAY with error": func(uint32) []byte { return frame(7, 0, 0, append(none, 0, 0, 0, 11)...) },
		"REFUSED_STREAM":    func(stream uint32) []byte { return frame(3, 0, stream, 0, 0, 0, 7) },
	} {
		done200 := func(stream uint32) []byte { return frame(1, 5, stream, 0x88) } // :status 200, end of stream
		t.Run(name+", once", func(t *testing.T) {
			var asked atomic.Int32
			target := rawHTTP2(t, func(_ int, stream uint32) []byte {
				if asked.Add(1) == 1 {
					return refuse(stream)
				}
				return done200(stream)
			})
			if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); err != nil || asked.Load() != 2 {
				t.Errorf("asked %d times: %v", asked.Load(), err)
			}
		})
		t.Run(name+", always", func(t *testing.T) {
			var asked atomic.Int32
			target := rawHTTP2(t, func(_ int, stream uint32) []byte {
				asked.Add(1)
				return refuse(stream)
			})
			if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); kindOf(err) != notSent || asked.Load() != maxTries {
				t.Errorf("asked %d times, outcome %q (%v)", asked.Load(), kindOf(err), err)
			}
		})
	}
	for name, answer := range map[string]func(stream uint32) []byte{
		"reset as cancelled":      func(stream uint32) []byte { return frame(3, 0, stream, 0, 0, 0, 8) },
		"reset by internal error": func(stream uint32) []byte { return frame(3, 0, stream, 0, 0, 0, 2) },
		"reset by protocol error": func(stream uint32) []byte { return frame(3, 0, stream, 0, 0, 0, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			target := rawHTTP2(t, func(_ int, stream uint32) []byte {
				asked.Add(1)
				return answer(stream)
			})
			if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); kindOf(err) != unknown || asked.Load() != 1 {
				t.Errorf("asked %d times, outcome %q (%v)", asked.Load(), kindOf(err), err)
			}
		})
	}
}
