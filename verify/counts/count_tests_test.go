//go:build prose

package main

import "testing"

// testWords bounds the words in the name of a test function after "Test". A sentence belongs into
// the name of a subtest.
const testWords = 4

func TestTests(t *testing.T) {
	packages, err := count("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("names have two levels", func(t *testing.T) {
		for _, p := range packages {
			for _, f := range p.tests {
				if n := words(f.name) - 1; n > testWords {
					t.Errorf("%s: %s has %d words, want at most %d and a subtest", f.file, f.name, n, testWords)
				}
			}
		}
	})
	t.Run("functions are short", func(t *testing.T) {
		for _, p := range packages {
			for _, f := range p.long {
				if f.test {
					t.Errorf("%s: %s has %d lines, want at most %d", f.file, f.name, f.lines, longFunction)
				}
			}
		}
	})
}
