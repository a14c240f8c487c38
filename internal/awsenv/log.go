package awsenv

import (
	"bytes"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"

	"github.com/sqsonce/sqsonce/internal/visible"
)

// Logger returns a logger that writes lines of at least the given level to w. The format is "json",
// "text" (key=value) or "pretty" (for people). Any other value, such as "auto", means pretty if w
// is a terminal, and JSON otherwise. Durations are written like 1m30s.
func Logger(w io.Writer, format string, level slog.Level) *slog.Logger {
	terminal := IsTerminal(w)
	if format == "pretty" || terminal && format != "json" && format != "text" {
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !terminal}))
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	if format == "text" {
		return slog.New(slog.NewTextHandler(visibleLines{w}, opts))
	}
	return slog.New(slog.NewJSONHandler(visibleLines{w}, opts))
}

// visibleLines escapes the characters that could control a terminal and that the handlers of slog
// leave as they are: those of C1, DEL, and directional formatting characters.
type visibleLines struct{ io.Writer }

// Write implements [io.Writer]. line must be complete.
func (v visibleLines) Write(line []byte) (int, error) {
	if !bytes.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
		return v.Writer.Write(line)
	}
	_, err := io.WriteString(v.Writer, visible.Text(string(line), "\n"))
	return len(line), err
}

// readable writes durations like 1m30s instead of in nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}

// IsTerminal reports whether w is a character device. Terminals are; pipes and log files are not.
func IsTerminal(w any) bool {
	f, ok := w.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}
