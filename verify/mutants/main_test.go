package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tree writes files, by their path, into a new folder that is a module.
func tree(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	source = "package p\n\nconst x = 1\n\nfunc f() bool {\n\treturn true\n}\n"

	saysNo = `f says no
test: ./p -run TestF

--- a/p/p.go
+++ b/p/p.go
@@ -3,5 +3,5 @@
 const x = 1
 
 func f() bool {
-	return true
+	return false
 }
`
	noBody = `its body is gone
test: ./p -run TestF

--- a/p/p.go
+++ b/p/p.go
@@ -3,5 +3,4 @@
 const x = 1
 
 func f() bool {
-	return true
 }
`
)

// sources is a module with one package, one test and two mutants.
func sources() map[string]string {
	return map[string]string{
		"go.mod": "module m\n", "p/p.go": source, "p/p_test.go": "package p\n\nfunc TestF() {}\n",
		"list/a.patch": saysNo, "list/b.patch": noBody,
	}
}

// call runs the program on the mutants of a tree.
func call(t *testing.T, root string, test tester, flags ...string) (code int, output string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), root, append(flags, filepath.Join(root, "list")), &out, &errs, test)
	return code, out.String() + errs.String()
}

// fake returns a tester that passes without a mutant, and calls judge with the broken file of a
// mutant.
func fake(t *testing.T, root string, judge func(broken string) (output string, passed bool)) tester {
	t.Helper()
	return func(_ context.Context, dir, overlay string, args []string) (string, bool) {
		if dir != root || strings.Join(args, " ") != "./p -run TestF" {
			t.Errorf("go test %v in %s, want ./p -run TestF in %s", args, dir, root)
		}
		if overlay == "" {
			return "ok", true
		}
		var table struct{ Replace map[string]string }
		text, err := os.ReadFile(overlay)
		if err == nil {
			err = json.Unmarshal(text, &table)
		}
		broken, rerr := os.ReadFile(table.Replace[filepath.Join(root, "p/p.go")])
		if err != nil || rerr != nil {
			t.Error(err, rerr)
		}
		return judge(string(broken))
	}
}

func TestRun(t *testing.T) {
	for name, tc := range map[string]struct {
		judge func(broken string) (string, bool)
		code  int
		want  []string
	}{
		"all caught": {
			func(string) (string, bool) {
				return "--- FAIL: TestF (0.00s)\n    --- FAIL: TestF/sub (0.00s)\n        --- FAIL: TestF/sub/x (0.00s)\n--- FAIL: TestG (0.00s)\nFAIL", false
			},
			0, []string{"caught        f says no: by TestF/sub, TestG\n", "2/2 caught"},
		},
		"one escapes": {
			func(broken string) (string, bool) { return "--- FAIL: TestF", strings.Contains(broken, "false") },
			1, []string{"ESCAPED       f says no: all tests pass", "1/2 caught"},
		},
		"one does not compile": {
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
			root := tree(t, sources())
			code, output := call(t, root, fake(t, root, tc.judge))
			if code != tc.code {
				t.Errorf("code %d, want %d", code, tc.code)
			}
			for _, want := range tc.want {
				if !strings.Contains(output, want) {
					t.Errorf("%q is missing in:\n%s", want, output)
				}
			}
		})
	}
	t.Run("fails without a mutant", func(t *testing.T) {
		fails := func(context.Context, string, string, []string) (string, bool) { return "--- FAIL: TestF", false }
		if code, output := call(t, tree(t, sources()), fails); code != 1 || !strings.Contains(output, "0/2 caught") {
			t.Errorf("code %d: %s", code, output)
		}
	})
	t.Run("really", func(t *testing.T) {
		files := sources()
		files["p/p_test.go"] = "package p\n\nimport \"testing\"\n\nfunc TestF(t *testing.T) {\n\tif !f() {\n\t\tt.Error()\n\t}\n}\n"
		code, output := call(t, tree(t, files), goTest, "-run", "says")
		if code != 0 || !strings.Contains(output, "caught        f says no: by TestF\n1/1 caught") {
			t.Errorf("code %d: %s", code, output)
		}
	})
	t.Run("in a binary that the test builds", func(t *testing.T) {
		files := sources()
		files["main.go"] = "package main\n\nimport (\n\t\"m/p\"\n\t\"os\"\n)\n\nfunc main() {\n\tif !p.F() {\n\t\tos.Exit(1)\n\t}\n}\n"
		files["p/f.go"] = "package p\n\nfunc F() bool { return f() }\n"
		files["p/p_test.go"] = "package p\n\nimport (\n\t\"os/exec\"\n\t\"testing\"\n)\n\n" +
			"func TestF(t *testing.T) {\n\tif err := exec.Command(\"go\", \"run\", \"m\").Run(); err != nil {\n\t\tt.Error(err)\n\t}\n}\n"
		code, output := call(t, tree(t, files), goTest, "-run", "says")
		if code != 0 || !strings.Contains(output, "caught        f says no: by TestF\n1/1 caught") {
			t.Errorf("code %d: %s", code, output)
		}
	})
}

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		path, text string
		want       []string
	}{
		"line gone":         {"p/p.go", "package p\n\nfunc f() bool {\n\treturn maybe\n}\n", []string{"a.patch does not fit p/p.go", "0/2 fit", "make mutants-refresh"}},
		"file gone":         {"list/a.patch", strings.ReplaceAll(saysNo, "p/p.go", "p/q.go"), []string{"a.patch: the file to break", "p/q.go", "1/2 fit"}},
		"no Go":             {"list/a.patch", strings.ReplaceAll(saysNo, "+\treturn false", "+\t{"), []string{"a.patch: the broken file is no Go", "1/2 fit"}},
		"test renamed":      {"p/p_test.go", "package p\n\nfunc TestG() {}\n", []string{"a.patch: go test ./p -run TestF selects no test", "0/2 fit"}},
		"package gone":      {"list/a.patch", strings.ReplaceAll(saysNo, "test: ./p", "test: ./q"), []string{"a.patch: ", "q: no tests there", "1/2 fit"}},
		"no package":        {"list/a.patch", strings.ReplaceAll(saysNo, "test: ./p", "test: -v"), []string{"a.patch: go test -v -run TestF names no package", "1/2 fit"}},
		"two modules":       {"list/a.patch", strings.ReplaceAll(saysNo, "test: ./p", "test: ./p ./sub/q"), []string{"a.patch: ", "./sub/q is in module sub", "1/2 fit"}},
		"no expression":     {"list/a.patch", strings.ReplaceAll(saysNo, "TestF", "Test("), []string{"a.patch: -run \"Test(\"", "1/2 fit"}},
		"everything in it":  {"list/a.patch", saysNo, []string{"2/2 fit"}},
		"moved":             {"p/p.go", "// Package p.\n" + source, []string{"2/2 fit"}},
		"no name":           {"list/a.patch", saysNo[strings.Index(saysNo, "test:"):], []string{"a.patch: no name"}},
		"no test":           {"list/a.patch", "a name\n\n" + saysNo[strings.Index(saysNo, "---"):], []string{"a.patch: no test"}},
		"no diff":           {"list/a.patch", "a name\ntest: ./p\n", []string{"a.patch: no diff"}},
		"no file":           {"list/a.patch", strings.ReplaceAll(saysNo, "+++ b/", "+++ c/"), []string{"a.patch: no file"}},
		"no patch in there": {"list", "", []string{"list: no *.patch in this folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := sources()
			files["sub/go.mod"] = "module s\n"
			root := tree(t, files)
			target := filepath.Join(root, tc.path)
			if tc.text == "" {
				if err := os.RemoveAll(target); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(target, 0o700); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(target, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			code, output := call(t, root, nil, "-check")
			if whole := strings.Contains(output, "2/2 fit"); whole != (code == 0) {
				t.Errorf("code %d", code)
			}
			for _, want := range tc.want {
				if !strings.Contains(output, want) {
					t.Errorf("%q is missing in:\n%s", want, output)
				}
			}
		})
	}
}

func TestTopLevel(t *testing.T) {
	for run, want := range map[string]string{
		"TestA": "TestA", "TestA|TestB": "TestA|TestB", "TestA/x|TestB": "TestA|TestB",
		"TestA$/(x|y)/z|(TestB|TestC)/w": "TestA$|(TestB|TestC)", "Test[/|]": "Test[/|]", "": "",
	} {
		if got := topLevel(run); got != want {
			t.Errorf("%q: %q, want %q", run, got, want)
		}
	}
}

func TestRefresh(t *testing.T) {
	files := sources()
	files["p/p.go"] = "package p\n\nconst x = 2\n\n// f is documented.\nfunc f() (ok bool) {\n\treturn true\n}\n"
	root := tree(t, files)
	if code, output := call(t, root, nil, "-check"); code != 1 {
		t.Fatalf("code %d: %s", code, output)
	}
	if code, output := call(t, root, nil, "-refresh"); code != 0 || !strings.Contains(output, "2/2 written again") {
		t.Fatalf("code %d: %s", code, output)
	}
	if code, output := call(t, root, nil, "-check"); code != 0 {
		t.Errorf("code %d: %s", code, output)
	}
	if code, output := call(t, root, nil, "-refresh"); code != 0 || !strings.Contains(output, "0/2 written again") {
		t.Errorf("code %d: %s", code, output)
	}
	if err := os.WriteFile(filepath.Join(root, "p/p.go"), []byte("package p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, output := call(t, root, nil, "-refresh"); code != 1 || !strings.Contains(output, "a.patch does not fit p/p.go") {
		t.Errorf("code %d: %s", code, output)
	}
}

func TestModuleOf(t *testing.T) {
	root := tree(t, map[string]string{"go.mod": "module m\n", "sub/go.mod": "module s\n", "sub/p/p.go": "package p\n", "p/p.go": "package p\n"})
	for test, want := range map[string]string{
		"-v ./sub/p -run X": "sub: -v ./p -run X",
		"./p":               ".: ./p",
		"./sub/...":         "sub: ./...",
		"./...":             ".: ./...",
		"./sub":             "sub: ./",
	} {
		module, args, err := moduleOf(root, strings.Fields(test))
		if got := module + ": " + strings.Join(args, " "); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", test, got, err, want)
		}
	}
	if found, err := findRoot(filepath.Join(root, "sub/p")); err != nil || found != root {
		t.Errorf("root %s, %v, want %s", found, err, root)
	}
}

// TestEveryMutantFits finds patches that a change of the code has broken, without trying the
// mutants.
func TestEveryMutantFits(t *testing.T) {
	root, err := findRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	lists, err := filepath.Glob("*/*.patch")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no mutants: %v", err)
	}
	all, err := readAll(lists)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if err := p.check(t.Context(), root); err != nil {
			t.Error(err)
		}
	}
}

// TestMakefiles checks that the tests named in makefiles exist.
func TestMakefiles(t *testing.T) {
	root, err := findRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "Makefile*"))
	more, merr := filepath.Glob(filepath.Join(root, "Makefile.d", "*.mk"))
	if err != nil || merr != nil {
		t.Fatal(err, merr)
	}
	command := regexp.MustCompile(`(?m)^(.*)go test .*-run '?([^ ']+)'?.* \./([\w/]+)$`)
	continued := regexp.MustCompile(`\\\n\s*`)
	found := 0
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a folder
		}
		for _, m := range command.FindAllStringSubmatch(continued.ReplaceAllString(string(text), ""), -1) {
			run, dir := strings.ReplaceAll(m[2], "$$", "$"), m[3]
			if strings.Contains(m[1], "cd verify") {
				dir = "verify/" + dir
			}
			if run == "^$" {
				continue // benchmarks or fuzzing
			}
			found++
			if err := (patch{path: file, test: []string{"./" + dir, "-run", run}}).checkTest(root); err != nil {
				t.Error(err)
			}
		}
	}
	if found < 5 {
		t.Errorf("%d test commands found in the Makefiles: the expression that looks for them is out of date", found)
	}
}
