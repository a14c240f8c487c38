package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Declared lengths cost nothing before the bytes come.
func testDeclaredLengths(t *testing.T) {
	l := startLocal(t)
	during(t, l.api, "", func() {
		for path, length := range map[string]int{"/messages:batch": 8 << 20, "/": 1 << 20} {
			// The server asks for the rest once it has begun to read, and charged what it charges.
			request := message(l.api, "POST", path, "", asJSON, "Expect: 100-continue")
			for _, conn := range hold(t, l.api, 50, strings.Replace(request, "Content-Length: 0", fmt.Sprint("Content-Length: ", length), 1)) {
				if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
					t.Errorf("%s with %d bytes to come: %q, %v, want 100", path, length, line, err)
				}
			}
		}
	})
}

// A client fills the memory for bodies, and keeps its requests open. Clients at other addresses
// find as much as it has taken.
func testHeldBodies(t *testing.T) {
	l := startLocal(t)
	elsewhere := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: elsewhere.DialContext}}
	defer client.CloseIdleConnections()
	most := 8 << 20
	body := "[" + strings.Repeat(" ", most-2) // and no end
	request := strings.Replace(message(l.api, "POST", "/messages:batch", "", asJSON), "Content-Length: 0", fmt.Sprint("Content-Length: ", most), 1)
	duringOf(t, client, l.api, "", func() {
		refused := make(chan answer, 20)
		for range cap(refused) {
			conn := dial(t, l.api)
			go func() { _, _ = io.WriteString(conn, request+body) }() // ends with the refusal, or with the test
			go func() {
				if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
					refused <- answer{code: resp.StatusCode}
					_ = resp.Body.Close()
				}
			}()
		}
		for range cap(refused) / 2 { // the others are held
			if got := <-refused; got.code != http.StatusServiceUnavailable {
				t.Errorf("a body beyond the memory for bodies: %d, want 503", got.code)
			}
		}
	})
}

// A client asks again and again, and reads nothing.
func testUnreadAnswers(t *testing.T) {
	l := startLocal(t)
	during(t, l.api, "", func() {
		for _, conn := range hold(t, l.api, 100, "") {
			if err := conn.(*net.TCPConn).SetReadBuffer(1 << 10); err != nil { // the server's writes soon block
				t.Fatal(err)
			}
			go func() {
				_, _ = io.WriteString(conn, strings.Repeat(message(l.api, "GET", "/openapi.json", ""), 100)) // blocks, or ends with the test
			}()
		}
	})
}

// A page of another site in a browser on this machine, by its own name for the machine (DNS
// rebinding) or by requests that browsers send without asking.
func testForeignPages(t *testing.T) {
	l := startLocal(t)
	admin := l.admin(t)
	const page = "Origin: http://evil.test"
	listQueues := func(headers ...string) string {
		return message(l.queue, "POST", "/", "{}", append(headers, "X-Amz-Target: AmazonSQS.ListQueues", "Content-Type: application/x-amz-json-1.0")...)
	}
	during(t, l.api, "", func() {
		expect(t, l.api, map[string]refusal{
			"rebound":          {message(l.api, "POST", "/", `{"name":"a"}`, asJSON, "Host: evil.test"), 421, "Host"},
			"rebound, reads":   {message(l.api, "GET", "/messages/a", "", "Host: evil.test"), 421, "Host"},
			"plain text":       {message(l.api, "POST", "/", `{"name":"a"}`, "Content-Type: text/plain", page), 415, "Content-Type"},
			"a form":           {message(l.api, "POST", "/", `{"name":"a"}`, "Content-Type: application/x-www-form-urlencoded", page), 415, "Content-Type"},
			"no type":          {message(l.api, "POST", "/", `{"name":"a"}`, page), 415, "Content-Type"},
			"forget":           {message(l.api, "DELETE", "/messages/a", "", page, "Sec-Fetch-Site: cross-site"), 401, `"field":"Authorization"`},
			"redrive of all":   {message(l.api, "POST", "/dlq/redrive", "{}", asJSON, page), 401, `"field":"Authorization"`},
			"rebound, forgets": {message(l.api, "DELETE", "/messages/a", "", "Host: evil.test"), 421, "Host"},
		})
		if got := send(t, l.api, message(l.api, "OPTIONS", "/", "", page, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")); got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a preflight is allowed: %v", got.header)
		}
		for _, verb := range []string{"/pause", "/resume", "/drain", "/believe", "/concurrency"} {
			expect(t, admin, map[string]refusal{
				verb + " of a page": {message(admin, "POST", verb, "", page), 403, "site"},
				verb + " rebound":   {message(admin, "POST", verb, "", "Host: evil.test"), 403, "localhost"},
				verb + " by GET":    {message(admin, "GET", verb, ""), 405, ""},
			})
		}
		for _, path := range []string{"/", "/config", "/metrics", "/api/queues", "/api/queues/sqsonce/status", "/api/queues/sqsonce/stream", "/api/queues/sqsonce/names?name=a"} {
			expect(t, admin, map[string]refusal{path: {message(admin, "GET", path, "", "Host: evil.test"), 421, "localhost"}})
		}
		expect(t, admin, map[string]refusal{
			"forget by a page": {message(admin, "POST", "/api/queues/sqsonce/forget", `{"name":"a"}`, asJSON, page), 403, ""},
			"login by a page":  {message(admin, "POST", "/api/login", `{"token":"a"}`, asJSON, page), 403, ""},
		})
		expect(t, l.queue, map[string]refusal{
			"SQS, rebound":    {listQueues("Host: evil.test"), 421, "localhost"},
			"SQS, of a page":  {listQueues(page), 403, "AccessDenied"},
			"SQS, not a page": {listQueues(), 200, "QueueUrls"},
		})
	})
}

// A page cannot make a mirrored request, and no path leaves the prefix.
func testMirroredPaths(t *testing.T) {
	l := startLocal(t, "--path-prefix", "/api", "--target-url", "http://127.0.0.1:9/")
	key := "Idempotency-Key: k"
	cases := map[string]refusal{
		"of a page, a form": {message(l.api, "POST", "/api/x", `{"name":"a"}`, "Content-Type: application/x-www-form-urlencoded", "Origin: http://evil.test"), 403, "Origin"},
		"of a page, text":   {message(l.api, "POST", "/api/x", `{"name":"a"}`, "Content-Type: text/plain", "Sec-Fetch-Site: cross-site"), 403, "Origin"},
		"rebound":           {message(l.api, "POST", "/api/x", `{}`, asJSON, key, "Host: evil.test"), 421, "Host"},
		"another host":      {message(l.api, "POST", "http://evil.test/api/x", `{}`, asJSON, key), 421, "Host"},
		"another case":      {message(l.api, "POST", "/API/x", `{}`, asJSON, key), 404, "/openapi.json"},
	}
	for _, path := range []string{"/api/../x", "/api/%2e%2e/x", "/api/..%2fx", `/api/%5c..%5cx`, "/api/x/%2E%2e", "/api/%252e%252e/x", "/api/..%252fx"} {
		cases[path] = refusal{message(l.api, "POST", path, `{}`, asJSON, key), 400, `\"..\"`}
	}
	during(t, l.api, "", func() { expect(t, l.api, cases) })
}

const rightToken = "token-0123456789abcdef"

// Nothing but the whole token lets a client in, and wrong ones do not keep its owner out.
func testTokens(t *testing.T) {
	s := newStack(t)
	p := start(t, append(s.env, "SQSONCE_AUTH_TOKEN="+rightToken), "producer", "serve", "--create", "--queue-url", s.queueURL, "--table", s.table, "--addr", "127.0.0.1:0")
	api := p.match(`(http://127\.0\.0\.1:\d+)`)
	during(t, api, rightToken, func() {
		for _, header := range []string{
			"X: none", "Authorization: " + rightToken, "Authorization: Bearer", "Authorization: Bearer " + rightToken[:21],
			"Authorization: Bearer " + rightToken + "x", "Authorization: Basic " + rightToken, "X-Forwarded-For: 127.0.0.1",
			"X-Original-URL: /healthz", "Cookie: token=" + rightToken,
		} {
			for _, path := range []string{"/messages/a", "/queue", "/dlq", "/metrics", "/queue?access_token=" + rightToken} {
				got := send(t, api, message(api, "GET", path, "", header))
				if got.code != http.StatusUnauthorized && got.code != http.StatusTooManyRequests {
					t.Errorf("GET %s with %q: %d %s, want 401 or 429", path, header, got.code, got.body)
				}
			}
		}
		for _, path := range []string{"/healthz/../queue", "//queue", "/queue/", "/QUEUE", "/healthz/%2e%2e/queue"} {
			if got := send(t, api, message(api, "GET", path, "")); got.code == http.StatusOK {
				t.Errorf("GET %s without a token: %s", path, got.body)
			}
		}
		refused := 0
		for range 100 {
			if send(t, api, message(api, "GET", "/queue", "", "Authorization: Bearer guess")).code == http.StatusTooManyRequests {
				refused++
			}
		}
		if refused == 0 {
			t.Error("a hundred wrong tokens, and none was refused for its number")
		}
	})
}

// Visitors take all streams of the console that they can. The page's other way to its figures
// works, and a visitor who may act gets a stream.
func testStreams(t *testing.T) {
	l := startLocal(t)
	admin := l.admin(t)
	during(t, l.api, "", func() {
		opened := 0
		for _, conn := range hold(t, admin, 300, message(admin, "GET", "/api/queues/sqsonce/stream", "", "X-Forwarded-For: 203.0.113.7")) {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = resp.Body.Close() })
			if resp.StatusCode == http.StatusOK {
				opened++
			} else if resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("a stream: %d", resp.StatusCode)
			}
		}
		if opened == 0 || opened == 300 {
			t.Errorf("%d of 300 streams were opened", opened)
		}
		if got := send(t, admin, message(admin, "GET", "/api/queues/sqsonce/status", "")); got.code != http.StatusOK {
			t.Errorf("status beside %d streams: %d %s", opened, got.code, got.body)
		}
		own := hold(t, admin, 1, message(admin, "GET", "/api/queues/sqsonce/stream", ""))
		if line, err := bufio.NewReader(own[0]).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
			t.Errorf("the operator's stream beside %d others: %q, %v", opened, line, err)
		}
	})
}

// Nothing from outside begins a line of the log, or reaches a terminal as a command.
func testLogLines(t *testing.T) {
	for _, format := range []string{"json", "text", "pretty"} {
		t.Run(format, func(t *testing.T) { testLogFormat(t, format) })
	}
}

func testLogFormat(t *testing.T, format string) {
	l := startLocal(t, "--log-format", format, "--debug", "--handler", "log")
	evil := "\u001b]0;x\a\u009b31m\u202e\r\nERROR forged\n{\"level\":\"ERROR\",\"msg\":\"forged\"}"
	text, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	during(t, l.api, "", func() {
		for _, request := range []string{
			message(l.api, "POST", "/", `{"name":"\u202eb\u2028","x":`+string(text)+`}`, asJSON),
			message(l.api, "POST", "/", `{"name":`+string(text)+`}`, asJSON),
			message(l.api, "GET", "/messages/"+url.PathEscape(evil), ""),
			message(l.api, "GET", "/"+url.PathEscape(evil), "", "User-Agent: \x1b[31m", "X-Request-Id: \x1b]0;x\a"),
			message(l.api, "GET", "/\u009b31m\u202e", ""),
		} {
			send(t, l.api, request)
		}
		client := sqs.NewFromConfig(emulators.Config(l.queue))
		sendRaw(t, client, "sqsonce", "{\"name\":\"c\",\r\n\"x\":\"\u009b31m\u202e\"}\nERROR forged")
		sendRaw(t, client, "sqsonce", "{\"name\":\"d\",\r\n\"x\":\"\u009b31m\u202e\"}")
		drainDeadLetters(t, client, "sqsonce-dlq", 1)
		final(t, l.api, "d")
	})
	l.terminate()
	out, _ := l.end()
	if strings.Count(out, "forged") == 0 {
		t.Errorf("the log has nothing of the attack:\n%s", out)
	}
	for line := range strings.Lines(out) {
		var entry struct{ Msg string }
		isJSON := json.Unmarshal([]byte(line), &entry) == nil
		if entry.Msg == "forged" || !isJSON && (format == "json" && strings.Contains(line, "forged") || strings.HasPrefix(line, "ERROR") || strings.HasPrefix(line, "{")) {
			t.Errorf("log line %q", line)
		}
		if at := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }); at >= 0 {
			t.Errorf("log line with a control character at byte %d: %q", at, line)
		}
	}
}

// Names that look alike or lie near each other are different names, and each keeps its own record.
func testNamesAlike(t *testing.T) {
	l := startLocal(t)
	alike := []string{"a", "A", "a ", "a/b", "a%2Fb", "a\\b", "sqsonce#a", "#a", ".", "..", "é", "e\u0301", "a\u200b", "17", "017", "17.0", "resolve", "a/resolve"}
	during(t, l.api, "", func() {
		var all sync.WaitGroup
		for i, name := range alike {
			all.Go(func() {
				body, _ := json.Marshal(map[string]any{"name": name, "n": i})
				if code, _, answer := post(t, l.api, string(body)); code != http.StatusAccepted {
					t.Errorf("%q: %d %s", name, code, answer)
				}
			})
		}
		all.Wait()
		for _, name := range alike {
			if r := final(t, l.api, name); r.Name != name || r.Status != "COMPLETED" || r.Attempts != 1 {
				t.Errorf("%q has the record %+v", name, r)
			}
		}
	})
	if code, _, _ := post(t, l.api, `{"name":"a","n":"another payload"}`); code != http.StatusAccepted {
		t.Fatalf("another payload: %d", code)
	}
	client := sqs.NewFromConfig(emulators.Config(l.queue))
	for _, reason := range drainDeadLetters(t, client, "sqsonce-dlq", 1) {
		if reason != "mismatch" {
			t.Errorf("another payload of a name: reason %q", reason)
		}
	}
}

// A sender of messages chooses neither the host of a request nor a header of its own.
func testHostileAttributes(t *testing.T) {
	seen := make(chan *http.Request, 10)
	app := newHeaderTarget(t, seen)
	l := startLocal(t, "--target-url", app, "--path-prefix", "/api")
	client := sqs.NewFromConfig(emulators.Config(l.queue))
	during(t, l.api, "", func() {
		for i, path := range []string{"http://evil.test/api/x", "//evil.test/api", "/api/../admin", "/other", "/api/%2e%2e/x", "@evil.test/api"} {
			sendWith(t, client, fmt.Sprintf(`{"name":"path-%d"}`, i), map[string]string{"sqsonce.path": path, "sqsonce.method": "POST"})
		}
		for body, reason := range drainDeadLetters(t, client, "sqsonce-dlq", 6) {
			if reason != "rejected" {
				t.Errorf("%s: reason %q", body, reason)
			}
		}
		sendWith(t, client, `{"name":"headers"}`, map[string]string{"x": "a\r\nInjected: 1", "Host": "evil.test", "Authorization": "Bearer forged", "Transfer-Encoding": "chunked"})
		if r := final(t, l.api, "headers"); r.Status != "COMPLETED" {
			t.Errorf("got %+v", r)
		}
	})
	for {
		r := receive(t, seen)
		if strings.HasPrefix(r.Header.Get("X-Sqsonce-Name"), "path-") {
			t.Errorf("%s reached the target at %s", r.Header.Get("X-Sqsonce-Name"), r.URL)
		}
		if r.Header.Get("X-Sqsonce-Name") != "headers" {
			continue
		}
		if r.Header.Get("Injected") != "" || r.Host == "evil.test" || r.Header.Get("Authorization") != "" {
			t.Errorf("a message's attributes became headers: %s %v", r.Host, r.Header)
		}
		return
	}
}

// receive waits for a request at a target.
func receive(t *testing.T, seen <-chan *http.Request) *http.Request {
	t.Helper()
	select {
	case r := <-seen:
		return r
	case <-time.After(patience):
		t.Fatal("no request reached the target")
		return nil
	}
}

// newHeaderTarget returns the address of a target that reports its requests. Of a flood it reports
// none but those of names that begin with "path-" or "headers".
func newHeaderTarget(t *testing.T, seen chan<- *http.Request) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.Header.Get("X-Sqsonce-Name"); strings.HasPrefix(name, "path-") || name == "headers" {
			seen <- r
		}
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func sendWith(t *testing.T, client *sqs.Client, body string, attributes map[string]string) {
	t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: queueURL(t, client, "sqsonce"), MessageBody: &body, MessageAttributes: make(map[string]types.MessageAttributeValue)}
	for name, value := range attributes {
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	if _, err := client.SendMessage(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}
