package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestMayChange(t *testing.T) {
	const here, elsewhere = "127.0.0.1:40000", "192.0.2.7:40000"
	for name, tc := range map[string]struct {
		token, remote, host string
		header              map[string]string
		want                int
	}{
		"this machine":                   {"", here, "127.0.0.1:9090", nil, 202},
		"this machine by IPv6":           {"", "[::1]:4", "[::1]:9090", nil, 202},
		"this machine by its name":       {"", here, "localhost:9090", nil, 202},
		"this machine, token set":        {"sesame", here, "127.0.0.1:9090", nil, 202},
		"IPv4 in IPv6":                   {"", "[::ffff:127.0.0.1]:4", "127.0.0.1", nil, 202},
		"a foreign host name":            {"", here, "rebound.example:9090", nil, 403},
		"elsewhere, no token set":        {"", elsewhere, "10.0.0.1:9090", nil, 401},
		"elsewhere, empty token":         {"", elsewhere, "10.0.0.1:9090", map[string]string{"Authorization": "Bearer "}, 401},
		"elsewhere without the token":    {"sesame", elsewhere, "10.0.0.1:9090", nil, 401},
		"elsewhere with another token":   {"sesame", elsewhere, "10.0.0.1:9090", map[string]string{"Authorization": "Bearer nope"}, 401},
		"elsewhere with another scheme":  {"sesame", elsewhere, "10.0.0.1:9090", map[string]string{"Authorization": "Basic sesame"}, 401},
		"elsewhere with the token":       {"sesame", elsewhere, "worker.internal", map[string]string{"Authorization": "Bearer sesame"}, 202},
		"address that cannot be read":    {"", "@", "127.0.0.1", nil, 401},
		"another site in a browser here": {"", here, "127.0.0.1:9090", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"another port in a browser here": {"", here, "127.0.0.1:9090", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		"another site in an old browser": {"", here, "127.0.0.1:9090", map[string]string{"Origin": "http://evil.example"}, 403},
		"a proxy on this machine":        {"", here, "127.0.0.1:9090", map[string]string{"X-Forwarded-For": "192.0.2.1"}, 401},
		"a proxy that names no address":  {"", here, "127.0.0.1:9090", map[string]string{"X-Forwarded-Host": "worker.internal"}, 401},
		"another sort of proxy":          {"", here, "127.0.0.1:9090", map[string]string{"Forwarded": "for=192.0.2.1"}, 401},
		"a proxy, with the token":        {"sesame", here, "127.0.0.1:9090", map[string]string{"X-Real-Ip": "192.0.2.1", "Authorization": "Bearer sesame"}, 202},
		"own page in a browser here":     {"", here, "127.0.0.1:9090", map[string]string{"Sec-Fetch-Site": "same-origin"}, 202},
	} {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"pause", "resume", "drain", "believe", "concurrency"} {
				var done []string
				note := func(what string) func() { return func() { done = append(done, what) } }
				h := New(Config{Token: tc.token, Drain: note("drain"), Queues: []Queue{{
					Name: "q", Pause: note("pause"), Resume: note("resume"), Believe: note("believe"),
					Concurrency: func(int) error { note("concurrency")(); return nil },
				}}})
				body := ""
				if verb == "concurrency" {
					body = "20"
				}
				r := httptest.NewRequest(http.MethodPost, "/"+verb, strings.NewReader(body))
				r.RemoteAddr, r.Host = tc.remote, tc.host
				for key, value := range tc.header {
					r.Header.Set(key, value)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				var want []string
				if tc.want == http.StatusAccepted {
					want = []string{verb}
				}
				if w.Code != tc.want || !slices.Equal(done, want) {
					t.Errorf("%s: answered %d and did %v, want %d and %v", verb, w.Code, done, tc.want, want)
				}
			}
		})
	}
}

func TestGuard(t *testing.T) {
	t.Run("change is logged with its client", testChangeIsLoggedWithItsClient)
	t.Run("unconfigured routes are not found", testUnconfiguredRoutesAreNotFound)
	t.Run("settings and metrics are shown", testSettingsAndMetricsAreShown)
}

func testChangeIsLoggedWithItsClient(t *testing.T) {
	var log bytes.Buffer
	h := New(Config{Token: "sesame", Queues: []Queue{{Name: "q", Pause: func() {}}}, Drain: func() {}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for path, header := range map[string]string{"/pause": "", "/drain": "Bearer sesame"} {
		r := httptest.NewRequest(http.MethodPost, path, http.NoBody)
		r.RemoteAddr, r.Host = "127.0.0.1:40000", "localhost"
		r.Header.Set("Authorization", header)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, want := range []string{`action=pause who="loopback, 127.0.0.1:40000"`, `action=drain who="token from 127.0.0.1:40000"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, &log)
		}
	}
	if strings.Contains(log.String(), "sesame") {
		t.Error("the token is in the log")
	}
}

func TestConcurrency(t *testing.T) {
	for name, tc := range map[string]struct {
		body   string
		status int
		reason string
	}{
		"number":            {"20", 202, ""},
		"with a line break": {"20\n", 202, ""},
		"refused":           {"7", 400, "no sevens"},
		"zero":              {"0", 400, `body "0": must be a whole number of at least 1`},
		"negative":          {"-3", 400, `body "-3"`},
		"a word":            {"many", 400, `body "many"`},
		"nothing":           {"", 400, `body ""`},
		"an object":         {`{"n":20}`, 400, "body"},
		"too long":          {strings.Repeat("9", 100), 400, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			got := 0
			h := New(Config{Queues: []Queue{{Name: "q", Concurrency: func(n int) error {
				if n == 7 {
					return errors.New("no sevens")
				}
				got = n
				return nil
			}}}})
			r := httptest.NewRequest(http.MethodPost, "/concurrency", strings.NewReader(tc.body))
			r.RemoteAddr, r.Host = "127.0.0.1:40000", "localhost"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			var said answer
			if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
				t.Fatal(err)
			}
			if w.Code != tc.status || (w.Code == 202) != (got == 20) || !strings.Contains(said.Reason, tc.reason) {
				t.Errorf("answered %d %q, concurrency %d", w.Code, said.Reason, got)
			}
		})
	}
}

func TestVerbsAreNotReadable(t *testing.T) {
	h := New(Config{Queues: []Queue{{Name: "q", Pause: func() { t.Error("paused by a GET") }}}})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/pause", http.NoBody))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("answered %d", w.Code)
	}
}

func testUnconfiguredRoutesAreNotFound(t *testing.T) {
	h := New(Config{})
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/drain", http.NoBody),
		httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody),
		httptest.NewRequest(http.MethodGet, "/config", http.NoBody),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s %s answered %d", r.Method, r.URL, w.Code)
		}
	}
}

func testSettingsAndMetricsAreShown(t *testing.T) {
	h := New(Config{
		Queues: []Queue{
			{Name: "orders", Settings: func() any { return map[string]string{"queue-url": "u"} }},
			{Name: "mails", Settings: func() any { return map[string]string{"queue-url": "v"} }},
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
	})
	for path, want := range map[string]string{"/config": `{"queues":{"mails":{"queue-url":"v"},"orders":{"queue-url":"u"}}}`, "/metrics": "up 1"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s answered %d %s", path, w.Code, w.Body)
		}
	}
}

func TestVerbsOfQueues(t *testing.T) {
	for target, want := range map[string]struct {
		status int
		paused string
	}{
		"/pause":              {202, "orders mails"},
		"/pause?queue=mails":  {202, "mails"},
		"/pause?queue=others": {404, ""},
		"/pause?queue=":       {404, ""},
		"/resume":             {404, ""}, // none can

		"/pause?queue=orders&queue=mails": {400, ""},
		"/pause?queue=mails&queue=mails":  {400, ""},
		"/pause?Queue=mails":              {400, ""},
		"/pause?queue=mails&name=orders":  {400, ""},
		"/pause?queue=%":                  {400, ""},
		"/pause?queue=mails;queue=orders": {400, ""},
	} {
		var paused []string
		queue := func(name string) Queue {
			return Queue{Name: name, Pause: func() { paused = append(paused, name) }}
		}
		r := httptest.NewRequest(http.MethodPost, target, http.NoBody)
		r.RemoteAddr, r.Host = "127.0.0.1:40000", "localhost"
		w := httptest.NewRecorder()
		New(Config{Queues: []Queue{queue("orders"), queue("mails")}}).ServeHTTP(w, r)
		if got := strings.Join(paused, " "); w.Code != want.status || got != want.paused {
			t.Errorf("%s answered %d and paused %q, want %d and %q: %s", target, w.Code, got, want.status, want.paused, w.Body)
		}
	}
}

// An order whose meaning is not clear is refused.
func TestVerbNotUnderstood(t *testing.T) {
	for name, tc := range map[string]struct{ target, body, reason string }{
		"two queues":         {"/pause?queue=a&queue=b", "", `queue: has 2 values, such as "a" and "b"; must have one`},
		"other parameter":    {"/resume?name=a", "", `name: "a": unknown parameter; must be one of queue`},
		"drain of one queue": {"/drain?queue=a", "", `queue: "a": unknown parameter; this request takes none`},
		"config of one":      {"/config?queue=a", "", `queue: "a": unknown parameter; this request takes none`},
		"bad escape":         {"/pause?queue=%zz", "", "query: is not a list of percent-encoded parameters"},
		"long parameter":     {"/pause?" + strings.Repeat("x", 100), "", strings.Repeat("x", 60) + `: "": unknown parameter; must be one of queue`},
		"a form":             {"/pause", "queue=a", `body "queue=a": must be empty; parameters are in the query, such as ?queue=NAME`},
		"a form for drain":   {"/drain", "queue=a", `body "queue=a": must be empty; parameters are in the query, such as ?queue=NAME`},
		"long body":          {"/concurrency", "2                    000", `body "2                   ": has more than 20 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			done := 0
			act := func() { done++ }
			method := http.MethodPost
			if strings.HasPrefix(tc.target, "/config") {
				method = http.MethodGet
			}
			r := httptest.NewRequest(method, tc.target, strings.NewReader(tc.body))
			r.RemoteAddr, r.Host = "127.0.0.1:40000", "localhost"
			w := httptest.NewRecorder()
			New(Config{Drain: act, Queues: []Queue{{
				Name: "a", Pause: act, Resume: act, Settings: func() any { done++; return 1 }, Concurrency: func(int) error { done++; return nil },
			}}}).ServeHTTP(w, r)
			var got answer
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if w.Code != http.StatusBadRequest || got.Reason != tc.reason || done != 0 {
				t.Errorf("answer is %d %q after %d actions, want 400 %q", w.Code, got.Reason, done, tc.reason)
			}
		})
	}
}

// A page whose name was made to point at this machine reads nothing.
func TestAllowsHost(t *testing.T) {
	h := New(Config{
		Token: "sesame", Hosts: []string{"worker.internal"}, Queues: []Queue{{Name: "q", Settings: func() any { return 1 }}},
		Metrics: http.NotFoundHandler(),
	})
	for _, tc := range []struct {
		remote, host, token string
		refused             bool
	}{
		{"127.0.0.1:4", "rebound.example:9090", "", true},
		{"[::1]:4", "localhost.rebound.example", "", true},
		{"127.0.0.1:4", "", "", true},
		{"127.0.0.1:4", "rebound.example", "Bearer sesame", false},
		{"127.0.0.1:4", "Worker.Internal:80", "", false},
		{"127.0.0.1:4", "localhost:9090", "", false},
		{"[::1]:4", "[::1]:9090", "", false},
		{"192.0.2.7:4", "worker-7:9090", "", false},
	} {
		for _, path := range []string{"/config", "/metrics", "/healthz"} {
			r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
			r.RemoteAddr, r.Host = tc.remote, tc.host
			r.Header.Set("Authorization", tc.token)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if refused := w.Code == http.StatusMisdirectedRequest; refused != (tc.refused && path != "/healthz") {
				t.Errorf("%s from %s as %q: answered %d", path, tc.remote, tc.host, w.Code)
			}
		}
	}
}
