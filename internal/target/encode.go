package target

import (
	"fmt"
	"strings"
)

// headerValue turns any bytes into a header value. Printable ASCII is unchanged. Other bytes are
// percent-encoded, as are spaces at both ends, which the receiver would remove.
//
// Percent-decoding always returns s: if a byte is encoded, or if s contains text that looks like an
// encoded byte, every % is encoded, too.
func headerValue(s string) string {
	trimmed := strings.Trim(s, " ")
	if trimmed == s {
		return encode(s, false)
	}
	lead := strings.Index(s, trimmed) // 0 if there are only spaces
	return strings.Repeat("%20", lead) + encode(trimmed, true) + strings.Repeat("%20", len(s)-lead-len(trimmed))
}

// structuredString encodes s as a String of RFC 9651: in quotes, with quotes and backslashes
// escaped, and other bytes than printable ASCII percent-encoded.
func structuredString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(encode(s, false)) + `"`
}

// encode percent-encodes the bytes that are not printable ASCII. It encodes %, too, if s is
// ambiguous or with force.
func encode(s string, force bool) string {
	if !force && !ambiguous(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; printable(c) && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// ambiguous reports whether s contains a byte that must be encoded, or text that looks like an
// encoded byte.
func ambiguous(s string) bool {
	for i := range len(s) {
		if !printable(s[i]) {
			return true
		}
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			return true
		}
	}
	return false
}

func printable(c byte) bool { return c >= ' ' && c <= '~' }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// isToken reports whether s can be part of a header's name.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && !(c >= '0' && c <= '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
