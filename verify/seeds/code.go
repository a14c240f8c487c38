package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"go/scanner"
	"go/token"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// codeOf hashes what is compiled into the tests of package sim: the sources of this repository
// without comments, the versions of libraries, and the release of Go.
func codeOf(ctx context.Context, tags ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-test", "-json", "-tags", strings.Join(tags, ","), "./sim") //nolint:gosec // fixed tags
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go list ./sim: %w", err)
	}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, runtime.Version(), tags)
	seen := make(map[string]bool)
	for list := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p compiled
		if err := list.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("go list ./sim: %w", err)
		}
		if p.Module == nil || seen[p.ImportPath] {
			continue // of Go itself
		}
		seen[p.ImportPath] = true
		if err := p.add(sum); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:6]), nil
}

// compiled is a package as go list prints it.
type compiled struct {
	Dir, ImportPath, ForTest         string
	GoFiles, TestGoFiles, EmbedFiles []string
	Module                           *struct{ Path, Version string }
}

func (p compiled) add(sum hash.Hash) error {
	if p.Module.Version != "" && p.Module.Version != "v0.0.0" {
		_, _ = fmt.Fprintln(sum, p.ImportPath, p.Module.Version)
		return nil
	}
	files := slices.Concat(p.GoFiles, p.EmbedFiles)
	if strings.HasSuffix(p.ImportPath, "/verify/sim") {
		files = append(files, p.TestGoFiles...) // the tests of the packages that sim imports are not compiled
	}
	for _, name := range files {
		if filepath.IsAbs(name) {
			continue // the generated main of a test
		}
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return fmt.Errorf("hash code: %w", err)
		}
		_, _ = fmt.Fprintln(sum, p.ImportPath, name)
		if filepath.Ext(name) != ".go" {
			_, _ = sum.Write(text)
			continue
		}
		addTokens(sum, text)
	}
	return nil
}

// addTokens hashes Go source without comments and blanks.
func addTokens(sum io.Writer, text []byte) {
	var s scanner.Scanner
	files := token.NewFileSet()
	s.Init(files.AddFile("", files.Base(), len(text)), text, nil, 0)
	for {
		_, tok, literal := s.Scan()
		if tok == token.EOF {
			return
		}
		_, _ = fmt.Fprintln(sum, tok, literal)
	}
}
