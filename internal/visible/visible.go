// Package visible makes foreign text safe to print: on a terminal it could otherwise be a command,
// begin a line of its own, or reverse the direction of the text around it.
package visible

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text escapes all characters of s that are neither visible nor a space, as \uXXXX, and bytes that
// are not UTF-8 as \xXX. These are control characters (C0, C1), directional formatting characters,
// and characters without width. It keeps the characters of keep. An escape in a string of a JSON
// document means the same character.
func Text(s, keep string) string {
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
