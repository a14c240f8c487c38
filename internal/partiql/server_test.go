package partiql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// echo answers each statement by its text.
type echo struct{ requests int }

func (e *echo) Do(r *http.Request) (*http.Response, error) {
	e.requests++
	var in struct{ Statements []struct{ Statement string } }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	var answers []string
	for _, s := range in.Statements {
		answers = append(answers, fmt.Sprintf(`{"TableName":%q}`, s.Statement))
	}
	body := `{"Responses":[` + strings.Join(answers, ",") + `]}`
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestServer(t *testing.T) {
	const good, other, bad = `DELETE FROM a WHERE id=1`, `DELETE FROM b WHERE id=1`, `UPDATE t REMOVE a, b WHERE id=1`
	for name, tc := range map[string]struct {
		statements []string
		requests   int
	}{
		"all well formed":       {[]string{good, other}, 1},
		"one in the middle bad": {[]string{good, bad, other}, 1},
		"only bad ones":         {[]string{bad, bad}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var members []map[string]string
			for _, s := range tc.statements {
				members = append(members, map[string]string{"Statement": s})
			}
			body, err := json.Marshal(map[string]any{"Statements": members})
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://dynamodb", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Amz-Target", "DynamoDB_20120810.BatchExecuteStatement")
			base := &echo{}
			resp, err := (&Server{Base: base}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			var out struct {
				Responses []struct {
					TableName string
					Error     struct{ Code string }
				}
			}
			if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
				t.Fatal(err)
			}
			if len(out.Responses) != len(tc.statements) || base.requests != tc.requests {
				t.Fatalf("%d answers by %d requests", len(out.Responses), base.requests)
			}
			for i, answer := range out.Responses {
				refused := tc.statements[i] == bad
				if refused != (answer.Error.Code == "ValidationError") || !refused && answer.TableName != tc.statements[i] {
					t.Errorf("statement %d, %s: %+v", i, tc.statements[i], answer)
				}
			}
		})
	}
}
