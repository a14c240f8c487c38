package awsenv

import (
	"errors"
	"fmt"
	"strings"
)

// Exit codes of the binaries.
const (
	exitDone     = 0 // done, or stopped cleanly
	exitFailed   = 1 // failed; of worker check: not healthy, or not ready
	exitSettings = 2 // bad usage or settings; of worker try: the message has no name
)

// SettingsError lists the faults of the command line and the environment. It has all of them, so
// that a user can fix them at once.
type SettingsError struct {
	Problems []string // each names the flag or variable and its value
}

// mostProblems bounds the listed problems.
const mostProblems = 100

// Error returns a single problem alone, and several as a list, one per line, of the first 100.
func (e *SettingsError) Error() string {
	switch len(e.Problems) {
	case 0:
		return "bad settings"
	case 1:
		return e.Problems[0]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems with the settings:", len(e.Problems))
	for _, p := range e.Problems[:min(len(e.Problems), mostProblems)] {
		b.WriteString("\n  " + p)
	}
	if more := len(e.Problems) - mostProblems; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

// Exit returns the exit code for err: 0 for nil, 2 for a [*SettingsError] anywhere in its tree, 1
// for all other errors.
func Exit(err error) int {
	if err == nil {
		return exitDone
	}
	if _, ok := errors.AsType[*SettingsError](err); ok {
		return exitSettings
	}
	return exitFailed
}
