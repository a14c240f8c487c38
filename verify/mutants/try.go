package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The verdicts on a mutant.
const (
	caughtIt  = "caught"
	escaped   = "ESCAPED"
	unfit     = "DOES NOT FIT" // the code has changed since, or the mutant does not compile
	alreadyIt = "BROKEN BEFORE"
)

type result struct{ verdict, detail, output string }

// tester runs go test with the given arguments and returns what it has
// printed, and whether everything passed. overlay is empty, or names the file
// that tells the compiler what to read.
type tester func(ctx context.Context, overlay string, args []string) (output string, passed bool)

// try says what becomes of a mutant. What the tests say of the code as it is
// is kept in sound.
func try(ctx context.Context, m mutant, sound map[string]result, test tester) result {
	src, err := os.ReadFile(m.file)
	if err != nil {
		return result{verdict: unfit, detail: err.Error()}
	}
	broken, err := m.apply(string(src))
	if err != nil {
		return result{verdict: unfit, detail: err.Error()}
	}
	args := strings.Join(m.test, " ")
	before, ok := sound[args]
	if !ok {
		output, passed := test(ctx, "", m.test)
		if !passed || strings.Contains(output, "no tests to run") {
			before = result{alreadyIt, "go test " + args + " has to pass, and to run something, on the code as it is", output}
		}
		sound[args] = before
	}
	if before.verdict != "" {
		return before
	}
	overlay, remove, err := writeOverlay(m.file, broken)
	if err != nil {
		return result{verdict: unfit, detail: err.Error()}
	}
	defer remove()
	return judge(test(ctx, overlay, m.test))
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// judge reads what go test says of a mutant.
func judge(output string, passed bool) result {
	switch {
	case passed:
		return result{escaped, "all tests pass", output}
	case strings.Contains(output, "[build failed]") || strings.Contains(output, "[setup failed]"):
		return result{unfit, "does not compile", output}
	}
	var by []string
	for _, match := range failed.FindAllStringSubmatch(output, -1) {
		name, _, _ := strings.Cut(match[1], "/")
		if !slices.Contains(by, name) {
			by = append(by, name)
		}
	}
	if len(by) == 0 {
		return result{caughtIt, "the tests end early (a panic, a deadlock, or out of time)", output}
	}
	return result{caughtIt, "by " + strings.Join(by, ", "), output}
}

// writeOverlay makes the compiler read text in place of a file.
func writeOverlay(file, text string) (overlay string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", nil, fmt.Errorf("write overlay: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	path, err := filepath.Abs(file)
	broken := filepath.Join(dir, "mutant.go")
	table, jerr := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	overlay = filepath.Join(dir, "overlay.json")
	err = errors.Join(err, jerr, os.WriteFile(broken, []byte(text), 0o600), os.WriteFile(overlay, table, 0o600)) //nolint:gosec // both are in the directory made above
	if err != nil {
		remove()
		return "", nil, fmt.Errorf("write overlay: %w", err)
	}
	return overlay, remove, nil
}

// goTest is go test.
func goTest(ctx context.Context, overlay string, args []string) (string, bool) {
	args = append([]string{"test", "-vet=off", "-failfast", "-timeout=1m"}, args...)
	if overlay != "" {
		args = slices.Insert(args, 1, "-overlay="+overlay)
	}
	output, err := exec.CommandContext(ctx, "go", args...).CombinedOutput() //nolint:gosec // the lists are ours
	return string(output), err == nil
}
