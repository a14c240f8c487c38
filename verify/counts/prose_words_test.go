package main

import (
	"testing"
	"unicode"
)

func TestWords(t *testing.T) {
	for name, want := range map[string]int{"": 0, "Test": 1, "TestFIFO": 2, "TestFIFOHeads": 3, "TestRun_broken": 3, "TestHTTP2": 2, "TestAStop": 3} {
		if got := words(name); got != want {
			t.Errorf("%q has %d words, want %d", name, got, want)
		}
	}
}

// words counts the words of an identifier. A run of capitals is one word; its last letter begins
// the next word if a small letter follows.
func words(name string) (n int) {
	runes := []rune(name)
	for i, r := range runes {
		before, after := '_', '_'
		if i > 0 {
			before = runes[i-1]
		}
		if i+1 < len(runes) {
			after = runes[i+1]
		}
		switch {
		case unicode.IsUpper(r) && (!unicode.IsUpper(before) || unicode.IsLower(after)), unicode.IsLower(r) && before == '_':
			n++
		}
	}
	return n
}
