package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes, for use in a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// serving is a Serve under way.
type serving struct {
	*pipes
	stop context.CancelFunc
	done chan error
}

func start(t *testing.T, h http.HandlerFunc, grace time.Duration) serving {
	ctx, stop := context.WithCancel(t.Context())
	s := serving{newPipes(), stop, make(chan error, 1)}
	go func() { s.done <- Serve(ctx, s.pipes, h, grace) }()
	return s
}

// ask sends a request and returns its connection and the response.
func (s serving) ask(t *testing.T) (net.Conn, <-chan string) {
	conn := s.dial()
	got := make(chan string, 1)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			got <- "error: " + err.Error()
			return
		}
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	return conn, got
}

func TestServe(t *testing.T) {
	t.Run("request under way finishes within the grace", testRequestUnderWayFinishesWithinTheGrace)
	t.Run("request that outlives the grace is cancelled and still answers", testRequestThatOutlivesTheGraceIsCancelledAndStillAnswers)
	t.Run("upload that stalls is answered after the grace", testAnUploadThatStallsIsAnsweredAfterTheGrace)
	t.Run("handler that ignores its context is reported and still waited for", testHandlerThatIgnoresItsContextIsReportedAndStillWaitedFor)
	t.Run("connection beyond the bound waits", testConnectionBeyondTheBoundWaits)
	t.Run("connection on which nothing is asked does not fail the stop", testConnectionOnWhichNothingIsAskedDoesNotFailTheStop)
	t.Run("wait of a minute is not cut short", testWaitOfAMinuteIsNotCutShort)
	t.Run("request context carries the values of serve", testRequestContextCarriesTheValuesOfServe)
	t.Run("listener is closed when stopped before the first request", testListenerIsClosedWhenStoppedBeforeTheFirstRequest)
}

func testRequestUnderWayFinishesWithinTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			if r.Context().Err() == nil {
				_, _ = io.WriteString(w, "whole")
			}
		}, 5*time.Second)
		conn, got := s.ask(t)
		synctest.Wait()
		s.stop()
		if body := <-got; body != "whole" {
			t.Errorf("answer is %q", body)
		}
		_ = conn.Close()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
}

func testRequestThatOutlivesTheGraceIsCancelledAndStillAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			_, _ = io.WriteString(w, "cut short")
		}, 5*time.Second)
		conn, got := s.ask(t)
		synctest.Wait()
		s.stop()
		if body := <-got; body != "cut short" {
			t.Errorf("answer is %q", body)
		}
		_ = conn.Close()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
}

func testAnUploadThatStallsIsAnsweredAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				http.Error(w, "not whole", http.StatusBadRequest)
			}
		}, 5*time.Second)
		conn := s.dial()
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.stop()
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("answer is %v, %v", resp, err)
		}
		_ = conn.Close()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
}

func testHandlerThatIgnoresItsContextIsReportedAndStillWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		returned := false
		s := start(t, func(http.ResponseWriter, *http.Request) {
			<-release
			returned = true
		}, 5*time.Second)
		_, got := s.ask(t)
		synctest.Wait()
		s.stop()
		if body := <-got; !strings.HasPrefix(body, "error: ") {
			t.Errorf("answer is %q", body)
		}
		synctest.Wait()
		select {
		case err := <-s.done:
			t.Fatalf("returned with %v before its handler", err)
		default:
		}
		close(release)
		if err := <-s.done; err == nil || !strings.Contains(err.Error(), "1 requests") {
			t.Errorf("error is %v", err)
		}
		if !returned {
			t.Error("returned before its handler")
		}
	})
}

func testConnectionOnWhichNothingIsAskedDoesNotFailTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(http.ResponseWriter, *http.Request) {}, time.Second)
		_ = s.dial()
		synctest.Wait()
		s.stop()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
}

func testConnectionBeyondTheBoundWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, time.Second)
		var held []net.Conn
		for range maxConnections {
			held = append(held, s.dial())
		}
		var accepted atomic.Bool
		beyond := make(chan (<-chan string), 1)
		go func() {
			_, got := s.ask(t)
			accepted.Store(true)
			beyond <- got
		}()
		synctest.Wait()
		if accepted.Load() {
			t.Errorf("%d connections were accepted", maxConnections+1)
		}
		if err := held[0].Close(); err != nil {
			t.Fatal(err)
		}
		if got := <-<-beyond; got != "hello" {
			t.Errorf("the next one got %q", got)
		}
		held[0] = s.dial()
		s.stop()
		if err := <-s.done; err != nil {
			t.Errorf("a stop while all places are taken: %v", err)
		}
	})
}

func testWaitOfAMinuteIsNotCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Minute):
				_, _ = io.WriteString(w, "waited")
			}
		}, time.Second)
		conn, got := s.ask(t)
		if body := <-got; body != "waited" {
			t.Errorf("answer is %q", body)
		}
		_ = conn.Close()
		s.stop()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
}

func testRequestContextCarriesTheValuesOfServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, stop := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
		p, done := newPipes(), make(chan error, 1)
		go func() {
			done <- Serve(ctx, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.Context().Value(key{}).(string))
			}), time.Second)
		}()
		conn, got := serving{pipes: p}.ask(t)
		if body := <-got; body != "kept" {
			t.Errorf("answer is %q", body)
		}
		_ = conn.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestBrokenListenerEndsServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	err = Serve(t.Context(), ln, http.NotFoundHandler(), time.Second)
	if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("error is %v", err)
	}
}

func testListenerIsClosedWhenStoppedBeforeTheFirstRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		p := newPipes()
		if err := Serve(ctx, p, http.NotFoundHandler(), time.Second); err != nil {
			t.Error(err)
		}
		<-p.closed
	})
}
