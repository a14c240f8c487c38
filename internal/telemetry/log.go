package telemetry

import (
	"context"
	"log/slog"
	"sync"
)

// keptFlights bounds what is known for log lines: two notes of most messages. A
// message's last line comes soon after its end.
const keptFlights = 8192

// flight is what is known of a message that is or was lately at work here.
type flight struct {
	attempt int
	fence   int64
	traceID string
}

// flights are the latest messages. Every message is noted, and few are asked
// about, so that it is the asking that has to look for them.
type flights struct {
	mu     sync.Mutex
	latest []noted // guarded by mu; at most keptFlights, the oldest at next once it is full
	next   int     // guarded by mu
}

// noted is a message with what is known of it.
type noted struct {
	id string
	flight
}

// note remembers what is known of a message now.
func (f *flights) note(id string, known flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.latest) < keptFlights {
		f.latest = append(f.latest, noted{id, known})
		return
	}
	f.latest[f.next] = noted{id, known}
	f.next = (f.next + 1) % keptFlights
}

// get returns what was noted last of a message, if it is among the latest.
func (f *flights) get(id string) (flight, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.latest {
		if n := &f.latest[(f.next+len(f.latest)-1-i)%len(f.latest)]; n.id == id {
			return n.flight, true
		}
	}
	return flight{}, false
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
