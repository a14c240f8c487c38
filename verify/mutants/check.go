package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
)

// check returns the reason why a mutant cannot be tried: its patch does not fit, the broken file is
// not Go, or its test command selects no test.
func (p patch) check(ctx context.Context, root string) error {
	broken, err := p.apply(ctx, root)
	if err != nil {
		return fmt.Errorf("%w\nRun \"make mutants-refresh\": it mends a patch whose surrounding lines have changed", err)
	}
	for file, text := range broken {
		if _, err := parser.ParseFile(token.NewFileSet(), file, text, 0); err != nil {
			return fmt.Errorf("%s: the broken file is no Go: %w", p.path, err)
		}
	}
	return p.checkTest(root)
}

// checkTest fails for a test command that selects no test, as after the renaming of a test.
func (p patch) checkTest(root string) error {
	if _, _, err := moduleOf(root, p.test); err != nil {
		return fmt.Errorf("%s: %w", p.path, err)
	}
	expr := ""
	for i, arg := range p.test[:len(p.test)-1] {
		if arg == "-run" {
			expr = topLevel(p.test[i+1])
		}
	}
	selects, err := regexp.Compile(expr)
	if err != nil {
		return fmt.Errorf("%s: -run %q: %w", p.path, expr, err)
	}
	for _, arg := range p.test {
		if !strings.HasPrefix(arg, "./") {
			continue
		}
		tests, err := testsOf(filepath.Join(root, arg))
		if err != nil {
			return fmt.Errorf("%s: %w", p.path, err)
		}
		for _, name := range tests {
			if selects.MatchString(name) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s: go test %s selects no test", p.path, strings.Join(p.test, " "))
}

// topLevel returns the part of a -run expression that selects top-level tests: the beginning of
// each alternative up to the first slash outside brackets.
func topLevel(run string) string {
	var b strings.Builder
	depth, below := 0, false
	for _, c := range run {
		switch {
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == '/' && depth == 0:
			below = true
		case c == '|' && depth == 0:
			below = false
		}
		if !below {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// testsOf lists the tests, fuzz targets and examples of a package.
func testsOf(dir string) (names []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s: no tests there", dir)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read tests: %w", err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				for _, kind := range []string{"Test", "Fuzz", "Example"} {
					if strings.HasPrefix(f.Name.Name, kind) {
						names = append(names, f.Name.Name)
					}
				}
			}
		}
	}
	return names, nil
}
