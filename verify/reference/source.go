package main

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// parsed reads the Go files of a directory, without its tests.
func parsed(dir string) (files []*ast.File, positions *token.FileSet, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, nil, err
	}
	positions = token.NewFileSet()
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(positions, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, file)
	}
	return files, positions, nil
}

// literals returns the texts in a Go file that match.
func literals(path string, match *regexp.Regexp) (texts []string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if text, ok := unquoted(n); ok && match.MatchString(text) {
			texts = append(texts, text)
		}
		return true
	})
	return texts, nil
}

func unquoted(n ast.Node) (text string, ok bool) {
	if lit, is := n.(*ast.BasicLit); is && lit.Kind == token.STRING {
		text, err := strconv.Unquote(lit.Value)
		return text, err == nil
	}
	return "", false
}

// commented returns the constants, or the elements of a list, of a file that have a comment on
// their line: the value and the comment. Only nodes that match are looked at.
func commented(path string, match func(ast.Node) bool) (rows [][]string, err error) {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	comments := make(map[int]string) // by line
	for _, group := range file.Comments {
		comments[positions.Position(group.Pos()).Line] = strings.TrimSpace(group.Text())
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil || !match(n) {
			return true
		}
		ast.Inspect(n, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok {
				value, text := lit.Value, comments[positions.Position(lit.Pos()).Line]
				if s, ok := unquoted(lit); ok {
					value = s
				}
				rows = append(rows, []string{value, text})
			}
			return true
		})
		return false
	})
	return rows, nil
}

// valueSpec matches a declaration of a constant or variable whose name begins with prefix.
func valueSpec(prefix string) func(ast.Node) bool {
	return func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		return ok && strings.HasPrefix(v.Names[0].Name, prefix) && len(v.Values) == 1
	}
}

// exported returns the documentation of a package of this module.
func exported(dir string) (*doc.Package, error) {
	files, positions, err := parsed(filepath.Join(root, dir))
	if err != nil {
		return nil, err
	}
	return doc.NewFromFiles(positions, files, module+"/"+dir)
}

const module = "github.com/sqsonce/sqsonce"
