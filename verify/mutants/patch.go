package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// patch is one mutant: a unified diff below a header with its name and its test.
type patch struct {
	path  string   // of the patch file
	name  string   // first line: what is broken
	test  []string // arguments of go test, packages relative to the repository's root
	files []string // to break, relative to the repository's root
	head  string   // the text above diff
	diff  string
}

// readAll reads patch files, and all patches in folders.
func readAll(paths []string) (list []patch, err error) {
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(path, "*.patch")); err != nil || len(files) == 0 {
				return nil, fmt.Errorf("%s: no *.patch in this folder", path)
			}
		}
		for _, file := range files {
			p, err := read(file)
			if err != nil {
				return nil, err
			}
			list = append(list, p)
		}
	}
	return list, nil
}

// read reads a patch file.
func read(path string) (patch, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return patch{}, fmt.Errorf("read patch: %w", err)
	}
	p := patch{path: path}
	head, diff, ok := strings.Cut(string(text), "\n--- ")
	if !ok {
		return patch{}, fmt.Errorf("%s: no diff: want a line that starts with %q", path, "--- a/")
	}
	p.head, p.diff = head+"\n", "--- "+diff
	for line := range strings.Lines(head) {
		line = strings.TrimSpace(line)
		switch test, isTest := strings.CutPrefix(line, "test: "); {
		case isTest:
			p.test = strings.Fields(test)
		case p.name == "":
			p.name = line
		}
	}
	for line := range strings.Lines(p.diff) {
		if file, ok := strings.CutPrefix(line, "+++ b/"); ok {
			p.files = append(p.files, strings.TrimSpace(file))
		}
	}
	switch {
	case p.name == "":
		return patch{}, fmt.Errorf("%s: no name: want it in the first line", path)
	case len(p.test) == 0:
		return patch{}, fmt.Errorf("%s: no test: want a line %q above the diff", path, "test: ./PACKAGE -run REGEXP")
	case len(p.files) == 0:
		return patch{}, fmt.Errorf("%s: no file: want a line that starts with %q", path, "+++ b/")
	}
	return p, nil
}

// apply returns the broken text of each file of p.
func (p patch) apply(ctx context.Context, root string, flags ...string) (broken map[string]string, err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return nil, fmt.Errorf("apply patch: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := p.copyFiles(root, dir); err != nil {
		return nil, err
	}
	if _, err := git(ctx, dir, p.diff, append([]string{"apply"}, flags...)...); err != nil {
		return nil, fmt.Errorf("%s does not fit %s: %w", p.path, strings.Join(p.files, ", "), err)
	}
	broken = make(map[string]string)
	for _, file := range p.files {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return nil, fmt.Errorf("%s: the broken file: %w", p.path, err)
		}
		broken[file] = string(text)
	}
	return broken, nil
}

// copyFiles copies the unchanged files of p into a folder.
func (p patch) copyFiles(root, dir string) error {
	for _, file := range p.files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err == nil {
			err = writeFile(filepath.Join(dir, file), string(text))
		}
		if err != nil {
			return fmt.Errorf("%s: the file to break: %w", p.path, err)
		}
	}
	return nil
}

// refresh updates the surrounding lines of a patch, and reports whether they have changed.
func (p patch) refresh(ctx context.Context, root string) (changed bool, err error) {
	broken, err := p.apply(ctx, root, "-C0", "--recount")
	if err != nil {
		return false, fmt.Errorf("%w\nThe lines that it changes are gone: break the code by hand and write the patch again", err)
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return false, fmt.Errorf("refresh patch: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	err = p.copyFiles(root, filepath.Join(dir, "a"))
	for file, text := range broken {
		err = errors.Join(err, writeFile(filepath.Join(dir, "b", file), text))
	}
	if err != nil {
		return false, fmt.Errorf("refresh patch: %w", err)
	}
	diff, err := git(ctx, dir, "", "diff", "--no-index", "--no-prefix", "--no-color", "--no-ext-diff", "-U3", "a", "b")
	if diff == "" {
		return false, fmt.Errorf("%s changes nothing: %w", p.path, err)
	}
	if diff = withoutIndex(diff); diff == withoutIndex(p.diff) {
		return false, nil
	}
	p.diff = diff
	return true, os.WriteFile(p.path, []byte(p.head+p.diff), 0o644) //nolint:gosec // sources are readable by all
}

// withoutIndex removes the index lines, which git apply does not need and which change with the
// file.
func withoutIndex(diff string) string {
	var b strings.Builder
	for line := range strings.Lines(diff) {
		if !strings.HasPrefix(line, "diff --git ") && !strings.HasPrefix(line, "index ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// writeFile writes a file, and the folders above it.
func writeFile(path, text string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
}

// git runs git in a folder as if no repository contained it, and returns its output even if it
// fails.
func git(ctx context.Context, dir, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...) //nolint:gosec // fixed commands
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GIT_") })
	cmd.Env = append(cmd.Env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// findRoot returns the repository's root: the outermost folder above from with a go.mod.
func findRoot(from string) (root string, err error) {
	from, err = filepath.Abs(from)
	if err != nil {
		return "", fmt.Errorf("find root: %w", err)
	}
	for dir := from; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			root = dir
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find root: %w", err)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if root == "" {
		return "", fmt.Errorf("find root: no go.mod in %s or above it", from)
	}
	return root, nil
}

// moduleOf returns the folder, relative to root, of the module with the packages in the arguments
// of go test, and the arguments relative to that folder.
func moduleOf(root string, test []string) (module string, args []string, err error) {
	for _, arg := range test {
		if !strings.HasPrefix(arg, "./") {
			args = append(args, arg)
			continue
		}
		dir := filepath.Clean(strings.TrimSuffix(arg, "/..."))
		holder := dir
		for holder != "." {
			if _, err := os.Stat(filepath.Join(root, holder, "go.mod")); err == nil {
				break
			}
			holder = filepath.Dir(holder)
		}
		if module != "" && module != holder {
			return "", nil, fmt.Errorf("%s is in module %s, another package in module %s: one test command runs in one module", arg, holder, module)
		}
		module = holder
		inside := strings.TrimPrefix(strings.TrimPrefix(arg, "./"), holder+"/")
		if inside == holder {
			inside = ""
		}
		args = append(args, "./"+inside)
	}
	if module == "" {
		return "", nil, fmt.Errorf("go test %s names no package: want an argument that starts with %q", strings.Join(test, " "), "./")
	}
	return module, args, nil
}
