package consumer

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// DESIGN.md lists the functions that a message passes. Each is in the file under which it is
// listed, is called by the function listed before it, and is rarely returned to.
func TestPathOfAMessage(t *testing.T) {
	text, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	const mostReturns = 6
	calls := callsByFunction(t)
	from, returns, stops := "", 0, 0
	row := regexp.MustCompile("(?m)^\\| (↩ )?(\\d+) \\| `([a-zA-Z.]+)` \\| (?:`([a-z]+\\.go)`)? ?\\|")
	for _, found := range row.FindAllStringSubmatch(string(text), -1) {
		name := found[3]
		if found[1] != "" {
			returns++
			from = name
			continue
		}
		stops++
		if file := calls[name].file; file != found[4] {
			t.Errorf("%s is in %q, DESIGN.md says %s", name, file, found[4])
		}
		if from != "" && !calls.reaches(from, name) {
			t.Errorf("%s does not call %s", from, name)
		}
		from = name
	}
	if stops != 13 || returns > mostReturns {
		t.Errorf("%d functions and %d returns are listed, want 13 and at most %d", stops, returns, mostReturns)
	}
}

// function is a function of the package and the names in its body.
type function struct {
	file  string
	names map[string]bool
}

type functions map[string]function // by name, methods of client by client.NAME

// reaches reports whether one function names another, or names a constructor's batcher
// that calls it.
func (f functions) reaches(from, to string) bool {
	short := to[strings.LastIndex(to, ".")+1:]
	return f[from].names[short] || from == "insist" && f["newSettler"].names[short]
}

func callsByFunction(t *testing.T) functions {
	t.Helper()
	all := make(functions)
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range files {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			key, names := f.Name.Name, make(map[string]bool)
			switch receiverOf(f) {
			case "", "run":
			case "client":
				key = "client." + key
			default:
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					names[id.Name] = true
				}
				return true
			})
			all[key] = function{name, names}
		}
	}
	return all
}

// receiverOf is the type of a method, without its star.
func receiverOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if id, ok := of.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// docs/reliability.md names the tests of each rule. They exist.
func TestRulesNameTheirTests(t *testing.T) {
	text, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("`([a-z/]+)` `(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(rows) < 40 {
		t.Errorf("%d tests are named", len(rows))
	}
	known := make(map[string]string) // the tests of a package, as text
	for _, row := range rows {
		folder, name := row[1], row[2]
		if known[folder] == "" {
			files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(folder), "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				known[folder] += string(content)
			}
		}
		if !strings.Contains(known[folder], "\nfunc "+name+"(t *testing.T)") {
			t.Errorf("%s has no %s", folder, name)
		}
	}
}
