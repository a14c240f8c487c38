package consumer

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/attributes"
)

func TestSQS(t *testing.T) {
	t.Run("copy keeps to the limits", testACopyKeepsToTheLimits)
	t.Run("copy forgets an earlier trip", testACopyForgetsAnEarlierTrip)
	t.Run("batch answers are read by position", testBatchAnswersAreReadByPosition)
}

func testACopyKeepsToTheLimits(t *testing.T) {
	long := strings.Repeat("é", 5000)
	d := Disposition{Reason: "rejected", Err: fmt.Errorf("%s\x00", long), Attempts: 4}
	for attributes := range 11 {
		for _, left := range []int{0, 14, 40, 60, 90, 130, 200, 500, 5000} {
			m := Message{ID: "0d9e5f8e-1111-2222-3333-444455556666", Attributes: map[string]types.MessageAttributeValue{}}
			size := 0
			for i := range attributes {
				name := fmt.Sprint("a", i)
				m.Attributes[name] = text("x")
				size += attributeBytes(name, m.Attributes[name])
			}
			m.Body = strings.Repeat("b", maxMessageBytes-size-left)
			result, ok := copyAttributes(m, "order\x00-17", d)
			room := len(AttrReason) + len("String") + len("rejected")
			if want := attributes < 10 && left >= room; ok != want {
				t.Fatalf("%d attributes, %d bytes left: %v, want %v", attributes, left, ok, want)
			}
			if !ok {
				continue
			}
			if len(result) > maxAttributes || len(m.Body)+attributesBytes(result) > maxMessageBytes {
				t.Errorf("%d attributes, %d bytes left: %d attributes, %d bytes", attributes, left, len(result), len(m.Body)+attributesBytes(result))
			}
			for name, v := range result {
				if !utf8.ValidString(*v.StringValue) || strings.ContainsRune(*v.StringValue, 0) || *v.StringValue == "" || len(*v.StringValue) > 2*maxErrorBytes {
					t.Errorf("%s = %q", name, *v.StringValue)
				}
			}
			reason := *result[AttrReason].StringValue
			if !strings.HasPrefix(reason, "rejected") {
				t.Errorf("reason %q", reason)
			}
			if packed := strings.Contains(reason, "original-id: "+m.ID); packed != (attributes >= 8 && left >= 200) && left != 130 {
				t.Errorf("%d attributes, %d bytes left: reason %q", attributes, left, reason)
			}
		}
	}
}

func testACopyForgetsAnEarlierTrip(t *testing.T) {
	m := Message{ID: "new", Attributes: map[string]types.MessageAttributeValue{
		AttrReason: text("old"), AttrError: text("old"), attributes.Attempts: text("9"), attributes.OriginalID: text("old"), AttrName: text("kept"),
	}}
	result, _ := copyAttributes(m, "other", Disposition{Reason: "stopped", Attempts: 1})
	got := map[string]string{}
	for name, v := range result {
		got[name] = *v.StringValue
	}
	want := map[string]string{AttrReason: "stopped", attributes.Attempts: "1", attributes.OriginalID: "new", AttrName: "kept"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
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
