package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var shownBy = regexp.MustCompile("`([^`]+)`")

// TestTraps checks that the scenario files and tests in DESIGN.md's list of traps exist.
func TestTraps(t *testing.T) {
	text, err := os.ReadFile("../../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## 9. What bites\n")
	if !found {
		t.Fatal("DESIGN.md has no section 9, What bites")
	}
	rows, scenarios := 0, make(map[string]bool)
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 4 || strings.HasPrefix(cells[1], "-") || strings.TrimSpace(cells[2]) == "shown by" {
			continue
		}
		rows++
		proofs := shownBy.FindAllStringSubmatch(cells[2], -1)
		if len(proofs) == 0 {
			t.Errorf("nothing shows %q", strings.TrimSpace(cells[1]))
		}
		for _, p := range proofs {
			if strings.HasSuffix(p[1], ".txt") {
				scenarios[p[1]] = true
			} else {
				wantTest(t, p[1])
			}
		}
	}
	files, err := filepath.Glob("../../dedupe/protocol/testdata/*.txt")
	if err != nil || rows < 20 || len(files) < 20 {
		t.Errorf("%d traps and %d scenario files, want 20 of each: %v", rows, len(files), err)
	}
	for _, f := range files {
		if !scenarios[filepath.Base(f)] {
			t.Errorf("%s shows no trap of DESIGN.md", filepath.Base(f))
		}
		delete(scenarios, filepath.Base(f))
	}
	for name := range scenarios {
		t.Errorf("DESIGN.md names %s, which is not in dedupe/protocol/testdata", name)
	}
}

// wantTest fails the test unless the package has the named test, package.Test or package.Test/sub.
func wantTest(t *testing.T, name string) {
	t.Helper()
	dir, test, _ := strings.Cut(name, ".")
	test, sub, _ := strings.Cut(test, "/")
	files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, body, found := strings.Cut(string(text), "\nfunc "+test+"(t *testing.T) {")
		if found && (sub == "" || strings.Contains(body, "t.Run("+strconv.Quote(sub)+", ")) {
			return
		}
	}
	t.Errorf("DESIGN.md names %s, which is no test", name)
}
