package dynamo

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/partiql"
)

// For every table and record the statement has a form of AWS's reference, and as many parameters as
// it needs.
func TestStatements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStatements(rapid.StringMatching(`[a-zA-Z0-9_.-]{3,255}`).Draw(t, "table"), AttrTTL)
		w, err := newWrite(protocol.Version(rapid.Int64Range(0, 2).Draw(t, "old")), anyRecord(t))
		if err != nil {
			t.Fatal(err)
		}
		request := s.request(w)
		if err := partiql.Check(*request.Statement, len(request.Parameters)); err != nil {
			t.Fatalf("%s: %v", *request.Statement, err)
		}
		if verb := "INSERT INTO"; strings.HasPrefix(*request.Statement, verb) != (w.old == 0) {
			t.Fatalf("over version %d: %s", w.old, *request.Statement)
		}
	})
}
