package main

import (
	"os/exec"
	"testing"
)

// Rapid writes the input of a failed property to testdata/rapid and replays it in later runs. The
// file is a stream of draws, whose meaning changes with the generator. Write a test of the case
// instead of keeping the file.
func TestTracked(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files", ":(glob)**/testdata/rapid/**").Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) > 0 {
		t.Errorf("tracked:\n%s", out)
	}
}
