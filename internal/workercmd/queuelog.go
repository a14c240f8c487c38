package workercmd

import (
	"context"
	"log/slog"
)

// queueField is the field of a log line with the name of its queue, if there are several.
const queueField = "queue"

// queueLog handles the log lines of one queue among several. The handler inside adds the field
// queue with its name. Lines about an address have a field queue as well, and readers of JSON take
// the last of two equal names: that one becomes queue_url.
type queueLog struct {
	slog.Handler
	name string
}

// Handle implements [slog.Handler].
func (l queueLog) Handle(ctx context.Context, r slog.Record) error {
	own := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		own.AddAttrs(l.renamed(a)...)
		return true
	})
	return l.Handler.Handle(ctx, own)
}

// WithAttrs implements [slog.Handler].
func (l queueLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	var own []slog.Attr
	for _, a := range attrs {
		own = append(own, l.renamed(a)...)
	}
	return queueLog{l.Handler.WithAttrs(own), l.name}
}

// WithGroup implements [slog.Handler].
func (l queueLog) WithGroup(name string) slog.Handler {
	return queueLog{l.Handler.WithGroup(name), l.name}
}

// renamed returns a field under its name in the log; none if it repeats the queue's name.
func (l queueLog) renamed(a slog.Attr) []slog.Attr {
	switch {
	case a.Key != queueField:
	case a.Value.String() == l.name:
		return nil
	default:
		a.Key += "_url"
	}
	return []slog.Attr{a}
}
