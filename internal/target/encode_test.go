package target

import (
	"strconv"
	"strings"
	"testing"
)

func TestEncode(t *testing.T) {
	t.Run("header value is plain where it can be", testHeaderValueIsPlainWhereItCanBe)
	t.Run("structured string is quoted and escaped", testStructuredStringIsQuotedAndEscaped)
}

func testHeaderValueIsPlainWhereItCanBe(t *testing.T) {
	for in, want := range map[string]string{
		"":              "",
		"order-17":      "order-17",
		"a b~!":         "a b~!",
		"100%":          "100%",
		"5% off":        "5% off",
		"100%é":         "100%25%C3%A9",
		"%41":           "%2541",
		"%4":            "%4",
		"%zz":           "%zz",
		"%%41":          "%25%2541",
		"a\tb":          "a%09b",
		"\x00\x7f\xff":  "%00%7F%FF",
		" ":             "%20",
		" a%b ":         "%20a%25b%20",
		"日本":            "%E6%97%A5%E6%9C%AC",
		`quote " and \`: `quote " and \`,
	} {
		if got := headerValue(in); got != want {
			t.Errorf("headerValue(%q) = %q, want %q", in, got, want)
		}
	}
}

func testStructuredStringIsQuotedAndEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"":         `""`,
		"order-17": `"order-17"`,
		` a `:      `" a "`,
		`a"b\c`:    `"a\"b\\c"`,
		`é"`:       `"%C3%A9\""`,
		"%41":      `"%2541"`,
	} {
		if got := structuredString(in); got != want {
			t.Errorf("structuredString(%q) = %s, want %s", in, got, want)
		}
	}
}

// percentDecode decodes like a receiver: every %XX is a byte, and all other text is unchanged.
func percentDecode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func FuzzHeaderValueCanBeDecoded(f *testing.F) {
	for _, s := range []string{"", "order-17", "100%", "%41", "%%41", "é%41", " x ", "  ", "%2", "a\r\nb", "\xff", `"\`, "% 41", "%+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		value := headerValue(s)
		if got := percentDecode(value); got != s {
			t.Errorf("headerValue(%q) = %q, decoded as %q", s, value, got)
		}
		if strings.TrimSpace(value) != value {
			t.Errorf("headerValue(%q) = %q loses its ends", s, value)
		}
		quoted := structuredString(s)
		for i := range len(quoted) {
			if !printable(quoted[i]) {
				t.Errorf("structuredString(%q) = %q is not printable", s, quoted)
			}
		}
		inner := strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(quoted[1 : len(quoted)-1])
		if got := percentDecode(inner); got != s {
			t.Errorf("structuredString(%q) = %s, decoded as %q", s, quoted, got)
		}
	})
}
