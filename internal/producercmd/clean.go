package producercmd

import (
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/sqsonce/sqsonce/internal/visible"
)

// cleanWriter escapes control sequences, because text from messages, records and other servers
// could otherwise control the terminal. It keeps line feeds and tabs.
type cleanWriter struct {
	w    io.Writer
	rest []byte // the beginning of an incomplete character
}

// Write implements [io.Writer].
func (c *cleanWriter) Write(b []byte) (int, error) {
	text := append(c.rest, b...)
	end := len(text)
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if at := len(text) - n; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				end = at
			}
			break
		}
	}
	c.rest = append([]byte(nil), text[end:]...)
	if _, err := io.WriteString(c.w, visible.Text(string(text[:end]), "\n\t")); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Stat returns the information of the file behind it; see [awsenv.IsTerminal].
func (c *cleanWriter) Stat() (fs.FileInfo, error) {
	if f, ok := c.w.(interface{ Stat() (fs.FileInfo, error) }); ok {
		return f.Stat()
	}
	return nil, fs.ErrInvalid
}

// raw returns the writer behind a cleanWriter. The progress line and the log need it: they write
// control sequences of their own, and clean the text that they show.
func raw(w io.Writer) io.Writer {
	if c, ok := w.(*cleanWriter); ok {
		return c.w
	}
	return w
}

// printable returns s on one line, with control characters escaped.
func printable(s string) string { return visible.Text(s, "") }

// shorten returns s on one line of at most n characters. It cuts the middle out, so that texts that
// differ only at their ends stay distinct.
func shorten(s string, n int) string {
	r := []rune(printable(strings.Join(strings.Fields(s), " ")))
	if len(r) <= n {
		return string(r)
	}
	tail := (n - 1) / 3
	return string(r[:n-1-tail]) + "…" + string(r[len(r)-tail:])
}
