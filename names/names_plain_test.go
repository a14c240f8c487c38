package names

import (
	"bytes"
	"testing"
)

func TestPlain(t *testing.T) {
	t.Run("plain texts are those without escapes and control characters", testPlainTextsAreThoseWithoutEscapesAndControlCharacters)
}

func testPlainTextsAreThoseWithoutEscapesAndControlCharacters(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				text := bytes.Repeat([]byte{'x'}, length)
				text[at] = byte(c)
				if got, want := plain(text), c >= 0x20 && c != '\\'; got != want {
					t.Fatalf("%q: %t, want %t", text, got, want)
				}
				for _, other := range []byte{0x80, 0xff, 0x20, '"'} { // borrows go from byte to byte
					text[(at+1)%length] = other
					if at != (at+1)%length && plain(text) != (c >= 0x20 && c != '\\') {
						t.Fatalf("%q: %t", text, plain(text))
					}
				}
			}
		}
	}
}
