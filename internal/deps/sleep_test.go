package deps

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	sleeps = regexp.MustCompile(`\btime\.Sleep\(`)
	// Time is virtual in a bubble. A file starts one itself or calls a helper of its package.
	bubbles = regexp.MustCompile(`"testing/synctest"|\bbubble\(t\b|\binVirtualTime\(t\b|\binBubble\b|\*bubble\b`)
	// With rapid and in fuzz tests these calls skip an input, not a test.
	skips = regexp.MustCompile(`\.(Skip|Skipf|SkipNow)\(`)
	draws = regexp.MustCompile(`"pgregory.net/rapid"|\*testing\.F\b`)
)

// idle returns a problem if a test file sleeps in real time or can skip a test, else "".
func idle(source string) (problem string) {
	switch {
	case sleeps.MatchString(source) && !bubbles.MatchString(source):
		return "time.Sleep outside of a synctest bubble: wait on a condition"
	case skips.MatchString(source) && !draws.MatchString(source):
		return "a test that can skip: what it needs has to be there, or it fails"
	default:
		return ""
	}
}

func TestSleep(t *testing.T) {
	t.Run("none in the tests", testNoSleep)
	t.Run("found", testSleepIsFound)
}

func testNoSleep(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "dist" || entry.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") || entry.Name() == "sleep_test.go" {
			return nil
		}
		files++
		source, err := os.ReadFile(path)
		if problem := idle(string(source)); problem != "" {
			t.Errorf("%s: %s", strings.TrimPrefix(path, root+string(filepath.Separator)), problem)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d test files: %v", files, err)
	}
}

// The rule finds violations.
func testSleepIsFound(t *testing.T) {
	for source, wrong := range map[string]bool{
		"func TestA(t *testing.T) { time.Sleep(time.Second) }":                                 true,
		"func TestA(t *testing.T) { bubble(t, func() { time.Sleep(time.Second) }) }":           false,
		`import "testing/synctest"` + "\nfunc TestA(t *testing.T) { time.Sleep(time.Second) }": false,
		`func TestA(t *testing.T) { t.Skip("no server") }`:                                     true,
		`func FuzzA(f *testing.F) { f.Fuzz(func(t *testing.T, s string) { t.Skip("") }) }`:     false,
		"func TestA(t *testing.T) {}":                                                          false,
	} {
		if got := idle(source) != ""; got != wrong {
			t.Errorf("%q: found %t, want %t", source, got, wrong)
		}
	}
}
