package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// record is the tested part of the answer of GET /messages/{name}.
type record struct {
	Name     string          `json:"name"`
	Status   string          `json:"status"`
	Attempts int             `json:"attempts"`
	Final    bool            `json:"final"`
	Result   json.RawMessage `json:"result"`
	Error    string          `json:"error"`
}

// post sends a body as JSON and returns the answer.
func post(t *testing.T, api, body string) (int, http.Header, string) {
	t.Helper()
	return ask(t, http.MethodPost, api+"/", "application/json", []byte(body))
}

func ask(t *testing.T, method, address, contentType string, body []byte) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, nil, ""
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// status returns the record of a name; ok is false if there is none.
func status(t *testing.T, api, name string) (r record, ok bool) {
	t.Helper()
	code, _, body := ask(t, http.MethodGet, api+"/messages/"+url.PathEscape(name), "", nil)
	if code == http.StatusNotFound {
		return r, false
	}
	if code != http.StatusOK {
		t.Fatalf("status of %q: %d %s", name, code, body)
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("status of %q: %v in %s", name, err, body)
	}
	return r, true
}

// final waits until the name has an outcome.
func final(t *testing.T, api, name string) record {
	t.Helper()
	var r record
	eventually(t, "an outcome of "+name, func() bool {
		var ok bool
		r, ok = status(t, api, name)
		return ok && r.Final
	})
	return r
}
