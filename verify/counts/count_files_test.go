package main

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// testKinds are the first words of test files that have no file under test: support code, and tests
// that hold a whole package to something else.
var testKinds = []string{"helpers", "bench", "example", "conformance", "contract", "differential"}

// TestFiles checks that a test file is named after the file under test, or after its package, or
// after a kind of test. A subject may follow: fifo_test.go and fifo_lanes_test.go test fifo.go.
func TestFiles(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files", "*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	code, tests := make(map[string][]string), make(map[string][]string) // by folder, without .go or _test.go
	for file := range strings.Lines(string(out)) {
		dir, base := path.Split(strings.TrimSpace(file))
		base, isTest := strings.CutSuffix(strings.TrimSuffix(base, ".go"), "_test")
		if isTest {
			tests[dir] = append(tests[dir], base)
		} else if base != "doc" {
			code[dir] = append(code[dir], base)
		}
	}
	for dir, files := range tests {
		if len(code[dir]) == 0 {
			continue // tests alone: each file is named after its subject
		}
		subjects := slices.Concat(code[dir], testKinds, []string{path.Base(dir)})
		for _, file := range files {
			if !slices.ContainsFunc(subjects, func(s string) bool { return file == s || strings.HasPrefix(file, s+"_") }) {
				t.Errorf("%s%s_test.go is named after no file of its package, nor a kind of test %q", dir, file, testKinds)
			}
		}
	}
}
