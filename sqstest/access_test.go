package sqstest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAccess(t *testing.T) {
	t.Run("browsers are no way in", testBrowsersAreNoWayIn)
}

// Pages of other sites must not reach the server through a browser on this machine.
func testBrowsersAreNoWayIn(t *testing.T) {
	b := newBench(t)
	q := b.create("q")
	b.send(q, "secret")
	for _, c := range []struct {
		name, host, from string
		header           http.Header
		want             int
	}{
		{"a client", "127.0.0.1:4566", "127.0.0.1:9", nil, 200},
		{"localhost", "localhost:4566", "[::1]:9", nil, 200},
		{"an IPv6 address", "[::1]:4566", "[::1]:9", nil, 200},
		{"another machine by name", "queue:4566", "10.0.0.7:9", nil, 200},
		{"a page of the same origin", "localhost:4566", "127.0.0.1:9", http.Header{"Origin": {"http://localhost:4566"}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		{"the address bar", "localhost:4566", "127.0.0.1:9", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
		{"a rebound name", "evil.example:4566", "127.0.0.1:9", nil, 421},
		{"a rebound name, same origin", "evil.example:4566", "127.0.0.1:9", http.Header{"Origin": {"http://evil.example:4566"}, "Sec-Fetch-Site": {"same-origin"}}, 421},
		{"an image on another site", "127.0.0.1:4566", "127.0.0.1:9", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a page of another port", "127.0.0.1:4566", "127.0.0.1:9", http.Header{"Origin": {"http://127.0.0.1:8080"}}, 403},
		{"a page without an origin", "127.0.0.1:4566", "127.0.0.1:9", http.Header{"Origin": {"null"}}, 403},
		{"another site of the domain", "queue:4566", "10.0.0.7:9", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
	} {
		for _, target := range []string{"", "AmazonSQS.ReceiveMessage"} {
			r := httptest.NewRequest(http.MethodPost, "/?Action=ReceiveMessage&VisibilityTimeout=0&QueueUrl=q", strings.NewReader(`{"QueueUrl":"q","VisibilityTimeout":0}`))
			r.Header = http.Header{}
			for k, v := range c.header {
				r.Header[k] = v
			}
			r.Header.Set("Content-Type", "text/plain")
			if target != "" {
				r.Header.Set("X-Amz-Target", target)
			}
			r.Host, r.RemoteAddr = c.host, c.from
			w := httptest.NewRecorder()
			b.server.ServeHTTP(w, r)
			if w.Code != c.want || strings.Contains(w.Body.String(), "secret") != (c.want == 200) {
				t.Errorf("%s, target %q: %d %s, want %d", c.name, target, w.Code, w.Body, c.want)
			}
		}
	}
}
