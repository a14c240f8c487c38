package main

import (
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPackages checks that each folder with Go code has a package comment, and that section 2 of
// DESIGN.md lists it, or the folder above it, and no folder that does not exist.
func TestPackages(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files", "*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	folders := make(map[string]bool) // and whether they have a package comment
	comment := regexp.MustCompile(`(?m)^// (Package|Command) \w+ `)
	for file := range strings.Lines(string(out)) {
		file = strings.TrimSpace(file)
		if strings.Contains(file, "/testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		folder := path.Dir(file)
		folders[folder] = folders[folder] || comment.Match(text)
	}
	listed := listedFolders(t)
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if !folders[folder] && !testsAlone(t, folder) {
			t.Errorf("%s has no package comment", folder)
		}
		above := folder
		for above != "." && !listed[above] {
			above = path.Dir(above)
		}
		if above == "." && folder != "." {
			t.Errorf("section 2 of DESIGN.md does not list %s", folder)
		}
	}
	for folder := range listed {
		if files, err := os.ReadDir(filepath.Join("../..", folder)); err != nil || len(files) == 0 {
			t.Errorf("section 2 of DESIGN.md lists %s: %v", folder, err)
		}
	}
}

// listedFolders returns the folders in the first column of the tables in section 2 of DESIGN.md.
func listedFolders(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## 2. The packages\n")
	section, _, ends := strings.Cut(section, "\n## ")
	if !found || !ends {
		t.Fatal("DESIGN.md has no section 2, The packages")
	}
	listed := make(map[string]bool)
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, name := range shownBy.FindAllStringSubmatch(cells[1], -1) {
				listed[name[1]] = true
			}
		}
	}
	delete(listed, "sqsonce") // the root
	return listed
}

// testsAlone reports whether a folder has tests, and no code that they test.
func testsAlone(t *testing.T, folder string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
}
