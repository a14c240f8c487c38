// Package lateclock lets timers of a test binary fire late, as they do on a busy machine. In a
// synctest bubble they are punctual.
//
// It compiles package time with one more variable, by go test's -overlay:
//
//	// Late changes the duration of each timer that is set, if it is not nil.
//	var Late func(Duration) Duration
//
// Every timer goes through it: time.NewTimer, AfterFunc, After, Reset, the first tick of a Ticker,
// and through these the deadlines of contexts. [time.Sleep] does not. The code under test and its
// libraries stay as they are, so the delays cost a released binary nothing.
//
// The test commands that need it carry [Tag] as a build tag, because only then is time.Late there.
package lateclock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Tag is the build tag of files that use time.Late.
const Tag = "late"

// when is the function of package time that computes the instant of every timer.
const (
	when = "func when(d Duration) int64 {\n"
	hook = "// Late changes the duration of each timer that is set, if it is not nil.\n" +
		"var Late func(Duration) Duration\n\n" + when + "\tif Late != nil {\n\t\td = Late(d)\n\t}\n"
)

// Replace writes the changed file of package time into a folder. It returns the paths of the file
// in GOROOT and of the one that takes its place.
func Replace(ctx context.Context, dir string) (original, replacement string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", "", fmt.Errorf("lateclock: go env GOROOT: %w", err)
	}
	original = filepath.Join(strings.TrimSpace(string(root)), "src", "time", "sleep.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", "", fmt.Errorf("lateclock: %w", err)
	}
	changed, err := change(string(text))
	if err != nil {
		return "", "", fmt.Errorf("lateclock: %s: %w", original, err)
	}
	replacement = filepath.Join(dir, "sleep.go")
	if err := os.WriteFile(replacement, []byte(changed), 0o600); err != nil {
		return "", "", fmt.Errorf("lateclock: %w", err)
	}
	return original, replacement, nil
}

// change adds the variable and its use to the source of time/sleep.go.
func change(text string) (string, error) {
	if strings.Count(text, when) != 1 {
		return "", errors.New("this release of Go computes the instants of timers elsewhere: want one func when(d Duration) int64")
	}
	return strings.Replace(text, when, hook, 1), nil
}

// Overlay writes the file for go test's -overlay into a folder and returns its path.
func Overlay(ctx context.Context, dir string) (path string, err error) {
	original, replacement, err := Replace(ctx, dir)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{original: replacement}})
	if err != nil {
		return "", fmt.Errorf("lateclock: %w", err)
	}
	path = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("lateclock: %w", err)
	}
	return path, nil
}
