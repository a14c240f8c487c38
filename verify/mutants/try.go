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

	"github.com/sqsonce/sqsonce/verify/lateclock"
)

// The verdicts on a mutant.
const (
	caughtIt  = "caught"
	escaped   = "ESCAPED"
	unfit     = "DOES NOT FIT" // the code has changed since, or the mutant does not compile
	alreadyIt = "BROKEN BEFORE"
)

type result struct{ verdict, detail, output string }

// tester runs go test in a folder with the given arguments. It returns the output, and whether all
// tests passed. overlay is empty, or the file for go test's -overlay.
type tester func(ctx context.Context, dir, overlay string, args []string) (output string, passed bool)

// try returns the verdict on a mutant. sound caches the results of the tests on the unchanged code.
func try(ctx context.Context, root string, p patch, sound map[string]result, test tester) result {
	module, args, err := moduleOf(root, p.test)
	if err != nil {
		return result{verdict: unfit, detail: fmt.Sprintf("%s: %v", p.path, err)}
	}
	broken, err := p.apply(ctx, root)
	if err != nil {
		return result{verdict: unfit, detail: err.Error()}
	}
	dir, command := filepath.Join(root, module), strings.Join(p.test, " ")
	before, ok := sound[command]
	if !ok {
		overlay, remove, err := writeOverlay(ctx, root, nil, args)
		if err != nil {
			return result{verdict: unfit, detail: err.Error()}
		}
		defer remove()
		output, passed := test(ctx, dir, overlay, args)
		if !passed || strings.Contains(output, "no tests to run") {
			before = result{alreadyIt, "go test " + command + " must pass, and run something, on the code as it is", output}
		}
		sound[command] = before
	}
	if before.verdict != "" {
		return before
	}
	overlay, remove, err := writeOverlay(ctx, root, broken, args)
	if err != nil {
		return result{verdict: unfit, detail: err.Error()}
	}
	defer remove()
	return judge(test(ctx, dir, overlay, args))
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// judge returns the verdict for the output of go test on a mutant.
func judge(output string, passed bool) result {
	switch {
	case passed:
		return result{escaped, "all tests pass", output}
	case strings.Contains(output, "[build failed]") || strings.Contains(output, "[setup failed]"):
		return result{unfit, "does not compile", output}
	}
	by := failedTests(output)
	if len(by) == 0 {
		return result{caughtIt, "the tests end early (a panic, a deadlock, or out of time)", output}
	}
	return result{caughtIt, "by " + strings.Join(by, ", "), output}
}

// failedTests lists the failed tests, at most two levels deep. A test whose subtest is listed is
// left out.
func failedTests(output string) (by []string) {
	for _, match := range failed.FindAllStringSubmatch(output, -1) {
		levels := strings.SplitN(match[1], "/", 3)
		name := strings.Join(levels[:min(2, len(levels))], "/")
		if !slices.Contains(by, name) {
			by = append(by, name)
		}
	}
	return slices.DeleteFunc(by, func(name string) bool {
		return slices.ContainsFunc(by, func(other string) bool { return strings.HasPrefix(other, name+"/") })
	})
}

// writeOverlay writes the broken texts and the file for -overlay that puts them in place of the
// files. Tests with the tag of lateclock also get its package time. overlay is empty if nothing is
// replaced.
func writeOverlay(ctx context.Context, root string, broken map[string]string, args []string) (overlay string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", nil, fmt.Errorf("write overlay: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	replace := make(map[string]string)
	for file, text := range broken {
		path := filepath.Join(dir, fmt.Sprintf("mutant%d.go", len(replace)))
		replace[filepath.Join(root, file)] = path
		err = errors.Join(err, os.WriteFile(path, []byte(text), 0o600))
	}
	if i := slices.Index(args, "-tags"); i >= 0 && args[i+1] == lateclock.Tag {
		original, late, lerr := lateclock.Replace(ctx, dir)
		replace[original] = late
		err = errors.Join(err, lerr)
	}
	if len(replace) == 0 {
		return "", remove, nil
	}
	table, jerr := json.Marshal(map[string]any{"Replace": replace})
	overlay = filepath.Join(dir, "overlay.json")
	if err = errors.Join(err, jerr, os.WriteFile(overlay, table, 0o600)); err != nil {
		remove()
		return "", nil, fmt.Errorf("write overlay: %w", err)
	}
	return overlay, remove, nil
}

// goTest is the tester that runs go test. It catches a mutant that hangs after a minute, or after
// the -timeout in its test command.
func goTest(ctx context.Context, dir, overlay string, args []string) (string, bool) {
	args = append([]string{"test", "-vet=off", "-failfast", "-timeout=1m"}, args...)
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the patches are part of the repository
	cmd.Dir = dir
	if overlay != "" {
		// In the environment, so that a test that builds binaries builds the broken ones. The test's own
		// binary does not change then, so that an earlier result would count.
		cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -count=1 -overlay="+overlay)
	}
	output, err := cmd.CombinedOutput()
	return string(output), err == nil
}
