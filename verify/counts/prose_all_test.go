//go:build prose

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// tracked lists the tracked files to which the rules of prose apply.
func tracked(t *testing.T) (paths []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.Lines(string(out)) {
		if path = strings.TrimSpace(path); hasProse(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// TestProse checks Markdown and comments against the rules in CONTRIBUTING.md.
func TestProse(t *testing.T) {
	paths := tracked(t)
	if len(paths) < 100 {
		t.Fatalf("%d files with prose, want the whole repository", len(paths))
	}
	for _, path := range paths {
		p, err := readProse("../..", path)
		if os.IsNotExist(err) {
			continue // deleted but still in the index
		}
		if err != nil {
			t.Fatal(err)
		}
		if problems := p.problems(isGuide(path)); len(problems) > 0 {
			t.Errorf("%s:\n  %s", path, strings.Join(problems, "\n  "))
		}
	}
}
