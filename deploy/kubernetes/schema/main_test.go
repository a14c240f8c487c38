package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestSchemas: the files are those that the pinned modules give.
func TestSchemas(t *testing.T) {
	files, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "schemas", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from the output of go run ./schema: %v", name, err)
		}
	}
	found, err := filepath.Glob("../schemas/*.json")
	if err != nil || len(found) != len(files) {
		t.Errorf("%d files are written, %d are there: %v", len(files), len(found), err)
	}
}
