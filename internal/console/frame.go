package console

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"
)

const (
	frameTime    = time.Second // interval between frames of a page
	frameAge     = 900 * time.Millisecond
	shownFlights = 100
	shownOutputs = 50
	shownGroups  = 20
)

// The sections of a frame. Each is a separate event of the stream, and is sent only if it has
// changed.
const (
	sectionStatus = iota
	sectionPoints
	sectionFlights
	sectionOutcomes
	sectionFailures
	sections
)

var sectionNames = [sections]string{"status", "points", "flights", "outcomes", "failures"}

// frame is the content of the page at one time.
type frame struct {
	at       time.Time
	data     [sections][]byte // JSON
	versions [sections]int64  // incremented when the data changes
	history  func() []byte    // all points as JSON, computed at the first call
}

// frames shares a frame between all callers of the same time.
type frames struct {
	mu      sync.Mutex
	current *frame        // guarded by mu; immutable after it is set
	working chan struct{} // guarded by mu; closed when the frame under construction is complete
}

// frame returns a frame made at or after since, which must not be in the future. One goroutine
// makes it while the others wait. It returns nil if ctx ends first.
func (c *panel) frame(ctx context.Context, since time.Time) *frame {
	f := &c.frames
	for {
		f.mu.Lock()
		now := time.Now()
		if f.current != nil && !f.current.at.Before(since) {
			defer f.mu.Unlock()
			return f.current
		}
		if f.working == nil {
			f.working = make(chan struct{})
			previous := f.current
			f.mu.Unlock()
			return c.makeFrame(previous, now)
		}
		working := f.working
		f.mu.Unlock()
		select {
		case <-working:
		case <-ctx.Done():
			return nil
		}
	}
}

// makeFrame makes the frame for which the others wait.
func (c *panel) makeFrame(previous *frame, now time.Time) *frame {
	next := &frame{at: now, history: sync.OnceValue(func() []byte {
		return encode(c.queue.History.points(time.Now(), bucketCount))
	})}
	made := false
	defer func() {
		c.frames.mu.Lock()
		defer c.frames.mu.Unlock()
		if made {
			c.frames.current = next
		}
		close(c.frames.working)
		c.frames.working = nil
	}()
	for i, v := range c.look(now) {
		next.data[i] = encode(v)
		if previous != nil {
			next.versions[i] = previous.versions[i]
		}
		if previous == nil || !bytes.Equal(previous.data[i], next.data[i]) {
			next.versions[i]++
		}
	}
	made = true
	return next
}

// look collects the content of the page.
func (c *panel) look(now time.Time) [sections]any {
	h := c.queue.History
	snap := c.queue.Pool.Snapshot(shownFlights)
	status := Status{Now: now.UnixMilli(), Snapshot: snap, Depths: c.depths.read(), Figures: h.figures(now), LastPoll: epoch(snap.LastPoll)}
	if len(snap.Flights) > 0 {
		status.Oldest = max(0, round(now.Sub(snap.Flights[0].Received).Seconds()))
	}
	if c.cfg.Protection != nil {
		status.Protection = c.cfg.Protection()
	}
	if c.queue.Suspicion != nil {
		status.Suspicion = c.queue.Suspicion()
	}
	status.Backlog, status.ToDrain = toDrain(status.Depths, status.Figures.Ended)
	h.gauge(now, gaugeReading{
		oldest:  time.Duration(status.Oldest * float64(time.Second)),
		visible: orUnknown(status.Depths.Visible), hidden: orUnknown(status.Depths.Hidden),
		delayed: orUnknown(status.Depths.Delayed), dl: orUnknown(status.Depths.Dead),
	})
	flights, messages := h.flightRows(snap.Flights)
	status.Messages = messages
	groups := h.groups()
	return [sections]any{
		sectionStatus:   status,
		sectionPoints:   h.points(now, 2),
		sectionFlights:  flights,
		sectionOutcomes: h.recent(shownOutputs),
		sectionFailures: groups[:min(len(groups), shownGroups)],
	}
}

// Status is the state of the worker at one time.
type Status struct {
	Now int64 `json:"now"` // epoch ms
	Snapshot
	Messages   int      `json:"messages"`  // messages in this worker
	LastPoll   int64    `json:"last_poll"` // epoch ms; 0: none yet
	Oldest     float64  `json:"oldest"`    // seconds since the receive of the oldest message
	Depths     Depths   `json:"queue"`
	Backlog    *int64   `json:"backlog"`    // visible and delayed messages
	ToDrain    *float64 `json:"to_drain"`   // seconds to empty the backlog at this worker's last rate; may be null
	Protection string   `json:"protection"` // scale-in protection; empty: none
	Suspicion  string   `json:"suspicion"`  // answer for which the target is suspect; empty: it is not
	Figures    Figures  `json:"figures"`
}

// toDrain returns the backlog, which all workers share, and the seconds that this worker alone
// needs for it at its rate per second.
func toDrain(d Depths, rate float64) (backlog *int64, seconds *float64) {
	if d.Visible == nil {
		return nil, nil
	}
	waiting := *d.Visible
	if d.Delayed != nil {
		waiting += *d.Delayed
	}
	switch {
	case waiting == 0:
		return &waiting, new(0.0)
	case rate <= 0:
		return &waiting, nil
	default:
		return &waiting, new(round(float64(waiting) / rate))
	}
}

// FlightRow is a message in this worker.
type FlightRow struct {
	Name        string `json:"name"`
	ID          string `json:"id"`
	Phase       string `json:"phase"`
	Receive     int    `json:"receive"`
	LastReceive bool   `json:"last_receive"`
	WaitsFor    string `json:"waits_for,omitempty"` // id of the message whose attempt holds the name
	Attempt     int    `json:"attempt,omitempty"`   // number of its attempt under way
	Fence       int64  `json:"fence,omitempty,string"`
	Received    int64  `json:"received"`              // epoch ms
	VisibleAt   int64  `json:"visible_at,omitempty"`  // epoch ms, unless extended
	LeaseUntil  int64  `json:"lease_until,omitempty"` // epoch ms, unless renewed
}

// flightRows combines the pool's and the guard's data of the messages in the worker, and returns
// the total number. A message in a slot waits if another message's attempt holds its name.
func (h *History) flightRows(flights []Flight) ([]FlightRow, int) {
	rows := make([]FlightRow, len(flights))
	holders := make(map[string]string) // message ids by name
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range h.guarded.Keys() {
		if g, _ := h.guarded.Peek(id); g.attempt != (hold{}) {
			holders[g.name] = id
		}
	}
	for i, f := range flights {
		name := f.Name
		g, known := h.guarded.Peek(f.ID)
		if known {
			name = g.name
		}
		rows[i] = FlightRow{
			Name: clip(name, maxNameKept), ID: clip(f.ID, maxIDShown), Phase: f.Phase, Receive: f.ReceiveCount, LastReceive: f.LastReceive,
			Received: epoch(f.Received), VisibleAt: epoch(f.VisibleAt),
		}
		if f.Phase != phaseRunning {
			continue
		}
		holder := holders[name]
		switch {
		case known && g.attempt != (hold{}):
			rows[i].Attempt, rows[i].Fence, rows[i].LeaseUntil = g.attempt.attempt, g.attempt.fence, epoch(g.attempt.until)
		case holder != "" && holder != f.ID:
			rows[i].Phase, rows[i].WaitsFor = phaseWaiting, clip(holder, maxIDShown)
		}
	}
	return rows, max(h.inFlight, len(flights))
}

// Phases of a message in a slot.
const (
	phaseRunning = "running"
	phaseWaiting = "waiting" // for another message's attempt
)

// recent returns the last n outcomes, newest first.
func (h *History) recent(n int) []Outcome {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.outcomes.newest(n)
}

func orUnknown(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}

// epoch returns t in epoch milliseconds; 0 for the zero time.
func epoch(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// encode returns v as JSON on one line, in which markup is escaped.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return []byte("null") // cannot happen: all types can be encoded
	}
	return data
}
