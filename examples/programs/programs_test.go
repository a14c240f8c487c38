package programs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// docs/library.md shows each program as it is, and no other code in Go.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/library.md")
	if err != nil {
		t.Fatal(err)
	}
	programs, err := filepath.Glob("*/main.go")
	if err != nil || len(programs) == 0 {
		t.Fatalf("programs %v, %v", programs, err)
	}
	for _, path := range programs {
		program, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, shown, ok := strings.Cut(string(program), "package main\n")
		if !ok || !strings.Contains(string(page), "```go\npackage main\n"+shown+"```\n") {
			t.Errorf("docs/library.md does not show examples/programs/%s as it is", path)
		}
	}
	if n := strings.Count(string(page), "```go\n"); n != len(programs) {
		t.Errorf("docs/library.md shows %d programs, want the %d of examples/programs", n, len(programs))
	}
}
