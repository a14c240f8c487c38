package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// pkg describes the Go files of one folder.
type pkg struct {
	dir              string // relative to the root
	lines, testLines int

	types, funcs, methods, values int // exported, outside tests

	methodsOf map[string]int // by type, exported or not
	long      []function     // over longFunction lines
	tests     []function     // functions that go test runs as tests

	imports, testImports map[string]bool
}

// function is a function or method, with its size.
type function struct {
	file, name string
	lines      int
	test       bool
}

func (p *pkg) exported() int { return p.types + p.funcs + p.methods + p.values }

// largeTypes lists the types with more than largeType methods, the largest first.
func (p *pkg) largeTypes() []string {
	names := slices.Collect(maps.Keys(p.methodsOf))
	names = slices.DeleteFunc(names, func(n string) bool { return p.methodsOf[n] <= largeType })
	slices.SortFunc(names, func(a, b string) int {
		if d := p.methodsOf[b] - p.methodsOf[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

// count reads every package below root, including those of nested modules.
func count(root string) (packages []*pkg, err error) {
	byDir := make(map[string]*pkg)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		p := byDir[dir]
		if p == nil {
			p = &pkg{dir: dir, methodsOf: make(map[string]int), imports: make(map[string]bool), testImports: make(map[string]bool)}
			byDir[dir] = p
		}
		return p.add(path)
	})
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		packages = append(packages, byDir[dir])
	}
	return packages, nil
}

// add adds the counts of a file.
func (p *pkg) add(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, path, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	lines, test := bytes.Count(text, []byte("\n")), strings.HasSuffix(path, "_test.go")
	imports := p.imports
	if test {
		p.testLines += lines
		imports = p.testImports
	} else {
		p.lines += lines
	}
	for _, i := range file.Imports {
		imports[strings.Trim(i.Path.Value, `"`)] = true
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if n := positions.Position(d.End()).Line - positions.Position(d.Pos()).Line + 1; n > longFunction {
				p.long = append(p.long, function{filepath.Join(p.dir, filepath.Base(path)), d.Name.Name, n, test})
			}
			if !test {
				p.addFunc(d)
			} else if d.Recv == nil && strings.HasPrefix(d.Name.Name, "Test") {
				p.tests = append(p.tests, function{file: filepath.Join(p.dir, filepath.Base(path)), name: d.Name.Name, test: true})
			}
		case *ast.GenDecl:
			if !test {
				p.addSpecs(d)
			}
		}
	}
	return nil
}

// addFunc adds a function or method.
func (p *pkg) addFunc(d *ast.FuncDecl) {
	if d.Recv == nil {
		if d.Name.IsExported() {
			p.funcs++
		}
		return
	}
	receiver := receiverOf(d.Recv.List[0].Type)
	p.methodsOf[receiver]++
	if d.Name.IsExported() && ast.IsExported(receiver) {
		p.methods++
	}
}

// receiverOf returns the name of a receiver's type.
func receiverOf(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiverOf(t.X)
	case *ast.IndexExpr:
		return receiverOf(t.X)
	case *ast.IndexListExpr:
		return receiverOf(t.X)
	case *ast.Ident:
		return t.Name
	default:
		return ""
	}
}

// addSpecs adds types, constants and variables.
func (p *pkg) addSpecs(d *ast.GenDecl) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() {
				p.types++
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() {
					p.values++
				}
			}
		}
	}
}

// module is a direct requirement.
type module struct {
	path     string
	testOnly bool // imported by tests alone
}

// requirements lists the direct requirements of the module at root.
func requirements(root string, packages []*pkg) (list []module, err error) {
	cmd := exec.Command("go", "mod", "edit", "-json") //nolint:noctx // ends at once
	cmd.Dir = root
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go mod edit: %w", err)
	}
	var file struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("go mod edit: %w", err)
	}
	nested, err := nestedModules(root)
	if err != nil {
		return nil, err
	}
	imports := make(map[string]bool)
	for _, p := range packages {
		if !slices.ContainsFunc(nested, func(m string) bool { return p.dir == m || strings.HasPrefix(p.dir, m+"/") }) {
			maps.Copy(imports, p.imports)
		}
	}
	for _, r := range file.Require {
		if r.Indirect {
			continue
		}
		m := module{path: r.Path, testOnly: true}
		for i := range imports {
			if i == r.Path || strings.HasPrefix(i, r.Path+"/") {
				m.testOnly = false
			}
		}
		list = append(list, m)
	}
	return list, nil
}

// nestedModules lists the folders of nested modules below root.
func nestedModules(root string) (dirs []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if dir, err := filepath.Rel(root, filepath.Dir(path)); err == nil && d.Name() == "go.mod" && dir != "." {
			dirs = append(dirs, dir)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	return dirs, nil
}
