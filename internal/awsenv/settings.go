package awsenv

import (
	"errors"
	"fmt"
	"strings"
)

// Exit codes of the binaries.
const (
	exitDone     = 0
	exitFailed   = 1
	exitSettings = 2
)

// SettingsError says what is wrong with the command line or the environment.
// It carries everything that was found, so that a user mends it in one go.
type SettingsError struct {
	Problems []string // each names the flag or variable and its value
}

// Error implements error. A single problem stands alone, several are listed
// one a line.
func (e *SettingsError) Error() string {
	switch len(e.Problems) {
	case 0:
		return "bad settings"
	case 1:
		return e.Problems[0]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems with the settings:", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  " + p)
	}
	return b.String()
}

// Exit returns the exit code that fits err: 0 for nil, 2 for a
// [*SettingsError] anywhere in it, 1 for everything else.
func Exit(err error) int {
	if err == nil {
		return exitDone
	}
	if _, ok := errors.AsType[*SettingsError](err); ok {
		return exitSettings
	}
	return exitFailed
}
