package consumer

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func TestSQS(t *testing.T) {
	t.Run("batch answers are read by position", testBatchAnswersAreReadByPosition)
}

func testBatchAnswersAreReadByPosition(t *testing.T) {
	c := &client{log: slog.New(slog.DiscardHandler)}
	bad := func(id string) types.BatchResultErrorEntry {
		code := "X"
		return types.BatchResultErrorEntry{Id: &id, Code: &code}
	}
	// Ids that were never sent, and an entry without an answer.
	got := c.answers("op", time.Now(), 4, []string{"0", "3", "7", "-1", "x"}, []types.BatchResultErrorEntry{bad("1"), bad("9"), bad("y")})
	for i, failed := range []bool{false, true, true, false} {
		if (got[i].Err != nil) != failed {
			t.Errorf("entry %d: %v", i, got[i].Err)
		}
	}
}

func TestTheSurfaceIsSmall(t *testing.T) {
	files, err := parser.ParseDir(token.NewFileSet(), ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	methods := 0 // of Consumer
	for _, f := range files["consumer"].Files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					names = append(names, d.Name.Name)
				}
				if d.Recv != nil && isConsumer(d.Recv.List[0].Type) {
					methods++
				}
			case *ast.GenDecl:
				names = append(names, exported(d)...)
			}
		}
	}
	if len(names) < 30 || len(names) > 45 {
		t.Errorf("%d exported names, want at most 45: %v", len(names), names)
	}
	if methods < 10 || methods > 15 {
		t.Errorf("Consumer has %d methods, want at most 15", methods)
	}
}

func isConsumer(receiver ast.Expr) bool {
	star, ok := receiver.(*ast.StarExpr)
	if !ok {
		return false
	}
	name, ok := star.X.(*ast.Ident)
	return ok && name.Name == "Consumer"
}

// exported returns the exported types, constants and variables of a declaration.
func exported(d *ast.GenDecl) (names []string) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() {
				names = append(names, s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}
