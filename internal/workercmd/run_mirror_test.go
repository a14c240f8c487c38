package workercmd

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/sqsonce/sqsonce/internal/mirror"
)

// mirrorTarget is a target that records its requests.
type mirrorTarget struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]mirrorSeen // guarded by mu; requests by name
}

type mirrorSeen struct {
	method, uri, body string
	header            http.Header
	length            int64
	count             int
}

func newMirrorTarget(t *testing.T) *mirrorTarget {
	m := &mirrorTarget{seen: make(map[string]mirrorSeen)}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		name := r.Header.Get("X-Sqsonce-Name")
		m.seen[name] = mirrorSeen{r.Method, r.RequestURI, string(body), r.Header.Clone(), r.ContentLength, m.seen[name].count + 1}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"saw":%q}`, r.Method+" "+r.URL.Path)
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *mirrorTarget) of(name string) mirrorSeen {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[name]
}

// A client only changes the host of its requests, and the target gets them unchanged.
func TestMirroredAPI(t *testing.T) {
	target := newMirrorTarget(t)
	p := startLocal(t, "--target-url", target.URL+"/base?key=k", "--path-prefix", "/v1")
	api := p.producerURL(t)
	for name, tc := range map[string]struct {
		method, uri, body string
		header            map[string]string
		want              string // request URI at the target
	}{
		"create":  {"POST", "/v1/orders", `{"total":5}`, map[string]string{"Content-Type": "application/json"}, "/base/v1/orders?key=k"},
		"replace": {"PUT", "/v1/orders/a%2Fb%20c/?x=1&x=2&y=%26", `{"a":[1, 2]}`, map[string]string{"Content-Type": "application/merge-patch+json", "If-Match": `"7"`}, "/base/v1/orders/a%2Fb%20c/?key=k&x=1&x=2&y=%26"},
		"form":    {"PATCH", "/v1/orders/1", "a=b&c=d+e", map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/plain"}, "/base/v1/orders/1?key=k"},
		"delete":  {"DELETE", "/v1/orders/1?force", "", nil, "/base/v1/orders/1?key=k&force"},
		"nothing": {"POST", "/v1", "", nil, "/base/v1?key=k"},
	} {
		t.Run(name, func(t *testing.T) {
			header := map[string]string{
				"Idempotency-Key": name, "Prefer": "wait=60", "Authorization": "Bearer client", "Cookie": "a=b", "X-Private": "1",
				"X-Sqsonce-Fence": "999", "Keep-Alive": "5", "X-Forwarded-For": "203.0.113.1",
			}
			for key, value := range tc.header {
				header[key] = value
			}
			for range 2 { // the second one is a duplicate
				resp := request(t, tc.method, api+tc.uri, tc.body, header)
				text, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), `"status":"COMPLETED"`) ||
					!strings.Contains(string(text), `"result":{"saw":"`+tc.method+` /base/v1`) {
					t.Fatalf("answered %d, %v: %s", resp.StatusCode, err, text)
				}
			}
			got := target.of(name)
			if got.method != tc.method || got.uri != tc.want || got.body != tc.body || got.length != int64(len(tc.body)) || got.count != 1 {
				t.Errorf("the target saw %s %s %q (%d bytes announced), %d times; want %s", got.method, got.uri, got.body, got.length, got.count, tc.want)
			}
			for key := range tc.header {
				if got.header.Get(key) != tc.header[key] {
					t.Errorf("%s is %q", key, got.header.Get(key))
				}
			}
			if _, ok := tc.header["Content-Type"]; !ok && got.header.Get("Content-Type") != "" {
				t.Errorf("a Content-Type of nothing: %q", got.header.Get("Content-Type"))
			}
			for _, key := range []string{"Authorization", "Cookie", "X-Private", "Keep-Alive", "X-Forwarded-For", "Prefer", "X-Aws-Sqsd-Attr-Sqsonce.path"} {
				if value := got.header.Get(key); value != "" {
					t.Errorf("%s reached the target: %q", key, value)
				}
			}
			if got.header.Get("Idempotency-Key") != `"`+name+`"` || got.header.Get("X-Sqsonce-Fence") == "999" {
				t.Errorf("headers are %v", got.header)
			}
		})
	}
}

func TestMirror(t *testing.T) {
	t.Run("path that is not allowed", testPathThatIsNotAllowed)
}

// A message that asks for a path outside --path-prefix is dead-lettered with an error.
func testPathThatIsNotAllowed(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"another prefix": {[]string{"--path-prefix", "/v2"}, "not below an allowed path (--path-prefix)"},
		"none":           {nil, "not below an allowed path (--path-prefix)"},
	} {
		t.Run(name, func(t *testing.T) {
			target := newMirrorTarget(t)
			p := startLocal(t, append(tc.args, "--target-url", target.URL)...)
			queueURL := p.queueURL(t)
			sendWith(t, anySDK(queueURL), queueURL, body("attack"), map[string]string{mirror.AttrMethod: "DELETE", mirror.AttrPath: "/v1/users"})
			wait(t, "the message is rejected", func() bool {
				resp := request(t, http.MethodGet, p.producerURL(t)+"/messages/attack", "", nil)
				defer func() { _ = resp.Body.Close() }()
				text, _ := io.ReadAll(resp.Body) // a short text fails the check below
				return strings.Contains(string(text), `"status":"REJECTED"`) && strings.Contains(string(text), tc.want)
			})
			if seen := target.of("attack"); seen.count != 0 {
				t.Errorf("the target saw %s %s", seen.method, seen.uri)
			}
		})
	}
}
