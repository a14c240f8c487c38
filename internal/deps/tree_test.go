package deps

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestTree(t *testing.T) {
	t.Run("arrows", testTreeArrows)
	t.Run("packages with a rule", testTreeRules)
}

func testTreeArrows(t *testing.T) {
	for _, line := range violations(list(t)) {
		t.Error(line)
	}
}

// A rule about a package that does not exist would always hold.
func testTreeRules(t *testing.T) {
	pkgs := list(t)
	for _, path := range []string{"/consumer", "/dedupe", "/dedupe/dynamo", "/names", "", "/cmd/worker", "/cmd/producer"} {
		if !slices.ContainsFunc(pkgs, func(p pkg) bool { return p.ImportPath == module+path }) {
			t.Errorf("go list does not name %s%s", module, path)
		}
	}
}

// list returns every package of the module and all their dependencies.
func list(t *testing.T) []pkg {
	t.Helper()
	readDirectories(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", module+"/...")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for decoder := json.NewDecoder(stdout); ; {
		var p pkg
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("decode the answer of go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	return pkgs
}

// readDirectories opens the module's directories. go test caches results by the files that the test
// itself has opened, and would otherwise miss changes that only go list sees.
func readDirectories(t *testing.T) {
	t.Helper()
	elsewhere := []string{".git", ".local", "bin", "cdk.out", "dist", "infra", "node_modules"}
	root := filepath.Join("..", "..")
	if err := filepath.WalkDir(root, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && slices.Contains(elsewhere, entry.Name()) {
			return fs.SkipDir
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
