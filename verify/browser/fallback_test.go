//go:build browser

package browser

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

// streamPath is the path of the event stream.
const streamPath = "/api/queues/sqsonce/stream"

// obstacles are faults that prevent the stream.
var obstacles = map[string]struct {
	answer http.HandlerFunc
	link   string // the page's text for it
}{
	"proxy that buffers": {func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // a buffering proxy waits for the end of the answer
	}, "updated every 5 s: no live stream"},
	"proxy that passes the header only": {func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, "updated every 5 s: no live stream"},
	"proxy that blocks": {func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<h1>Blocked by policy</h1>", http.StatusForbidden)
	}, "updated every 5 s: no live stream"},
	"too many pages are open": {func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"detail":"too many pages are open"}`))
	}, "updated every 5 s: too many pages are open"},
}

// Without a stream the page shows the answers of /api/status, both from the start and after a
// break. It returns to the stream when that works.
func testNoStream(t *testing.T) {
	for name, obstacle := range obstacles {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			w := consoletest.Start(t, consoletest.Options{Handle: shop})
			var blocked atomic.Bool
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if blocked.Load() && r.URL.Path == streamPath {
					obstacle.answer(rw, r)
					return
				}
				w.Handler.ServeHTTP(rw, r)
			}))
			t.Cleanup(func() { shut(server) })

			blocked.Store(true)
			p := open(t, server.URL)
			p.expect("status of 403")
			p.expect("status of 503")
			p.expect("ERR_") // the browser logs the broken connection
			p.expect("MIME type")
			const asks = `document.getElementById('state').textContent === 'running' && document.getElementById('link').textContent === `
			p.until("it says that it asks", asks+quote(obstacle.link))
			w.Send(t, w.QueueURL, "order-17", nil)
			p.until("the outcome is shown", `document.querySelector('#outcomes tbody .name')?.textContent === 'order-17'`)
			p.until("the charts are drawn", `Number(document.querySelector('#tile-handled .tile-plot').getAttribute('aria-valuemax')) > 0`)
			p.click("#pause")
			p.until("its state is shown", `document.getElementById('state').textContent === 'paused'`)
			p.shoot("asking")
			p.click("#resume")

			blocked.Store(false)
			p.until("the stream is back", `document.getElementById('state').textContent === 'running' && document.getElementById('link').textContent === ''`)
			blocked.Store(true)
			server.CloseClientConnections()
			p.until("it asks again", asks+quote(obstacle.link))
			w.Send(t, w.QueueURL, "order-18", nil)
			p.until("the next outcome is shown", `document.querySelector('#outcomes tbody .name')?.textContent === 'order-18'`)
		})
	}
}

// Both with the stream and without it, the page shows that a worker is unreachable.
func testWorkerGone(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{})
	var gone atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if gone.Load() && strings.HasPrefix(r.URL.Path, "/api/") {
			panic(http.ErrAbortHandler)
		}
		w.Handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { shut(server) })
	p := open(t, server.URL)
	p.expect("ERR_")
	p.until("it runs", `document.getElementById('state').textContent === 'running'`)
	gone.Store(true)
	server.CloseClientConnections()
	p.until("it is unreachable", `document.getElementById('state').textContent === 'unreachable' && document.getElementById('link').textContent === 'reconnecting…'`)
	// That stays while the page tries both.
	eval[bool](p, `(window.asked = performance.getEntriesByType('resource').filter(e => e.name.endsWith('/status')).length, true)`)
	p.until("it has asked twice", `performance.getEntriesByType('resource').filter(e => e.name.endsWith('/status')).length >= window.asked + 2`)
	if got := p.text("#state"); got != "unreachable" {
		t.Errorf("the state is %q", got)
	}
	gone.Store(false)
	p.until("it is back", `document.getElementById('state').textContent === 'running' && document.getElementById('link').textContent === ''`)
}

// shut closes a server with its open streams.
func shut(s *httptest.Server) {
	s.CloseClientConnections()
	s.Close()
}
