package producerapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestMessages(t *testing.T) {
	t.Run("posted body travels as it was sent", testPostedBodyTravelsAsItWasSent)
	t.Run("invalid message is refused by field", testInvalidMessageIsRefusedByField)
	t.Run("body is an object for every fingerprint", testBodyIsAnObjectForEveryFingerprint)
	t.Run("idempotency key is the name where the body has none", testIdempotencyKeyIsTheNameWhereTheBodyHasNone)
	t.Run("record is shown without its owner", testRecordIsShownWithoutItsOwner)
	t.Run("every name has a location that finds it", testEveryNameHasALocationThatFindsIt)
	t.Run("name in a path may be escaped in any way", testNameInAPathMayBeEscapedInAnyWay)
	t.Run("name without a live record is not found", testNameWithoutALiveRecordIsNotFound)
	t.Run("unchanged record is not sent again", testUnchangedRecordIsNotSentAgain)
	t.Run("wrong paths and methods are problems", testWrongPathsAndMethodsAreProblems)
}

func testPostedBodyTravelsAsItWasSent(t *testing.T) {
	for _, path := range []string{"/", "/messages"} {
		b := newBench(t, "orders", nil)
		const body = " {\"n\" : 1.50, \"name\":\"order 17/ü\" }\n"
		r := b.do(http.MethodPost, path, body).want(http.StatusAccepted)
		if got := r.Header().Get("Location"); got != "/messages/order%2017%2F%C3%BC" {
			t.Errorf("Location is %q", got)
		}
		got := decode[queued](r)
		messages := b.received(b.url)
		if len(messages) != 1 {
			t.Fatalf("%d messages", len(messages))
		}
		m := messages[0]
		if *m.Body != body {
			t.Errorf("body is %q", *m.Body)
		}
		if got != (queued{Name: "order 17/ü", MessageID: *m.MessageId, Status: "QUEUED"}) {
			t.Errorf("answer is %+v, message %s", got, *m.MessageId)
		}
		if name := *m.MessageAttributes[names.NameAttribute].StringValue; name != "order 17/ü" {
			t.Errorf("attribute is %q", name)
		}
	}
}

// refusedPost is a POST that is refused, and the field that the problem names.
type refusedPost struct {
	body, field string
	status      int
	headers     []string
}

func testInvalidMessageIsRefusedByField(t *testing.T) {
	b := newBench(t, "orders", nil)
	var sent calls
	b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		sent.note(c)
		return sqstest.Fault{}
	})
	for _, table := range []map[string]refusedPost{refusedBodies(), refusedHeaders()} {
		for name, tc := range table {
			t.Run(name, func(t *testing.T) { tc.check(t, b) })
		}
	}
	if n := sent.calls.Load(); n != 0 {
		t.Errorf("SQS was asked %d times", n)
	}
	if used := b.api.pending.pending(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}

// refusedBodies lists the POSTs that are refused for their bodies.
func refusedBodies() map[string]refusedPost {
	deep := strings.Repeat("[", 600) + strings.Repeat("]", 600)
	long := strings.Repeat("n", protocol.MaxNameBytes+1)
	big := strings.Repeat("x", maxBody)
	return map[string]refusedPost{
		"empty body":               {"", "Content-Type", 415, nil},
		"empty JSON body":          {" ", "body", 400, nil},
		"not JSON":                 {`{"name":"a"`, "body", 400, nil},
		"two documents":            {`{"name":"a"}{"name":"b"}`, "body", 400, nil},
		"array":                    {`["name"]`, "name", 400, nil},
		"array with key":           {`["name"]`, "body", 400, []string{"Idempotency-Key", "a"}},
		"text with key":            {`"name"`, "body", 400, []string{"Idempotency-Key", "a"}},
		"broken with key":          {`{"a":`, "body", 400, []string{"Idempotency-Key", "a"}},
		"no name":                  {`{"nome":"a"}`, "name", 400, nil},
		"empty name":               {`{"name":""}`, "name", 400, nil},
		"null name":                {`{"name":null}`, "name", 400, nil},
		"boolean for a name":       {`{"name":true}`, "name", 400, nil},
		"object for a name":        {`{"name":{}}`, "name", 400, nil},
		"boolean beside a key":     {`{"name":true}`, "name", 400, []string{"Idempotency-Key", "true"}},
		"empty name beside a key":  {`{"name":""}`, "name", 400, []string{"Idempotency-Key", "a"}},
		"long name":                {body(long), "name", 400, nil},
		"control character":        {"{\"name\":\"a\\u0000b\"}", "name", 400, nil},
		"lone surrogate":           {`{"name":"\ud800"}`, "name", 400, nil},
		"noncharacter in the name": {`{"name":"a\ufffe"}`, "name", 400, nil},
		"noncharacter in the body": {"{\"name\":\"a\",\"b\":\"\uffff\"}", "body", 400, nil},
		"invalid UTF-8":            {"{\"name\":\"a\xff\"}", "body", 400, nil},
		"UTF-16":                   {"\xff\xfe{\x00}\x00", "body", 400, nil},
		"byte order mark":          {"\ufeff{\"name\":\"a\"}", "body", 400, nil},
		"deep":                     {`{"name":"a","b":` + deep + `}`, "body", 400, nil},
		"name twice":               {`{"name":"a","name":"b"}`, "body", 400, nil},
		"key twice below":          {`{"name":"a","b":[{"c":1,"c":1}]}`, "body", 400, nil},
		"too large":                {`{"name":"a","b":"` + big + `"}`, "body", 413, nil},
		"too large with its name":  {`{"name":"a","b":"` + big[:maxBody-30] + `"}`, "body", 413, nil},
	}
}

// refusedHeaders lists the POSTs that are refused for their headers.
func refusedHeaders() map[string]refusedPost {
	long := strings.Repeat("n", protocol.MaxNameBytes+1)
	return map[string]refusedPost{
		"form":                    {body("a"), "Content-Type", 415, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"text":                    {body("a"), "Content-Type", 415, []string{"Content-Type", "text/plain"}},
		"no media type":           {body("a"), "Content-Type", 415, []string{"Content-Type", ""}},
		"compressed":              {body("a"), "Content-Encoding", 415, []string{"Content-Encoding", "gzip"}},
		"other key":               {body("a"), "Idempotency-Key", 400, []string{"Idempotency-Key", `"b"`}},
		"empty key":               {body("a"), "Idempotency-Key", 400, []string{"Idempotency-Key", `""`}},
		"key without its end":     {`{}`, "Idempotency-Key", 400, []string{"Idempotency-Key", `"b`}},
		"key with parameters":     {`{}`, "Idempotency-Key", 400, []string{"Idempotency-Key", `"b";q=1`}},
		"key with a bad escape":   {`{}`, "Idempotency-Key", 400, []string{"Idempotency-Key", `"b\n"`}},
		"key that ends in escape": {`{}`, "Idempotency-Key", 400, []string{"Idempotency-Key", `"b\`}},
		"two keys":                {`{}`, "Idempotency-Key", 400, []string{"Idempotency-Key", "a", "Idempotency-Key", "a"}},
		"long key":                {`{}`, "name", 400, []string{"Idempotency-Key", long}},
		"key of bad UTF-8":        {`{}`, "name", 400, []string{"Idempotency-Key", "a\xff"}},
		"late":                    {body("a"), "X-Sqsonce-Delay", 400, []string{"X-Sqsonce-Delay", "901"}},
		"early":                   {body("a"), "X-Sqsonce-Delay", 400, []string{"X-Sqsonce-Delay", "-1"}},
		"half a second":           {body("a"), "X-Sqsonce-Delay", 400, []string{"X-Sqsonce-Delay", "500ms"}},
		"soon":                    {body("a"), "X-Sqsonce-Delay", 400, []string{"X-Sqsonce-Delay", "soon"}},
		"group with a space":      {body("a"), "X-Sqsonce-Group", 400, []string{"X-Sqsonce-Group", "a b"}},
		"long group":              {body("a"), "X-Sqsonce-Group", 400, []string{"X-Sqsonce-Group", long}},
		"huge headers":            {body("a"), "headers", 431, []string{"X-Anything", strings.Repeat("x", maxHeader)}},
	}
}

func (tc refusedPost) check(t *testing.T, b *bench) {
	r := request(http.MethodPost, "/", tc.body)
	for i := 0; i < len(tc.headers); i += 2 {
		if tc.headers[i] == "Content-Type" {
			r.Header.Set("Content-Type", tc.headers[i+1])
		} else {
			r.Header.Add(tc.headers[i], tc.headers[i+1])
		}
	}
	for _, chunked := range []bool{false, true} {
		again := r.Clone(t.Context())
		again.Body = request(http.MethodPost, "/", tc.body).Body
		if chunked && tc.body != "" {
			again.ContentLength = -1
		}
		got := b.serve(again)
		got.t = t
		got.wantField(tc.status, tc.field)
	}
}

func testBodyIsAnObjectForEveryFingerprint(t *testing.T) {
	for name, cfg := range map[string]names.Config{
		"no fingerprint":          {Fingerprint: names.Off},
		"fingerprint of a member": {Fingerprint: "id"},
		"name elsewhere":          {Key: "@attribute:order", Fingerprint: names.Off},
		"name nowhere":            {Key: "@message-id"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "orders", func(c *Config) {
				var err error
				if c.Keys, err = names.New(cfg); err != nil {
					t.Fatal(err)
				}
			})
			for _, bad := range []string{`{`, `[]`, `"a"`, `{"name":"a","x":1,"x":2}`, `{"name":"a"} x`} {
				b.post(bad, "Idempotency-Key", "a").wantField(http.StatusBadRequest, "body")
			}
			if cfg.Key != "" {
				b.post(body("a")).wantField(http.StatusBadRequest, "Idempotency-Key")
			}
			b.post(body("a"), "Idempotency-Key", "a").want(http.StatusAccepted)
		})
	}
}

func TestLongName(t *testing.T) {
	b := newBench(t, "orders", func(c *Config) {
		var err error
		if c.Keys, err = names.New(names.Config{LongNames: names.HashLong}); err != nil {
			t.Fatal(err)
		}
	})
	long := strings.Repeat("n", names.MaxBytes+1)
	known, err := b.api.cfg.Keys.Normal(long)
	if err != nil {
		t.Fatal(err)
	}
	b.post(body(long), "Idempotency-Key", long).want(http.StatusAccepted)
	if m := b.received(b.api.cfg.QueueURL); len(m) != 1 || *m[0].MessageAttributes[names.NameAttribute].StringValue != known {
		t.Errorf("sent as %d messages, none named by the beginning and the hash", len(m))
	}
	b.record(known, b.claim(known, body(long)), complete(`1`))
	b.do(http.MethodGet, "/messages/"+long, "").want(http.StatusOK)
	b.do(http.MethodGet, "/messages/"+long+"x", "").want(http.StatusNotFound)
}

func TestNumberNames(t *testing.T) {
	b := newBench(t, "orders", nil)
	b.post(`{"name":820982911946154508}`).want(http.StatusAccepted)
	b.post(`{"name":17.0}`, "Idempotency-Key", "17").want(http.StatusAccepted)
	b.post(`{"name":["a",17]}`, "Idempotency-Key", `["a","17"]`).want(http.StatusAccepted)
	b.post(`{"name":17}`, "Idempotency-Key", "18").wantField(http.StatusBadRequest, "Idempotency-Key")
}

func testIdempotencyKeyIsTheNameWhereTheBodyHasNone(t *testing.T) {
	for name, tc := range map[string]struct{ body, key, want string }{
		"quoted":              {`{"x":1}`, `"order-17"`, "order-17"},
		"bare":                {`{"x":1}`, `order-17`, "order-17"},
		"escaped":             {`{}`, `"a\"b\\c"`, `a"b\c`},
		"spaces around":       {`{}`, `  "a b" `, "a b"},
		"null in the body":    {`{"name":null}`, `a`, "a"},
		"the same":            {`{"name":"a"}`, `"a"`, "a"},
		"beyond ASCII":        {`{}`, `"ü"`, "ü"},
		"another letter case": {`{"Name":"b"}`, `a`, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "orders", nil)
			b.post(tc.body, "Idempotency-Key", tc.key).want(http.StatusAccepted)
			m := b.received(b.url)[0]
			if got := *m.MessageAttributes[names.NameAttribute].StringValue; got != tc.want || *m.Body != tc.body {
				t.Errorf("name %q and body %q", got, *m.Body)
			}
		})
	}
}

func TestHeadersReachTheMessage(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	b := newBench(t, "orders", nil)
	b.post(body("a"), "X-Sqsonce-Group", "tenant-1", "Traceparent", parent).want(http.StatusAccepted)
	m := b.received(b.url)[0]
	if got := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]; got != "tenant-1" {
		t.Errorf("group is %q", got)
	}
	if got := *m.MessageAttributes["traceparent"].StringValue; got != parent {
		t.Errorf("traceparent is %q", got)
	}
	const xray = "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1"
	if got := m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]; got != xray {
		t.Errorf("trace header is %q", got)
	}

	for _, bad := range []string{"x", strings.ToUpper(parent), "ff" + parent[2:], "00-" + noTrace + parent[35:]} {
		b.post(body("b"), "Traceparent", bad).want(http.StatusAccepted)
		if m := b.received(b.url)[0]; len(m.MessageAttributes) != 1 {
			t.Errorf("%q left attributes %v", bad, m.MessageAttributes)
		}
	}

	b.post(body("late"), "X-Sqsonce-Delay", "30").want(http.StatusAccepted)
	b.post(body("later"), "X-Sqsonce-Delay", "15m").want(http.StatusAccepted)
	if d := decode[Depth](b.do(http.MethodGet, "/queue", "").want(http.StatusOK)); d.Delayed != 2 {
		t.Errorf("depth is %+v", d)
	}
}

func testRecordIsShownWithoutItsOwner(t *testing.T) {
	b := newBench(t, "orders", nil)
	const name = `a/b ü"#%2F?`
	b.record(name, b.claim(name, body(name)), complete(`{"id":12345678901234567890}`))
	for _, target := range []string{location(name), "/messages?name=" + "a%2Fb+%C3%BC%22%23%252F%3F"} {
		r := b.do(http.MethodGet, target, "").want(http.StatusOK)
		got := decode[map[string]any](r)
		if got["name"] != name || got["status"] != "COMPLETED" || got["final"] != true || got["attempts"] != 1.0 || got["message_id"] != "m-1" {
			t.Errorf("record is %v", got)
		}
		if _, ok := got["owner"]; ok {
			t.Error("the owner is shown")
		}
		if text := r.Body.String(); !strings.Contains(text, `"result":{"id":12345678901234567890}`) {
			t.Errorf("result is not as it was: %s", text)
		}
	}
}

// The bounds in the operations' types allow the longest name.
func TestLongestName(t *testing.T) {
	b := newBench(t, "orders", nil)
	name := strings.Repeat("n", protocol.MaxNameBytes)
	b.post(body(name)).want(http.StatusAccepted)
	b.record(name, b.claim(name, body(name)), complete("1"))
	b.do(http.MethodGet, location(name), "").want(http.StatusOK)
	b.do(http.MethodGet, "/messages?name="+name, "").want(http.StatusOK)
	b.do(http.MethodGet, location(name+"n"), "").wantField(http.StatusBadRequest, "name")
}

func testEveryNameHasALocationThatFindsIt(t *testing.T) {
	b := newBench(t, "orders", nil)
	for _, name := range []string{"a", ".", "..", "...", "a/b", "/", "//", "a//b", "%", "%2F", "?", "#", " ", "+", ":batch", "x:y", "ü", "\u2028", "\U0001F600", "queue", "a;b", "a&b=c"} {
		b.record(name, b.claim(name, body(name)))
		r := b.do(http.MethodGet, location(name), "").want(http.StatusOK)
		if got := decode[Record](r); got.Name != name || got.Final {
			t.Errorf("%q leads to %+v", name, got)
		}
	}
}

func testNameInAPathMayBeEscapedInAnyWay(t *testing.T) {
	b := newBench(t, "orders", nil)
	for name, paths := range map[string][]string{
		"a|b/c":  {"a|b%2Fc", "a%7Cb%2Fc", "a%7cb%2fc", "%61|b%2Fc"},
		`{"a/b"`: {`{"a%2Fb"`, "%7B%22a%2Fb%22"},
		"ü|/":    {"ü|%2F", "%C3%BC%7C%2F"},
		"a|b":    {"a|b", "a%7Cb"},
		"a%2Fb|": {"a%252Fb|", "a%252Fb%7C"},
	} {
		b.record(name, b.claim(name, body(name)))
		for _, path := range paths {
			r := request(http.MethodGet, "/messages/x", "")
			u, err := url.ParseRequestURI("/messages/" + path)
			if err != nil {
				t.Fatal(err)
			}
			r.URL = u
			if got := decode[Record](b.serve(r).want(http.StatusOK)); got.Name != name {
				t.Errorf("%s leads to %q, want %q", path, got.Name, name)
			}
		}
	}
	// If a handler changes Path and leaves RawPath, the changed Path applies.
	r := request(http.MethodGet, "/v1/messages/a|b%2Fc", "")
	r.URL.Path = "/messages/a|b"
	if got := decode[Record](b.serve(r).want(http.StatusOK)); got.Name != "a|b" {
		t.Errorf("the path that was changed leads to %q", got.Name)
	}
}

func testNameWithoutALiveRecordIsNotFound(t *testing.T) {
	b := newBench(t, "orders", nil)
	expired := b.claim("expired", body("expired"))
	expired.Now = time.Now().Add(-100 * 24 * time.Hour)
	expired.Terms.Window = time.Hour
	b.record("expired", expired)
	b.record("forgotten", b.claim("forgotten", body("forgotten")), complete("1"), protocol.Forget{Now: time.Now(), Terms: terms})
	for _, name := range []string{"never", "expired", "forgotten"} {
		r := b.do(http.MethodGet, "/messages/"+name, "")
		r.wantField(http.StatusNotFound, "name")
		if got := r.Header().Get("Retry-After"); got != "1" {
			t.Errorf("Retry-After is %q", got)
		}
	}
}

func testUnchangedRecordIsNotSentAgain(t *testing.T) {
	b := newBench(t, "orders", nil)
	b.record("a", b.claim("a", body("a")))
	first := b.do(http.MethodGet, "/messages/a", "").want(http.StatusOK)
	tag := first.Header().Get("ETag")
	for _, condition := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		r := b.do(http.MethodGet, "/messages/a", "", "If-None-Match", condition).want(http.StatusNotModified)
		if r.Body.Len() != 0 || r.Header().Get("ETag") != tag || r.Header().Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%s: %v %q", condition, r.Header(), r.Body)
		}
	}
	b.record("a", complete("1"))
	if r := b.do(http.MethodGet, "/messages/a", "", "If-None-Match", tag).want(http.StatusOK); r.Header().Get("ETag") == tag {
		t.Error("the tag did not change with the record")
	}
}

func testWrongPathsAndMethodsAreProblems(t *testing.T) {
	b := newBench(t, "orders", nil)
	for target, tc := range map[string]struct {
		method, allow string
		status        int
	}{
		"/nothing":           {http.MethodGet, "", http.StatusNotFound},
		"/messages/":         {http.MethodGet, "", http.StatusNotFound},
		"/messages/a/b":      {http.MethodGet, "", http.StatusNotFound},
		"/messages/a/":       {http.MethodGet, "", http.StatusNotFound},
		"/messages/../queue": {http.MethodGet, "", http.StatusNotFound},
		"/":                  {http.MethodGet, "POST", http.StatusMethodNotAllowed},
		"/messages":          {http.MethodPut, "DELETE, GET, HEAD, POST", http.StatusMethodNotAllowed},
		"/queue":             {http.MethodPost, "GET, HEAD", http.StatusMethodNotAllowed},
		"/healthz":           {http.MethodDelete, "GET, HEAD", http.StatusMethodNotAllowed},
	} {
		r := b.do(tc.method, target, "").want(tc.status)
		if got := r.Header().Get("Allow"); got != tc.allow {
			t.Errorf("%s %s: Allow is %q, want %q", tc.method, target, got, tc.allow)
		}
		if got := r.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s %s: Content-Type is %q", tc.method, target, got)
		}
	}
	b.do(http.MethodGet, "/messages?name=", "").wantField(http.StatusBadRequest, "name")
	b.do(http.MethodGet, "/messages", "").wantField(http.StatusBadRequest, "name")
	b.do(http.MethodGet, "/messages?name=a&name=b", "").wantField(http.StatusBadRequest, "name")
	b.do(http.MethodGet, "/messages/a%00", "").wantField(http.StatusBadRequest, "name")
	b.do(http.MethodGet, "/messages/%FF", "").wantField(http.StatusBadRequest, "name")
}

func TestProbesAnswer(t *testing.T) {
	b := newBench(t, "orders", nil)
	b.do(http.MethodGet, "/healthz", "").want(http.StatusOK)
	b.do(http.MethodGet, "/readyz", "").want(http.StatusOK)
}
