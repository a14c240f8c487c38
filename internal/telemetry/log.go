package telemetry

import (
	"context"
	"log/slog"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxMessages bounds the messages with log fields. A message's last log line follows soon after its
// end.
const maxMessages = 8192

// logFields are the fields that a log line about a message gets.
type logFields struct {
	attempt int
	fence   int64
	traceID string
}

// messages holds the log fields of the latest messages, by message ID.
type messages struct {
	mu     sync.Mutex
	latest *simplelru.LRU[string, logFields] // guarded by mu
}

func (m *messages) init() {
	m.latest, _ = simplelru.NewLRU[string, logFields](maxMessages, nil) // fails only for a size below 1
}

// begin sets the fields for a message's later log lines.
func (m *messages) begin(id string, fields logFields) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest.Add(id, fields)
}

// get returns the fields for a message's log lines.
func (m *messages) get(id string) (logFields, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latest.Get(id)
}

// LogHandler adds attempt, fence and trace_id to lines with a message_id, unless the line has them.
func (t *Telemetry) LogHandler(next slog.Handler) slog.Handler {
	return &logHandler{Handler: next, messages: &t.messages}
}

type logHandler struct {
	slog.Handler
	messages *messages
	with     []slog.Attr // from WithAttrs, outside any group
	grouped  bool        // later fields are in a group, where a message_id has another meaning
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
