package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStale(t *testing.T) {
	root := t.TempDir()
	file := func(name string, age time.Duration) {
		path := filepath.Join(root, name)
		at := time.Now().Add(-age)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range sources {
		file(filepath.Join(dir, "a.go"), time.Hour)
	}
	file("cmd/worker/b_test.go", 0) // is not in the binary
	for name, tc := range map[string]struct {
		age  time.Duration // of the binary; 0: there is none
		want string
	}{
		"no binary": {0, ""},
		"newer":     {time.Minute, ""},
		"older":     {2 * time.Hour, "dist/arm64/worker is older than"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.age > 0 {
				file("dist/arm64/worker", tc.age)
			}
			got, err := stale(root, "arm64")
			if err != nil || !strings.HasPrefix(got, tc.want) || (got == "") != (tc.want == "") {
				t.Errorf("got %q, %v", got, err)
			}
			_ = os.RemoveAll(filepath.Join(root, "dist"))
		})
	}
}
