package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree writes files, by their path, into a new folder.
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

const code = `package a

import "example.com/shipped/part"

// Exported: 2 types, 1 function, 2 methods, 3 values.
type (
	T[X any] struct{}
	I        interface{ M() }
	hidden   struct{}
)

const A, b = 1, 2

var C, D = part.X, 3

func F()           {}
func f()           {}
func (T[X]) M()    {}
func (t *T[X]) N() {}
func (t *T[X]) o() {}
func (hidden) M()  {}
`

func sources() map[string]string {
	return map[string]string{
		"go.mod": "module m\n\ngo 1.26\n\nrequire (\n\texample.com/shipped v1.0.0\n\texample.com/ship v1.0.0\n\texample.com/other v1.0.0 // indirect\n)\n",
		"a/a.go": code,
		"a/long_test.go": "package a\n\nimport \"example.com/ship\"\n\nvar X = ship.X\n\nfunc long() {\n" +
			strings.Repeat("\tlong()\n", longFunction-1) + "}\n\nfunc short() {\n" + strings.Repeat("\tlong()\n", longFunction-2) + "}\n",
		"sub/go.mod":           "module s\n",
		"sub/s.go":             "package s\n\nimport \"example.com/ship\"\n\nvar x = ship.X\n",
		"a/testdata/x.go":      "not Go",
		"node_modules/x/x.go":  "not Go",
		".hidden/x.go":         "not Go",
		"a/testdata/in/go.mod": "module t\n",
	}
}

func TestCount(t *testing.T) {
	packages, err := count(tree(t, sources()))
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) != 2 || packages[0].dir != "a" || packages[1].dir != "sub" {
		t.Fatalf("packages %+v, want a and sub", packages)
	}
	a := packages[0]
	if got := []int{a.types, a.funcs, a.methods, a.values}; !slices.Equal(got, []int{2, 1, 2, 3}) {
		t.Errorf("types, funcs, methods, values are %v", got)
	}
	if a.methodsOf["T"] != 3 || a.methodsOf["hidden"] != 1 {
		t.Errorf("methods of %v", a.methodsOf)
	}
	lines, testLines := strings.Count(code, "\n"), strings.Count(sources()["a/long_test.go"], "\n")
	if a.lines != lines || a.testLines != testLines {
		t.Errorf("%d lines and %d of tests, want %d and %d", a.lines, a.testLines, lines, testLines)
	}
	if want := []function{{"a/long_test.go", "long", longFunction + 1, true}}; !slices.Equal(a.long, want) {
		t.Errorf("long functions %+v, want %+v", a.long, want)
	}
}

func TestRequirements(t *testing.T) {
	root := tree(t, sources())
	packages, err := count(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := requirements(root, packages)
	if want := []module{{"example.com/shipped", false}, {"example.com/ship", true}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("requirements %+v, %v, want %+v", got, err, want)
	}
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(tree(t, sources()), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"functions over 70 lines:\n\n", "in tests:\n  a/long_test.go: long: 71\n",
		"root module: 2\n  of code: 1\n  of tests alone: 1 [example.com/ship]\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}

// Users of the library inherit the requirements of the root module.
func TestRootModule(t *testing.T) {
	packages, err := count("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		for _, f := range p.long {
			if !f.test {
				t.Errorf("%s: %s has %d lines, want at most %d", f.file, f.name, f.lines, longFunction)
			}
		}
	}
}
