package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// The modules select the same versions of libraries that they share with the root module. A second
// version of a library is compiled again, with all that imports it. The libraries of
// deploy/kubernetes are those of Helm.
func TestVersions(t *testing.T) {
	const root = "../.."
	want := versions(t, root)
	nested, err := nestedModules(root)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, dir := range nested {
		if dir == filepath.Join("deploy", "kubernetes") {
			continue
		}
		for path, version := range versions(t, filepath.Join(root, dir)) {
			if want[path] == "" {
				continue
			}
			compared++
			if version != want[path] {
				t.Errorf("%s/go.mod: %s %s, want %s as in the root module", dir, path, version, want[path])
			}
		}
	}
	if compared == 0 {
		t.Error("no library is shared: this test shows nothing")
	}
}

// versions returns the version of each library that a go.mod requires, directly or not.
func versions(t *testing.T, dir string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = dir
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	var file struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	found := make(map[string]string)
	for _, r := range file.Require {
		found[r.Path] = r.Version
	}
	return found
}
