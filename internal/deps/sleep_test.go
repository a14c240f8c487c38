package deps

import (
	"go/ast"
	"go/parser"
	"go/token"
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
	t.Run("one that a context ends", testOneSleep)
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

// ownSleep reports whether source has a select that waits for a timer or for the end of a context,
// and for nothing else.
func ownSleep(source string) (bool, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		return false, err
	}
	found := false
	for _, d := range file.Decls {
		timers := false
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				timers = timers || isCall(n, "NewTimer") || isCall(n, "After")
			case *ast.SelectStmt:
				found = found || timersIn(n, timers)
			}
			return true
		})
	}
	return found, nil
}

// timersIn reports whether a select has two cases: the channel of a timer, and Done of a context.
func timersIn(s *ast.SelectStmt, timers bool) bool {
	over, done := 0, 0
	for _, c := range s.Body.List {
		var from ast.Expr
		switch comm := c.(*ast.CommClause).Comm.(type) {
		case *ast.ExprStmt:
			from = comm.X
		case *ast.AssignStmt:
			from = comm.Rhs[0]
		}
		received, ok := from.(*ast.UnaryExpr)
		if !ok {
			return false // default, or a send
		}
		switch from := received.X.(type) {
		case *ast.SelectorExpr:
			if from.Sel.Name == "C" && timers {
				over++
			}
		case *ast.CallExpr:
			if isCall(from, "After") {
				over++
			} else if isCall(from, "Done") {
				done++
			}
		}
	}
	return len(s.Body.List) == 2 && over == 1 && done == 1
}

// isCall reports whether a call is of a function or method with a name, of any package or value.
func isCall(call *ast.CallExpr, name string) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	return ok && f.Sel.Name == name
}

// A sleep that a context ends is package backoff's. Examples and tests cannot import it.
func testOneSleep(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case "node_modules", "dist", "bin", "examples", "backoff":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		own, err := ownSleep(string(source))
		if own {
			t.Errorf("%s has its own sleep that a context ends: use backoff.Sleep", strings.TrimPrefix(path, root+string(filepath.Separator)))
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files: %v", files, err)
	}
	for source, want := range map[string]bool{
		"func f() { t := time.NewTimer(d)\nselect { case <-t.C:\ncase <-ctx.Done(): } }":               true,
		"func f() { select { case now := <-time.After(d): _ = now\ncase <-ctx.Done(): } }":             true,
		"func f() { t := time.NewTicker(d)\nselect { case <-t.C:\ncase <-ctx.Done(): } }":              false,
		"func f() { t := time.NewTimer(d)\nselect { case <-t.C:\ncase <-wake:\ncase <-ctx.Done(): } }": false,
		"func f() { t := time.NewTimer(d)\nselect { case <-t.C:\ndefault: } }":                         false,
	} {
		if got, err := ownSleep("package p\n" + source); err != nil || got != want {
			t.Errorf("%s: found %t, %v", source, got, err)
		}
	}
}
