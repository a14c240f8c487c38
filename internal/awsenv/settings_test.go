package awsenv

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	t.Run("exit code tells usage from failure", testExitCodeTellsUsageFromFailure)
	t.Run("settings error lists every problem", testSettingsErrorListsEveryProblem)
}

func testExitCodeTellsUsageFromFailure(t *testing.T) {
	settings := &SettingsError{Problems: []string{"--lease: too long"}}
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"none":             {nil, 0},
		"failed":           {errors.New("broken"), 1},
		"settings":         {settings, 2},
		"wrapped settings": {fmt.Errorf("worker: %w", settings), 2},
		"joined settings":  {errors.Join(errors.New("broken"), settings), 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Exit(tc.err); got != tc.want {
				t.Errorf("Exit(%v) = %d, want %d", tc.err, got, tc.want)
			}
		})
	}
}

func testSettingsErrorListsEveryProblem(t *testing.T) {
	for _, problems := range [][]string{{"--lease: too long"}, {"--lease: too long", "--rate: negative", "--table: missing"}} {
		text := (&SettingsError{Problems: problems}).Error()
		for _, p := range problems {
			if !strings.Contains(text, p) {
				t.Errorf("%q lacks %q", text, p)
			}
		}
		if lines := strings.Count(text, "\n"); len(problems) > 1 && lines != len(problems) {
			t.Errorf("%q has %d line breaks for %d problems", text, lines, len(problems))
		}
	}
	if (&SettingsError{}).Error() == "" {
		t.Error("an empty SettingsError says nothing")
	}
}
