package producercmd

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// cleanWriter writes text that a terminal cannot take for orders: what came from
// messages, records or another server is data. Line breaks and tabs stay.
type cleanWriter struct {
	w    io.Writer
	rest []byte // the beginning of a character
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
	if _, err := io.WriteString(c.w, clean(string(text[:end]), "\n\t")); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Stat lets what is written to be told from a terminal; see isTerminal.
func (c *cleanWriter) Stat() (fs.FileInfo, error) {
	if f, ok := c.w.(interface{ Stat() (fs.FileInfo, error) }); ok {
		return f.Stat()
	}
	return nil, fs.ErrInvalid
}

// raw is the writer behind a cleanWriter, for what writes orders to the terminal
// itself, and cleans what it shows: a progress bar and the log.
func raw(w io.Writer) io.Writer {
	if c, ok := w.(*cleanWriter); ok {
		return c.w
	}
	return w
}

// printable is s on one line.
func printable(s string) string { return clean(s, "") }

// clean returns s with all that is not a visible character or a blank written as
// \uXXXX, or \xXX for a byte that is no UTF-8: control characters (C0, C1), orders
// about the direction of text, and what has no width. The characters of keep stay.
// In the strings of a JSON document the result means the same.
func clean(s, keep string) string {
	safe := func(r rune) bool { return unicode.IsPrint(r) || strings.ContainsRune(keep, r) }
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			_, _ = fmt.Fprintf(&b, `\x%02x`, s[i])
		case safe(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			_, _ = fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			_, _ = fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// shorten is s on one line of at most n characters: its middle is left out, so that
// texts that differ only at their ends stay apart.
func shorten(s string, n int) string {
	r := []rune(printable(strings.Join(strings.Fields(s), " ")))
	if len(r) <= n {
		return string(r)
	}
	tail := (n - 1) / 3
	return string(r[:n-1-tail]) + "…" + string(r[len(r)-tail:])
}
