package main

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const source = "package p\n\nfunc f() bool {\n\treturn true\n}\n"

const list = `# broken on purpose
== f says no
file: SRC
test: ./p -run TestF
-	return true
+	return false

== its body is gone
file: SRC
test: ./p -run TestF
-	return true
`

// write puts source and a list that refers to it into files.
func write(t *testing.T, list string) string {
	t.Helper()
	dir := t.TempDir()
	src, path := filepath.Join(dir, "p.go"), filepath.Join(dir, "list.txt")
	if err := os.WriteFile(src, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(list, "SRC", src)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answers is a tester that reads the broken file and says what it is told to.
func answers(t *testing.T, says func(broken string) (string, bool)) tester {
	t.Helper()
	return func(_ context.Context, overlay string, _ []string) (string, bool) {
		if overlay == "" {
			return "ok", true
		}
		broken, err := os.ReadFile(filepath.Join(filepath.Dir(overlay), "mutant.go"))
		if err != nil {
			t.Error(err)
		}
		return says(string(broken))
	}
}

func TestEveryMutantIsTriedAndCounted(t *testing.T) {
	for name, tc := range map[string]struct {
		says func(broken string) (string, bool)
		code int
		want []string
	}{
		"AllCaught": {
			func(string) (string, bool) { return "--- FAIL: TestF/sub (0.00s)\nFAIL", false },
			0, []string{"caught        f says no: by TestF\n", "2/2 caught"},
		},
		"OneEscapes": {
			func(broken string) (string, bool) { return "--- FAIL: TestF", strings.Contains(broken, "false") },
			1, []string{"ESCAPED       f says no: all tests pass", "1/2 caught"},
		},
		"OneDoesNotCompile": {
			func(broken string) (string, bool) {
				if strings.Contains(broken, "return") {
					return "panic: deadlock", false
				}
				return "FAIL p [build failed]", false
			},
			1, []string{"the tests end early", "DOES NOT FIT  its body is gone: does not compile", "1/2 caught"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(t.Context(), []string{write(t, list)}, &out, &errs, answers(t, tc.says)); code != tc.code {
				t.Errorf("code %d, want %d: %s", code, tc.code, errs.String())
			}
			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestAMutantThatNoLongerFitsIsNotCaught(t *testing.T) {
	var out, errs bytes.Buffer
	stale := strings.ReplaceAll(list, "return true", "return maybe")
	code := run(t.Context(), []string{write(t, stale)}, &out, &errs, answers(t, func(string) (string, bool) { return "", false }))
	if code != 1 || !strings.Contains(out.String(), "its text is 0 times") {
		t.Errorf("code %d: %s", code, out.String())
	}
}

func TestTestsThatFailWithoutAMutantCatchNothing(t *testing.T) {
	var out, errs bytes.Buffer
	fails := func(context.Context, string, []string) (string, bool) { return "--- FAIL: TestF", false }
	if code := run(t.Context(), []string{write(t, list)}, &out, &errs, fails); code != 1 || !strings.Contains(out.String(), "0/2 caught") {
		t.Errorf("code %d: %s", code, out.String())
	}
}

func TestAListThatIsNotUnderstoodIsRefused(t *testing.T) {
	for _, bad := range []string{"file: x\n", "== a\nfil: x\n", "== a\nfile: x\n-y\n", ""} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{write(t, bad)}, &out, &errs, goTest); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: code %d", bad, code)
		}
	}
}

// TestEveryMutantFitsTheCode: the lists are tried seldom, and the code changes often.
func TestEveryMutantFitsTheCode(t *testing.T) {
	const root = "../.."
	lists, err := filepath.Glob("*.txt")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no lists: %v", err)
	}
	for _, path := range append(lists, root+"/verify/sim/mutants.txt") {
		list, err := read(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			src, err := os.ReadFile(filepath.Join(root, m.file))
			if err != nil {
				t.Errorf("%s: %s: %v", path, m.name, err)
				continue
			}
			broken, err := m.apply(string(src))
			if err != nil {
				t.Errorf("%s: %s: %v", path, m.name, err)
				continue
			}
			if _, err := parser.ParseFile(token.NewFileSet(), m.file, broken, 0); err != nil {
				t.Errorf("%s: %s: %v", path, m.name, err)
			}
		}
	}
}
