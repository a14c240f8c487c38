package telemetry

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestReasons(t *testing.T) {
	t.Run("every reason of our own is named", testEveryReasonOfOurOwnIsNamed)
}

// Every reason that this project's own code gives is a value of the label: else
// an operator would see "other".
func testEveryReasonOfOurOwnIsNamed(t *testing.T) {
	var given []string
	for _, dir := range []string{"../../consumer", "../../dedupe", "../../names", "../../powertools", "../../lambda", "../workercmd"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				given = append(given, reasonsIn(n)...)
				return true
			})
		}
	}
	if len(given) < len(reasons) {
		t.Errorf("only %d reasons found: %q", len(given), given)
	}
	for _, of := range given {
		if of != "" && !slices.Contains(reasons, of) {
			t.Errorf("%q is not among the reasons", of)
		}
	}
}

// reasonsIn are the texts that a part of the source makes a reason of.
func reasonsIn(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.FuncDecl: // Reason() string
		if n.Name.Name == "Reason" {
			return textsIn(n.Body)
		}
	case *ast.ValueSpec: // const reasonUntried = "…"
		if strings.HasPrefix(n.Names[0].Name, "reason") && len(n.Values) == 1 {
			return textsIn(n.Values[0])
		}
	case *ast.AssignStmt: // e.why = "…"
		if to, ok := n.Lhs[0].(*ast.SelectorExpr); ok && to.Sel.Name == "why" {
			return textsIn(n.Rhs[0])
		}
	case *ast.CallExpr: // deadLetter(err, m, "…")
		if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "deadLetter" {
			return textsIn(n.Args[len(n.Args)-1])
		}
	}
	return nil
}

func textsIn(n ast.Node) (texts []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
			unquoted, _ := strconv.Unquote(text.Value) // the parser has read it
			texts = append(texts, unquoted)
		}
		return true
	})
	return texts
}
