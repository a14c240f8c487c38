package telemetry

import (
	"context"
	"log/slog"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxMessages bounds the messages that log lines know of. A message's last line
// comes soon after its end.
const maxMessages = 8192

// logFields are what a log line says of a message.
type logFields struct {
	attempt int
	fence   int64
	traceID string
}

// messages are the log fields of the latest messages, by message id.
type messages struct {
	mu     sync.Mutex
	latest *simplelru.LRU[string, logFields] // guarded by mu
}

func (m *messages) init() {
	m.latest, _ = simplelru.NewLRU[string, logFields](maxMessages, nil) // fails only without a size
}

// begin sets the fields of a message's log lines from now on.
func (m *messages) begin(id string, fields logFields) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest.Add(id, fields)
}

// get returns the fields of a message's log lines.
func (m *messages) get(id string) (logFields, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latest.Get(id)
}

// LogHandler adds attempt, fence and trace_id to lines that carry a message_id,
// unless the line has them.
func (t *Telemetry) LogHandler(next slog.Handler) slog.Handler {
	return &logHandler{Handler: next, messages: &t.messages}
}

type logHandler struct {
	slog.Handler
	messages *messages
	with     []slog.Attr // of WithAttrs, outside any group
	grouped  bool        // what follows is in a group, where message_id is another's
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
	known, ok := h.messages.get(id)
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
