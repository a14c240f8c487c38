package awsenv

import (
	"io"
	"io/fs"
	"log/slog"
)

// Logger returns a logger that writes lines of at least the given level to w.
// Format is "json", "text", or "auto" (the default for anything else): text
// when w is a terminal, JSON otherwise.
func Logger(w io.Writer, format string, level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "text" || format != "json" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// isTerminal reports whether w is a file that is a character device, which is
// what a terminal is and what neither a pipe nor a log file is.
func isTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}
