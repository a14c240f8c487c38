package target

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/mirror"
)

// received returns the request that the target receives for r.
func received(t *testing.T, cfg Config, r Request) (*http.Request, string) {
	var got *http.Request
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		got, body = req, string(data)
	}))
	defer srv.Close()
	cfg.URL = srv.URL + cfg.URL
	target, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Post(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return got, body
}

func TestTargetSeesTheMessage(t *testing.T) {
	req, body := received(t, Config{URL: "/work?a=b", Queue: "orders.fifo", Token: "t0ken"}, Request{
		Name: "order-17", Fence: 1790000000123, Attempt: 2, Body: `{"name": "order-17"}`,
		MessageID:     "6b2f0d0e-5c0c-4f0e-9a39-7d1c2c4b5a10",
		FirstReceived: time.Date(2026, 3, 4, 6, 7, 8, 999, time.FixedZone("", 3600)),
		ReceiveCount:  3,
		Attributes:    map[string]string{"tenant": "a/b", "order.id": "17"},
		TraceParent:   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	})
	if req.Method != http.MethodPost || req.RequestURI != "/work?a=b" || req.ProtoMajor != 1 {
		t.Errorf("request is %s %s %s", req.Method, req.RequestURI, req.Proto)
	}
	if body != `{"name": "order-17"}` || req.ContentLength != int64(len(body)) {
		t.Errorf("body is %q, announced with %d bytes", body, req.ContentLength)
	}
	want := map[string]string{
		"Content-Type":                 "application/json",
		"Content-Length":               "20",
		"Idempotency-Key":              `"order-17"`,
		"X-Sqsonce-Name":               "order-17",
		"X-Sqsonce-Fence":              "1790000000123",
		"X-Sqsonce-Attempt":            "2",
		"X-Aws-Sqsd-Msgid":             "6b2f0d0e-5c0c-4f0e-9a39-7d1c2c4b5a10",
		"X-Aws-Sqsd-Queue":             "orders.fifo",
		"X-Aws-Sqsd-First-Received-At": "2026-03-04T05:07:08Z",
		"X-Aws-Sqsd-Receive-Count":     "3",
		"X-Aws-Sqsd-Attr-Tenant":       "a/b",
		"X-Aws-Sqsd-Attr-Order.id":     "17",
		"Traceparent":                  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"Authorization":                "Bearer t0ken",
		"User-Agent":                   "sqsonce",
	}
	for key, value := range want {
		if got := req.Header[key]; !slices.Equal(got, []string{value}) {
			t.Errorf("%s is %q, want %q", key, got, value)
		}
	}
	for key := range maps.Keys(req.Header) {
		if _, ok := want[key]; !ok {
			t.Errorf("unexpected header %s: %q", key, req.Header[key])
		}
	}
}

func TestRequest(t *testing.T) {
	t.Run("header of an unknown value is left out", testHeaderOfAnUnknownValueIsLeftOut)
	t.Run("content type is that of the attribute", testContentTypeIsThatOfTheAttribute)
	t.Run("bytes that no header carries are encoded", testBytesThatNoHeaderCarriesAreEncoded)
	t.Run("user of the URL is sent unless there is a token", testUserOfTheURLIsSentUnlessThereIsAToken)
	t.Run("mirrored request without a body", testMirroredRequestWithoutABody)
}

func testHeaderOfAnUnknownValueIsLeftOut(t *testing.T) {
	req, body := received(t, Config{}, Request{Name: "n"})
	if body != "" {
		t.Errorf("body is %q", body)
	}
	for _, key := range []string{
		"X-Aws-Sqsd-Msgid", "X-Aws-Sqsd-Queue", "X-Aws-Sqsd-First-Received-At",
		"Traceparent", "Authorization", "Webhook-Id", "Webhook-Signature", "Webhook-Timestamp",
	} {
		if got, ok := req.Header[key]; ok {
			t.Errorf("%s is %q", key, got)
		}
	}
}

func testContentTypeIsThatOfTheAttribute(t *testing.T) {
	req, _ := received(t, Config{}, Request{Name: "n", Body: "<a/>", Attributes: map[string]string{"contentType": "text/xml; charset=utf-8"}})
	if got := req.Header["Content-Type"]; !slices.Equal(got, []string{"text/xml; charset=utf-8"}) {
		t.Errorf("Content-Type is %q", got)
	}
}

func testBytesThatNoHeaderCarriesAreEncoded(t *testing.T) {
	req, _ := received(t, Config{Queue: "q"}, Request{
		Name: `é "x" \ 5%`, Body: "{}", MessageID: "a\r\nX-Evil: 1",
		Attributes: map[string]string{
			"note": "line\nline", "contentType": "text/plain\r\nX-Evil: 1", "bad name\r\nX-Evil": "1", "edge": " x ",
		},
	})
	for key, want := range map[string]string{
		"Idempotency-Key":      `"%C3%A9 \"x\" \\ 5%25"`,
		"X-Sqsonce-Name":       `%C3%A9 "x" \ 5%25`,
		"X-Aws-Sqsd-Msgid":     "a%0D%0AX-Evil: 1",
		"X-Aws-Sqsd-Attr-Note": "line%0Aline",
		"X-Aws-Sqsd-Attr-Edge": "%20x%20",
		"Content-Type":         "text/plain%0D%0AX-Evil: 1",
	} {
		if got := req.Header[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got, ok := req.Header["X-Evil"]; ok {
		t.Errorf("a value made a header of its own: %q", got)
	}
}

func testUserOfTheURLIsSentUnlessThereIsAToken(t *testing.T) {
	for token, want := range map[string]string{"": "Basic dXNlcjpwYXNz", "t": "Bearer t"} {
		var got, uri string
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, uri = r.Header.Get("Authorization"), r.RequestURI
		}))
		target, err := New(Config{URL: "http://user:pass@" + srv.Listener.Addr().String() + "/x", Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); err != nil {
			t.Fatal(err)
		}
		if got != want || uri != "/x" {
			t.Errorf("Authorization is %q for %q, want %q", got, uri, want)
		}
		srv.Close()
	}
}

func TestAttributeHeadersAreBounded(t *testing.T) {
	attributes := map[string]string{"long": strings.Repeat("x", 9000), "small": "s", "umlauts": strings.Repeat("ü", 2000)}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		attributes[name] = strings.Repeat(name, 8000)
	}
	r, body := received(t, Config{}, Request{
		Name: "n", Body: "the body", Attributes: attributes,
		Binary:  map[string][]byte{"raw": {1, 2, 255}},
		Headers: map[string]string{"X-Amz-Sns-Subject": strings.Repeat("s", 9000), "X-Amz-Sns-Message-Id": "m"},
	})
	total := 0
	for name, values := range r.Header {
		if size := len(name) + 2 + len(values[0]); size > 8192 {
			t.Errorf("%s has %d bytes", name, size)
		} else if strings.HasPrefix(name, "X-Aws-Sqsd-Attr-") {
			total += size
		}
	}
	if total > 32<<10 || total < 30<<10 {
		t.Errorf("%d bytes of attribute headers", total)
	}
	if got, want := r.Header.Get("X-Sqsonce-Omitted"), "e, long, umlauts, X-Amz-Sns-Subject"; got != want {
		t.Errorf("omitted: %q, want %q", got, want)
	}
	if body != "the body" || r.Header.Get("X-Aws-Sqsd-Attr-Small") != "s" || r.Header.Get("X-Amz-Sns-Message-Id") != "m" {
		t.Errorf("%q with %v", body, r.Header)
	}
	if r.Header.Get("X-Aws-Sqsd-Attr-Raw") != "AQL/" || r.Header.Get("X-Sqsonce-Attr-Type-Raw") != "Binary; base64" {
		t.Errorf("a Binary attribute is sent as %q", r.Header.Get("X-Aws-Sqsd-Attr-Raw"))
	}
}

func TestSqsdRequest(t *testing.T) {
	attributes := map[string]string{
		"beanstalk.sqsd.task_name": "nightly", "beanstalk.sqsd.scheduled_time": "2026-01-02T03:04:05Z", "beanstalk.sqsd.path": "/tasks/nightly?x=1",
	}
	r, _ := received(t, Config{Sqsd: true, Version: "1.2"}, Request{
		Name: "n", MessageID: "m", SentAt: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), ReceiveCount: 1, Attributes: attributes, SenderID: "AIDAEXAMPLE",
	})
	for name, want := range map[string]string{
		"User-Agent": "aws-sqsd/3.0 (sqsonce/1.2)", "X-Aws-Sqsd-Taskname": "nightly", "X-Aws-Sqsd-Scheduled-At": "2026-01-02T03:04:05Z",
		"X-Aws-Sqsd-Path": "/tasks/nightly?x=1", "X-Aws-Sqsd-Sent-At": "2026-01-02T03:04:06Z",
		"X-Aws-Sqsd-Sender-Id": "AIDAEXAMPLE",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if r.URL.RequestURI() != "/tasks/nightly?x=1" {
		t.Errorf("posted to %s", r.URL)
	}
	for _, path := range []string{"//evil.example/", "https://evil.example/", "tasks", ""} {
		r, _ := received(t, Config{Sqsd: true}, Request{Name: "n", Attributes: map[string]string{"beanstalk.sqsd.path": path}})
		if strings.Contains(r.URL.Path, "evil") || strings.Contains(r.Host, "evil") {
			t.Errorf("%q posts to %s", path, r.URL)
		}
	}
	r, _ = received(t, Config{}, Request{Name: "n", Attributes: attributes})
	if r.URL.Path == "/tasks/nightly" || r.Header.Get("X-Aws-Sqsd-Taskname") != "" {
		t.Error("a message chooses the path although the target is no Beanstalk app")
	}
}

// A request that a message carries goes below the target's own path, byte for byte.
func TestMirroredAddress(t *testing.T) {
	for _, tc := range []struct{ base, path, want string }{
		{"", "/v1/x", "/v1/x"},
		{"/", "/v1/x", "/v1/x"},
		{"/base", "/v1/x?a=b", "/base/v1/x?a=b"},
		{"/base/", "/v1//x/", "/base/v1//x/"},
		{"/base?k=1", "/v1?a=%2F&b", "/base/v1?k=1&a=%2F&b"},
		{"/base?k=1", "/v1", "/base/v1?k=1"},
		{"/base#part", "/v1", "/base/v1"},
		{"/b%2Fc", "/v1/a%2fb%7C", "/b%2Fc/v1/a%2fb%7C"},
	} {
		got, _ := received(t, Config{URL: tc.base}, Request{Name: "n", Mirror: &mirror.Request{Method: http.MethodPut, Path: tc.path}, Body: "x"})
		if got.Method != http.MethodPut || got.RequestURI != tc.want {
			t.Errorf("%q below %q: %s %s, want %s", tc.path, tc.base, got.Method, got.RequestURI, tc.want)
		}
	}
}

// A request without a body is sent once: the transport must not send it again by itself.
func testMirroredRequestWithoutABody(t *testing.T) {
	var asked atomic.Int64
	target, stop := newPiped(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 1 {
			breakOff(t, w)
		}
	})
	defer stop()
	empty := Request{Name: "n", Mirror: &mirror.Request{Method: http.MethodPost, Path: "/v1", Empty: true}, Body: mirror.NoBody}
	if _, err := target.Post(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Post(t.Context(), empty); kindOf(err) != unknown { // over the same connection
		t.Errorf("error is %v", err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the target was asked %d times", n)
	}
}
