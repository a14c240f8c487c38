package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxPages      = 200              // open streams; each uses a connection
	keptPages     = 20               // those reserved for visitors who may act
	writePatience = 10 * time.Second // timeout of one write to a page
)

// pages counts the open streams.
type pages struct{ n atomic.Int64 }

// enter counts a stream; false if there are too many. Some are reserved for visitors who may act.
func (p *pages) enter(mayAct bool) bool {
	most := int64(maxPages)
	if !mayAct {
		most -= keptPages
	}
	if p.n.Add(1) <= most {
		return true
	}
	p.n.Add(-1)
	return false
}

func (p *pages) leave() { p.n.Add(-1) }

// getStream sends the content of the page as server-sent events: the history once, then each
// changed section, at most once a second, until the client closes the connection or the worker
// ends.
func (c *panel) getStream(w http.ResponseWriter, r *http.Request) {
	if !c.pages.enter(c.access.visitorOf(r).mayAct()) {
		w.Header().Set("Retry-After", "10")
		problem(w, http.StatusServiceUnavailable, "too many pages are open")
		return
	}
	defer c.pages.leave()
	var fetching sync.WaitGroup
	defer fetching.Wait()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()

	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the deadline would end the stream; fails for a server without deadlines
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	var out bytes.Buffer
	out.WriteString("retry: 2000\n\n")

	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	var sent [sections]int64 // none; versions start at 1
	for {
		c.refreshDepths(ctx, &fetching)
		f := c.frame(ctx, time.Now().Add(-frameAge))
		if f == nil {
			return
		}
		if sent[sectionStatus] == 0 {
			appendEvent(&out, "history", f.history())
		}
		for i, version := range f.versions {
			if version != sent[i] {
				appendEvent(&out, sectionNames[i], f.data[i])
				sent[i] = version
			}
		}
		_ = control.SetWriteDeadline(time.Now().Add(writePatience)) // fails for a server without deadlines
		if _, err := out.WriteTo(w); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		case <-c.cfg.Closing:
			return
		}
	}
}

// appendEvent appends a server-sent event. data must not contain a line break.
func appendEvent(out *bytes.Buffer, name string, data []byte) {
	out.WriteString("event: ")
	out.WriteString(name)
	out.WriteString("\ndata: ")
	out.Write(data)
	out.WriteString("\n\n")
}

// getStatus answers once with the content of the stream: the frame of the open pages, or a new one.
func (c *panel) getStatus(w http.ResponseWriter, r *http.Request) {
	var fetching sync.WaitGroup
	c.refreshDepths(r.Context(), &fetching)
	fetching.Wait()
	since := time.Now()
	if c.pages.n.Load() > 0 {
		since = since.Add(-frameAge)
	}
	f := c.frame(r.Context(), since)
	if f == nil {
		return // the client has gone
	}
	all := map[string]json.RawMessage{"history": f.history()}
	for i, data := range f.data {
		all[sectionNames[i]] = data
	}
	answer(w, all)
}

// depths holds the latest numbers of the queues.
type depths struct {
	mu   sync.Mutex
	last Depths
	at   time.Time // time of the request
	busy bool      // a request is under way
}

func (d *depths) read() Depths {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// refreshDepths requests the numbers in a goroutine if they are old and no request is under way.
// The caller joins it.
func (c *panel) refreshDepths(ctx context.Context, fetching *sync.WaitGroup) {
	if c.queue.Queue == nil {
		return
	}
	d := &c.depths
	d.mu.Lock()
	due := !d.busy && time.Since(d.at) >= depthAge
	if due {
		d.busy, d.at = true, time.Now()
	}
	d.mu.Unlock()
	if !due {
		return
	}
	fetching.Go(func() {
		got := c.askDepths(ctx)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.busy = false
		if ctx.Err() != nil {
			d.at = time.Time{} // the page has closed meanwhile; the next one asks again
			return
		}
		d.last = got
	})
}

// getDepths answers with the depth of the queue, for a process without a pool.
func (c *panel) getDepths(w http.ResponseWriter, r *http.Request) {
	var fetching sync.WaitGroup
	c.refreshDepths(r.Context(), &fetching)
	fetching.Wait()
	answer(w, map[string]any{"status": map[string]any{"now": time.Now().UnixMilli(), "queue": c.depths.read()}})
}
