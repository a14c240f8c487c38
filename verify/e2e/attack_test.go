package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestAttack attacks the binaries over sockets. Each attack is refused with an exact answer, and
// other clients are served meanwhile. docs/security.md states the bounds.
func TestAttack(t *testing.T) {
	t.Run("malformed requests", testMalformedRequests)
	t.Run("paths", testPaths)
	t.Run("bodies", testBodies)
	t.Run("response splitting", testResponseSplitting)
	t.Run("slow headers", testSlowHeaders)
	t.Run("large headers", testLargeHeaders)
	t.Run("declared lengths", testDeclaredLengths)
	t.Run("held bodies", testHeldBodies)
	t.Run("many connections", testManyConnections)
	t.Run("answers that are not read", testUnreadAnswers)
	t.Run("foreign pages", testForeignPages)
	t.Run("mirrored paths", testMirroredPaths)
	t.Run("tokens", testTokens)
	t.Run("streams", testStreams)
	t.Run("log lines", testLogLines)
	t.Run("names alike", testNamesAlike)
	t.Run("redirects", testRedirects)
	t.Run("answers of a target", testHostileAnswers)
	t.Run("message attributes", testHostileAttributes)
	t.Run("messages that unpack", testHostileEnvelopes)
	t.Run("messages of many values", testManyValues)
	t.Run("terminal", testTerminal)
	t.Run("files of queues", testConfigFiles)
}

// another is the client that must be served beside an attack.
var another = &http.Client{Timeout: patience}

// after is the number of messages that the other client sends after the attack, because a server
// may feel a connection only some time after it was opened.
const after = 10

// during runs an attack while another client posts messages and reads their records. That client
// must be served, also after the attack's connections have been opened.
func during(t *testing.T, api, token string, attack func()) {
	t.Helper()
	duringOf(t, another, api, token, attack)
}

// duringOf is during with a client of the caller's.
func duringOf(t *testing.T, client *http.Client, api, token string, attack func()) {
	t.Helper()
	var stop atomic.Bool
	served := make(chan struct{})
	go func() {
		defer close(served)
		for n, left := 0, after; left > 0; n++ {
			if stop.Load() {
				left--
			}
			if !honest(t, client, api, token, fmt.Sprintf("honest-%p-%d", &stop, n)) {
				break
			}
		}
	}()
	defer func() { // also if the attack ends the test
		stop.Store(true)
		<-served
	}()
	attack()
}

// honest posts a message and reads its record.
func honest(t *testing.T, client *http.Client, api, token, name string) bool {
	for _, want := range []struct {
		method, path, body string
		codes              []int
	}{
		{http.MethodPost, "/", fmt.Sprintf(`{"name":%q}`, name), []int{http.StatusAccepted}},
		{http.MethodGet, "/messages/" + name, "", []int{http.StatusOK, http.StatusNotFound}},
	} {
		ctx := t.Context()
		req, err := http.NewRequestWithContext(ctx, want.method, api+want.path, strings.NewReader(want.body))
		if err != nil {
			t.Error(err)
			return false
		}
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("another client's %s %s: %v", want.method, want.path, err)
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want.codes[0] && resp.StatusCode != want.codes[len(want.codes)-1] {
			t.Errorf("another client's %s %s: %d, want %v", want.method, want.path, resp.StatusCode, want.codes)
			return false
		}
	}
	return true
}

// answer is an answer read from a socket.
type answer struct {
	code   int
	header http.Header
	body   string
}

// dial connects to an address for the duration of the test.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// send sends bytes on a connection of their own and reads one answer.
func send(t *testing.T, address, request string) answer {
	t.Helper()
	conn := dial(t, address)
	go func() { _, _ = io.WriteString(conn, request) }() // a refusal may come before the end of the request
	return read(t, bufio.NewReader(conn), request)
}

func read(t *testing.T, from *bufio.Reader, request string) answer {
	t.Helper()
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatalf("answer to %.80q: %v", request, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("answer to %.80q: %v", request, err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// message returns the bytes of a request. Host is the address unless a header names another.
func message(address, method, path, body string, headers ...string) string {
	host := strings.TrimPrefix(address, "http://")
	var b strings.Builder
	for _, h := range headers {
		if other, ok := strings.CutPrefix(h, "Host: "); ok {
			host = other
			continue
		}
		fmt.Fprintf(&b, "%s\r\n", h)
	}
	if body != "" || method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", method, path, host, b.String(), body)
}

const asJSON = "Content-Type: application/json"

// expect sends requests to an address and compares their answers.
func expect(t *testing.T, address string, cases map[string]refusal) {
	t.Helper()
	for name, tc := range cases {
		got := send(t, address, tc.request)
		if got.code != tc.code || !strings.Contains(got.body, tc.says) {
			t.Errorf("%s: %d %.300s, want %d and %q", name, got.code, got.body, tc.code, tc.says)
		}
	}
}

type refusal struct {
	request string
	code    int
	says    string // in the body
}

// Requests that two servers could read in two ways are refused (RFC 9112, section 11.2).
func testMalformedRequests(t *testing.T) {
	l := startLocal(t)
	host := strings.TrimPrefix(l.api, "http://")
	start := "POST / HTTP/1.1\r\nHost: " + host + "\r\n" + asJSON + "\r\n"
	during(t, l.api, "", func() {
		expect(t, l.api, map[string]refusal{
			"two lengths":           {start + "Content-Length: 12\r\nContent-Length: 13\r\n\r\n" + `{"name":"a"}`, 400, ""},
			"another coding":        {start + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, "transfer encoding"},
			"two hosts":             {"GET /queue HTTP/1.1\r\nHost: " + host + "\r\nHost: evil.test\r\n\r\n", 400, ""},
			"no host":               {"GET /queue HTTP/1.1\r\n\r\n", 400, "Host"},
			"blank before a colon":  {"GET /queue HTTP/1.1\r\nHost: " + host + "\r\nX : y\r\n\r\n", 400, "header name"},
			"chunk with a bare LF":  {start + "Transfer-Encoding: chunked\r\n\r\nc\n{\"name\":\"a\"}\n0\n\n", 400, ""},
			"17 kB of headers":      {message(l.api, "GET", "/queue", "", "X: "+strings.Repeat("y", 17_000)), 431, "16384"},
			"60 kB of path":         {message(l.api, "GET", "/messages/"+strings.Repeat("y", 60_000), ""), 400, "1024"},
			"HTTP/2 without asking": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, "/openapi.json"},
			"HTTP/2 by an upgrade":  {message(l.api, "GET", "/queue", "", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), 200, "visible"},
			"a tunnel":              {"CONNECT evil.test:80 HTTP/1.1\r\nHost: evil.test:80\r\n\r\n", 404, "/openapi.json"},
		})
	})
}

// A path is what it says. The API is no proxy, and nothing but its own routes is reachable.
func testPaths(t *testing.T) {
	l := startLocal(t)
	admin := l.admin(t)
	get := func(address, path string) string { return message(address, "GET", path, "") }
	during(t, l.api, "", func() {
		expect(t, l.api, map[string]refusal{
			"up":                    {get(l.api, "/messages/../queue"), 404, "/openapi.json"},
			"up, escaped":           {get(l.api, "/messages/%2e%2e/%2e%2e/etc/passwd"), 404, "/openapi.json"},
			"up, backslash":         {get(l.api, `/messages/..%5c..%5cetc`), 404, `"field":"name"`},
			"two slashes":           {get(l.api, "//evil.test/queue"), 404, "/openapi.json"},
			"another host":          {get(l.api, "http://evil.test/queue"), 421, "Host"},
			"metadata of AWS":       {get(l.api, "http://169.254.169.254/latest/meta-data"), 404, "/openapi.json"},
			"NUL":                   {get(l.api, "/messages/a%00b"), 400, "control character"},
			"profiles":              {get(l.api, "/debug/pprof/"), 404, "/openapi.json"},
			"the admin server's":    {get(l.api, "/config"), 404, "/openapi.json"},
			"asterisk":              {get(l.api, "*"), 404, "/openapi.json"},
			"another method":        {message(l.api, "TRACE", "/queue", ""), 405, ""},
			"another method's name": {message(l.api, "GET", "/", "", "X-HTTP-Method-Override: POST"), 405, ""},
		})
		expect(t, admin, map[string]refusal{
			"up":            {get(admin, "/..%2f..%2fetc/passwd"), 404, `"status":404`},
			"up, escaped":   {get(admin, "/assets/%2e%2e/console.go"), 404, ""},
			"up, backslash": {get(admin, `/assets/..%5cconsole.go`), 404, ""},
			"profiles":      {get(admin, "/debug/pprof/"), 404, `"status":404`},
		})
		if got := send(t, admin, get(admin, "//evil.test/")); strings.HasPrefix(got.header.Get("Location"), "//") {
			t.Errorf("two slashes: redirected to %q, another host", got.header.Get("Location"))
		}
	})
}

func (l *local) admin(t *testing.T) string {
	t.Helper()
	return strings.TrimSuffix(l.match(`admin\s+(http://\S+)`), "/")
}

// Bodies that cost more than they should: bombs, doubtful JSON, names that are none.
func testBodies(t *testing.T) {
	l := startLocal(t)
	post := func(body string, headers ...string) string {
		return message(l.api, "POST", "/", body, append(headers, asJSON)...)
	}
	endless := "POST / HTTP/1.1\r\nHost: " + strings.TrimPrefix(l.api, "http://") + "\r\n" + asJSON + "\r\nTransfer-Encoding: chunked\r\n\r\n" +
		strings.Repeat("10000\r\n"+strings.Repeat("x", 1<<16)+"\r\n", 20)
	during(t, l.api, "", func() {
		expect(t, l.api, map[string]refusal{
			"over 1 MiB":                 {post(`{"name":"a","x":"` + strings.Repeat("x", 1<<20) + `"}`), 413, "1048576"},
			"99 MB, asks first":          {"POST / HTTP/1.1\r\nHost: x\r\n" + asJSON + "\r\nContent-Length: 99000000\r\nExpect: 100-continue\r\n\r\n", 421, "Host"},
			"99 MB":                      {strings.Replace(post("", "Expect: 100-continue"), "Content-Length: 0", "Content-Length: 99000000", 1), 413, "99000000"},
			"without an end":             {endless, 413, "1048576"},
			"64 MiB, compressed":         {post(bomb(), "Content-Encoding: gzip"), 415, "Content-Encoding"},
			"500,000 deep":               {post(`{"name":"a","x":` + strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000) + `}`), 400, "512"},
			"513 deep":                   {post(`{"name":"a","x":` + strings.Repeat("[", 513) + strings.Repeat("]", 513) + `}`), 400, "512"},
			"a million digits":           {post(`{"name":` + strings.Repeat("9", 1_000_000) + `}`), 400, "40"},
			"an exponent":                {post(`{"name":1e999999999}`), 400, "40"},
			"a key twice":                {post(`{"name":"a","name":"b"}`), 400, `"field":"body"`},
			"a key twice, escaped":       {post(`{"name":"a","n\u0061me":"b"}`), 400, `"field":"body"`},
			"half a surrogate pair":      {post(`{"name":"\ud800"}`), 400, "surrogate"},
			"not UTF-8":                  {post("{\"name\":\"\xff\"}"), 400, "UTF-8"},
			"a byte order mark":          {post("\ufeff" + `{"name":"a"}`), 400, "not JSON"},
			"another value behind":       {post(`{"name":"a"} {}`), 400, "not JSON"},
			"another case":               {post(`{"Name":"a"}`), 400, `"field":"name"`},
			"a prototype":                {post(`{"__proto__":{"name":"a"}}`), 400, `"field":"name"`},
			"a control character":        {post(`{"name":"a\u0000"}`), 400, "control character"},
			"1,025 bytes of name":        {post(`{"name":"` + strings.Repeat("x", 1025) + `"}`), 400, "1024"},
			"a batch over its number":    {message(l.api, "POST", "/messages:batch", "["+strings.Repeat(`{"name":"a"},`, 1000)+`{"name":"a"}]`, asJSON), 400, "1000"},
			"a batch of a deep document": {message(l.api, "POST", "/messages:batch", strings.Repeat("[", 100_000), asJSON), 400, ""},
		})
	})
}

// No input becomes a header of an answer, or a second answer.
func testResponseSplitting(t *testing.T) {
	l := startLocal(t)
	split := "a\r\nSet-Cookie: x=1\r\n\r\nHTTP/1.1 200 OK"
	name := "\u2028é/../?#%0d%0aSet-Cookie: x=1"
	during(t, l.api, "", func() {
		for request, location := range map[string]string{
			message(l.api, "GET", "/messages/"+url.PathEscape(split), ""):                        "",
			message(l.api, "GET", "/"+url.PathEscape(split), ""):                                 "",
			message(l.api, "GET", "/messages/a?cursor="+url.QueryEscape(split), ""):              "",
			message(l.api, "GET", "/messages/a", "", "X-Request-Id: a%0d%0aSet-Cookie:%20x=1"):   "",
			message(l.api, "GET", "/messages/a", "", "X-Request-Id: a\x0bSet-Cookie: x=1"):       "",
			message(l.api, "GET", "/messages/a", "", "Traceparent: "+url.QueryEscape(split)):     "",
			message(l.api, "POST", "/", `{"name":"a\r\nSet-Cookie: x=1"}`, asJSON):               "",
			message(l.api, "POST", "/", `{"name":"\u2028é/../?#%0d%0aSet-Cookie: x=1"}`, asJSON): "/messages/" + url.PathEscape(name),
		} {
			conn := dial(t, l.api)
			if _, err := io.WriteString(conn, strings.Replace(request, "\r\n", "\r\nConnection: close\r\n", 1)); err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			head, rest, _ := strings.Cut(string(all), "\r\n\r\n")
			if !oneHead.MatchString(head) || strings.Contains(head, "Set-Cookie: ") || strings.Contains(rest, "\nHTTP/1.1 ") {
				t.Errorf("%.80q has split the answer:\n%s", request, all)
			}
			if _, got, _ := strings.Cut(head, "\r\nLocation: "); !strings.HasPrefix(got+"\r\n", location+"\r\n") {
				t.Errorf("%.80q: answer %s, want Location %q", request, head, location)
			}
		}
	})
}

// oneHead matches the head of an answer with headers of the API and of net/http alone, in
// printable ASCII.
var oneHead = regexp.MustCompile(`^HTTP/1\.1 [ -~]+(\r\n(Allow|Cache-Control|Connection|Content-Length|Content-Type|Date|Etag|Link|Location|Retry-After|Www-Authenticate|` +
	`X-Content-Type-Options|X-Request-Id): [!-~][ -~]*)+$`)
