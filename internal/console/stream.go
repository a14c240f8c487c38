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
	maxPages      = 200              // open streams; each costs a connection
	keptPages     = 20               // of these, for visitors who may act
	writePatience = 10 * time.Second // what one write may take before a page is given up
)

// pages counts the open streams.
type pages struct{ n atomic.Int64 }

// enter counts a stream, unless there are too many. Visitors who may only look leave some
// to those who may act.
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

// getStream sends what is on the page as server-sent events: the history once,
// then each section when it has changed, at most once a second, until the page
// goes away or the worker closes.
func (c *panel) getStream(w http.ResponseWriter, r *http.Request) {
	if !c.pages.enter(c.access.visitorOf(r).mayAct()) {
		w.Header().Set("Retry-After", "10")
		problem(w, http.StatusServiceUnavailable, "too many open pages")
		return
	}
	defer c.pages.leave()
	var fetching sync.WaitGroup
	defer fetching.Wait()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()

	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // it would end the stream; a server without deadlines has none to lift
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	var out bytes.Buffer
	out.WriteString("retry: 2000\n\n")

	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	var sent [sections]int64 // none yet: versions begin at 1
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
		_ = control.SetWriteDeadline(time.Now().Add(writePatience)) // as above
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

// appendEvent appends one server-sent event. data has no line break.
func appendEvent(out *bytes.Buffer, name string, data []byte) {
	out.WriteString("event: ")
	out.WriteString(name)
	out.WriteString("\ndata: ")
	out.Write(data)
	out.WriteString("\n\n")
}

// getStatus answers once with everything that the stream sends: the frame of
// the open pages, or while there is none, what holds now.
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
		return // the visitor has gone
	}
	all := map[string]json.RawMessage{"history": f.history()}
	for i, data := range f.data {
		all[sectionNames[i]] = data
	}
	answer(w, all)
}

// depths is the last answer of the queues.
type depths struct {
	mu   sync.Mutex
	last Depths
	at   time.Time // when it was asked for
	busy bool      // somebody asks
}

func (d *depths) read() Depths {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// refreshDepths asks the queues again when the last answer is old and nobody
// else asks, in a goroutine that the caller joins.
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
			d.at = time.Time{} // the page went away meanwhile; the next one asks
			return
		}
		d.last = got
	})
}

// getDepths answers with the queue's depth, where there is no worker to tell of.
func (c *panel) getDepths(w http.ResponseWriter, r *http.Request) {
	var fetching sync.WaitGroup
	c.refreshDepths(r.Context(), &fetching)
	fetching.Wait()
	answer(w, map[string]any{"status": map[string]any{"now": time.Now().UnixMilli(), "queue": c.depths.read()}})
}
