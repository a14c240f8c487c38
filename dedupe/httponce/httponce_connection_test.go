package httponce_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe/httponce"
)

// serving starts a server. The channel seen gets the context of each request.
func serving(t *testing.T, h http.Handler) (srv *httptest.Server, seen chan context.Context) {
	t.Helper()
	seen = make(chan context.Context, 10)
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Context()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv, seen
}

func send(ctx context.Context, t *testing.T, address, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(httponce.Header, key)
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	return resp, err
}

// The client goes away during the charge and repeats its request.
func TestDisconnect(t *testing.T) {
	a := newAPI()
	running, finish := make(chan struct{}), make(chan struct{})
	a.serve = func(_ int64, w http.ResponseWriter, r *http.Request) {
		close(running)
		<-finish
		if r.Context().Err() != nil {
			t.Error("the work was cancelled")
		}
		_, _ = io.WriteString(w, "charged")
	}
	srv, seen := serving(t, a.handler(t))
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-running; leave() }()
	if _, err := send(ctx, t, srv.URL, "{}"); err == nil {
		t.Fatal("the first client was answered")
	}
	<-(<-seen).Done() // the server has noticed
	close(finish)
	resp, err := send(t.Context(), t, srv.URL, "{}")
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(body) != "charged" || a.ran.Load() != 1 {
		t.Errorf("answered %d %s, %v, charged %d times", resp.StatusCode, body, err, a.ran.Load())
	}
}

// Shutdown waits for handlers, even if their clients have gone away.
func TestShutdown(t *testing.T) {
	a := newAPI()
	running, finish := make(chan struct{}), make(chan struct{})
	a.serve = func(_ int64, w http.ResponseWriter, _ *http.Request) {
		close(running)
		<-finish
		_, _ = io.WriteString(w, "charged")
	}
	srv, seen := serving(t, a.handler(t))
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-running; leave() }()
	_, _ = send(ctx, t, srv.URL, "{}")
	<-(<-seen).Done()
	down := make(chan error)
	go func() { down <- srv.Config.Shutdown(t.Context()) }()
	for { // until the server accepts no connection
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		if err != nil {
			break
		}
		_ = c.Close()
	}
	select {
	case err := <-down:
		t.Fatalf("shut down before the handler was through: %v", err)
	default:
	}
	close(finish)
	if err := <-down; err != nil {
		t.Error(err)
	}
	if w := ask(a.handler(t), post("/", key, "{}")); w.Body.String() != "charged" || a.ran.Load() != 1 {
		t.Errorf("answered %s, charged %d times", w.Body, a.ran.Load())
	}
}

// broken is the body of a request whose client goes away.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestBody(t *testing.T) {
	a := newAPI()
	a.cfg.MaxBody = 10
	a.serve = func(_ int64, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength != int64(len(body)) || r.Body.Close() != nil {
			t.Errorf("the handler reads %d of %d bytes, %v", len(body), r.ContentLength, err)
		}
		_, _ = w.Write(body)
	}
	h := a.handler(t)
	problemOf(t, ask(h, post("/charges", key, "12345678901")), http.StatusRequestEntityTooLarge)
	streamed := post("/charges", key, "")
	streamed.Body, streamed.ContentLength = io.NopCloser(io.LimitReader(neverEnding('x'), 1<<40)), -1
	problemOf(t, ask(h, streamed), http.StatusRequestEntityTooLarge)
	cut := post("/charges", key, "")
	cut.Body = io.NopCloser(broken{})
	problemOf(t, ask(h, cut), http.StatusBadRequest)
	if a.ran.Load() != 0 {
		t.Errorf("ran %d times", a.ran.Load())
	}
	if w := ask(h, post("/charges", key, "1234567890")); w.Body.String() != "1234567890" { // the key is not spent
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	none := post("/charges", `"none"`, "")
	none.Body = nil
	if w := ask(h, none); w.Code != 200 {
		t.Errorf("without a body: %d %s", w.Code, w.Body)
	}
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// Over a network connection a chunked request with trailers gets an answer with a length.
func TestConnection(t *testing.T) {
	a := newAPI()
	a.serve = func(_ int64, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Other", "1")
	}
	srv, _ := serving(t, a.handler(t))
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, io.MultiReader(strings.NewReader("a"), strings.NewReader("b")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(httponce.Header, key)
		req.Trailer = http.Header{"X-Sum": {"7"}}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != "ab" || resp.ContentLength != 2 || len(resp.Trailer) != 0 || resp.Header.Get("Date") == "" {
			t.Errorf("%q, %v, %d bytes, %v, %v", body, err, resp.ContentLength, resp.Header, resp.Trailer)
		}
		if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("sniffed as %q", got)
		}
	}
	if a.ran.Load() != 1 {
		t.Errorf("ran %d times", a.ran.Load())
	}
}
