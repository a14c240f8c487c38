package telemetry

import (
	"context"
	"log/slog"
	"sync"
)

// keptFlights bounds what is known for log lines. A message's last line comes
// soon after its end.
const keptFlights = 4096

// flight is what is known of a message that is or was lately at work here.
type flight struct {
	attempt int
	fence   int64
	traceID string
}

// flights are the latest messages, by id.
type flights struct {
	mu   sync.Mutex
	m    map[string]flight // guarded by mu
	ring []string          // guarded by mu; ids, the oldest at next once it is full
	next int               // guarded by mu
}

func (f *flights) note(id string, known flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = make(map[string]flight)
	}
	if _, there := f.m[id]; !there {
		if len(f.ring) < keptFlights {
			f.ring = append(f.ring, id)
		} else {
			delete(f.m, f.ring[f.next])
			f.ring[f.next] = id
			f.next = (f.next + 1) % keptFlights
		}
	}
	f.m[id] = known
}

func (f *flights) get(id string) (flight, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.m[id]
	return known, ok
}

// LogHandler adds to lines that carry a message_id what else is known of it:
// attempt, fence and trace_id, unless the line has them.
func (t *Telemetry) LogHandler(next slog.Handler) slog.Handler {
	return &logHandler{Handler: next, flights: &t.flights}
}

type logHandler struct {
	slog.Handler
	flights *flights
	with    []slog.Attr // of WithAttrs, outside any group
	grouped bool        // what follows is in a group, where message_id is another's
}

// Handle implements [slog.Handler].
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	var id string
	has := make(map[string]bool)
	look := func(a slog.Attr) bool {
		has[a.Key] = true
		if a.Key == "message_id" {
			id = a.Value.String()
		}
		return true
	}
	for _, a := range h.with {
		look(a)
	}
	if !h.grouped {
		r.Attrs(look)
	}
	known, ok := h.flights.get(id)
	if !ok || h.grouped {
		return h.Handler.Handle(ctx, r)
	}
	r = r.Clone()
	add := func(a slog.Attr, there bool) {
		if there && !has[a.Key] {
			r.AddAttrs(a)
		}
	}
	add(slog.Int("attempt", known.attempt), known.attempt > 0)
	add(slog.Int64("fence", known.fence), known.fence > 0)
	add(slog.String("trace_id", known.traceID), known.traceID != "")
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.Handler = h.Handler.WithAttrs(attrs)
	if !h.grouped {
		c.with = append(h.with[:len(h.with):len(h.with)], attrs...)
	}
	return &c
}

// WithGroup implements [slog.Handler].
func (h *logHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.Handler = h.Handler.WithGroup(name)
	c.grouped = c.grouped || name != ""
	return &c
}
