package console_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

func TestAPI(t *testing.T) {
	t.Run("query that is used in part is refused", testAQueryThatIsUsedInPartIsRefused)
	t.Run("page names an API path that exists", testThePageNamesAnAPIPathThatExists)
	t.Run("missing or wrong fields are reported together", testMissingOrWrongFieldsAreReportedTogether)
	t.Run("parts that are not there are not offered", testPartsThatAreNotThereAreNotOffered)
}

func testThePageNamesAnAPIPathThatExists(t *testing.T) {
	c := newClient(t, consoletest.New(t, consoletest.Options{}).Handler)
	page := c.ask("GET", "/", nil).Body.String()
	named := regexp.MustCompile(`/api/[\w/]+`).FindAllString(page, -1)
	if len(named) == 0 {
		t.Fatal("the page names no path of the API")
	}
	for _, path := range named {
		if w := c.ask("GET", strings.ReplaceAll(path, "QUEUE", "sqsonce"), nil); w.Code != http.StatusOK {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

func testAQueryThatIsUsedInPartIsRefused(t *testing.T) {
	worker := consoletest.New(t, consoletest.Options{})
	c := newClient(t, worker.Handler)
	for target, problem := range map[string]string{
		"names?name=a&name=b":                       "name: has 2 values",
		"names?name=a&force=true":                   "force",
		"names/list?status=unknown&status=retrying": "status: has 2 values",
		"names/list?state=unknown":                  "state",
		"names/list?older=%":                        "query",
		"status?queue=a":                            "queue",
	} {
		if w := c.ask(http.MethodGet, "/api/queues/sqsonce/"+target, nil); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), problem) {
			t.Errorf("%s answers %d %s", target, w.Code, w.Body)
		}
	}
	if w := c.act("/api/queues/sqsonce/pause?queue=other", map[string]any{}); w.Code != http.StatusBadRequest || worker.Pool.Stats().State == consumer.Paused {
		t.Errorf("a pause of another queue answers %d %s", w.Code, w.Body)
	}
}

// client calls a console.
type client struct {
	t       *testing.T
	handler http.Handler
	from    string // peer address
	edit    func(*http.Request)
}

func newClient(t *testing.T, h http.Handler) *client {
	t.Helper()
	return &client{t: t, handler: h, from: "127.0.0.1:4711"}
}

func request(method, path string, body any) *http.Request {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		reader = bytes.NewReader(data)
	}
	r := httptest.NewRequest(method, path, reader)
	r.Host, r.RemoteAddr = "localhost:9090", "127.0.0.1:4711"
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// ask sends a request and returns the response. It fails the test if an API error is not a problem
// document.
func (c *client) ask(method, path string, body any) *httptest.ResponseRecorder {
	c.t.Helper()
	r := request(method, path, body)
	r.RemoteAddr = c.from
	if c.edit != nil {
		c.edit(r)
	}
	return c.send(r)
}

func (c *client) send(r *http.Request) *httptest.ResponseRecorder {
	c.t.Helper()
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	kind := w.Header().Get("Content-Type")
	if strings.HasPrefix(r.URL.Path, "/api/") && w.Code >= http.StatusBadRequest {
		var p struct {
			Title, Detail string
			Status        int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || kind != "application/problem+json" || p.Status != w.Code || p.Title == "" || p.Detail == "" {
			c.t.Errorf("%s %s: %d %s %s is not a problem document: %v", r.Method, r.URL.Path, w.Code, kind, w.Body, err)
		}
	}
	return w
}

// get returns the answer of a path, which must have status 200.
func get[T any](c *client, path string) (v T) {
	c.t.Helper()
	w := c.ask(http.MethodGet, path, nil)
	if w.Code != http.StatusOK {
		c.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	return decode[T](c.t, w.Body.Bytes())
}

// act sends an action with the page's secret.
func (c *client) act(path string, body any) *httptest.ResponseRecorder {
	c.t.Helper()
	session := get[console.Session](c, "/api/session")
	if body == nil {
		body = map[string]any{}
	}
	r := request(http.MethodPost, path, body)
	r.RemoteAddr = c.from
	r.Header.Set("X-Csrf-Token", session.CSRF)
	r.Header.Set("Origin", "http://localhost:9090")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if c.edit != nil {
		c.edit(r)
	}
	return c.send(r)
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}

// last returns the last line of progress.
func last[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	return decode[T](t, []byte(lines[len(lines)-1]))
}

// logged returns a logger and its output.
func logged() (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(slog.NewTextHandler(&out, nil)), &out
}

func TestUnknownPath(t *testing.T) {
	w := consoletest.New(t, consoletest.Options{})
	c := newClient(t, w.Handler)
	for _, path := range []string{"/api/nothing", "/api/openapi.json", "/nothing"} {
		if rec := c.ask(http.MethodGet, path, nil); rec.Code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, rec.Code)
		}
	}
}

func testMissingOrWrongFieldsAreReportedTogether(t *testing.T) {
	_, err := console.New(console.Config{Queues: []console.QueueConfig{{DLQURL: "d", Local: true, Lister: noList{}}}, Hosts: []string{"a.example", "a.example:443", "b/c", "", "10.0.0.5", "LocalHost"}})
	if err == nil {
		t.Fatal("an empty configuration is taken")
	}
	for _, field := range []string{"Queues[0].Name", "Pool", "Scope", "Records", "with DLQURL", "with Local", `Hosts "a.example:443"`, `Hosts "b/c"`, `Hosts ""`, `Hosts "10.0.0.5"`, `Hosts "LocalHost"`} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q does not name %s", err, field)
		}
	}
	if strings.Contains(err.Error(), `"a.example"`) {
		t.Errorf("%q names a valid field", err)
	}
}

func testPartsThatAreNotThereAreNotOffered(t *testing.T) {
	w := consoletest.New(t, consoletest.Options{Edit: func(c *consoletest.Showing) { c.Queue, c.DLQURL, c.Local = nil, "", false }})
	c := newClient(t, w.Handler)
	session := get[console.Session](c, "/api/session")
	if q := session.Queues[0]; q.Name != "sqsonce" || q.Local || session.Drain || q.DLQ != "" || session.CanLogin {
		t.Errorf("the session is %+v", session)
	}
	for _, path := range []string{"/api/drain", "/api/queues/sqsonce/send", "/api/queues/sqsonce/replay", "/api/queues/sqsonce/dead/peek", "/api/queues/sqsonce/dead/redrive"} {
		rec := httptest.NewRecorder()
		w.Handler.ServeHTTP(rec, request(http.MethodPost, path, map[string]any{}))
		if rec.Code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, rec.Code)
		}
	}
	status := get[map[string]json.RawMessage](c, "/api/queues/sqsonce/status")
	if got := decode[console.Status](t, status["status"]); got.Depths.Visible != nil || got.Backlog != nil {
		t.Errorf("without a queue its depth is %+v", got.Depths)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	w := consoletest.New(t, consoletest.Options{Token: "s3cret-t0ken", Edit: func(c *consoletest.Showing) {
		c.Settings = append(c.Settings, console.Setting{Name: "target-secret", Value: "whsec_x"}, console.Setting{Name: "target-token-file", Value: "/run/t"}, console.Setting{Name: "target-token"})
	}})
	c := newClient(t, w.Handler)
	body := c.ask(http.MethodGet, "/api/queues/sqsonce/config", nil).Body.String()
	if strings.Contains(body, "s3cret") || strings.Contains(body, "whsec") || !strings.Contains(body, "/run/t") || !strings.Contains(body, "concurrency") {
		t.Errorf("the configuration is %s", body)
	}
	for _, path := range []string{"/api/session", "/api/queues/sqsonce/status", "/"} {
		rec := httptest.NewRecorder()
		w.Handler.ServeHTTP(rec, request(http.MethodGet, path, nil))
		if strings.Contains(rec.Body.String(), "s3cret") {
			t.Errorf("%s shows the token", path)
		}
	}
}
