package producerapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/mirror"
	"github.com/sqsonce/sqsonce/names"
)

// mirrorBench is a bench that mirrors paths below /v1.
func mirrorBench(t *testing.T, queue string, change func(*Config)) *bench {
	return newBench(t, queue, func(c *Config) {
		c.PathPrefixes = []string{"/v1"}
		if change != nil {
			change(c)
		}
	})
}

// mirrored passes a request to the API without comparing the answer with the document.
func (b *bench) mirrored(method, target, body string, headers ...string) reply {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, request(method, target, body, headers...))
	return reply{w, b.t}
}

func TestMirroredRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		method, target, body string
		headers              []string
		name                 string
		want                 map[string]string // attributes; empty: absent
		sent                 string            // body of the message
	}{
		"named by its key": {
			"PUT", "/v1/orders/a%2Fb?x=1&x=2", "plain text", []string{"Idempotency-Key", `"k 1"`, "Accept", "a", "Accept", "b"}, "k 1",
			map[string]string{mirror.AttrMethod: "PUT", mirror.AttrPath: "/v1/orders/a%2Fb?x=1&x=2", mirror.AttrHeaders: `{"Accept":"a, b","Content-Type":"application/json"}`},
			"plain text",
		},
		"named by its body": {
			"POST", "/v1/orders", `{"name":"b"}`, nil, "b",
			map[string]string{mirror.AttrMethod: "POST", mirror.AttrPath: "/v1/orders", mirror.AttrHeaders: `{"Content-Type":"application/json"}`}, `{"name":"b"}`,
		},
		"the key goes before the body": {
			"POST", "/v1/people", `{"name":"Ada"}`, []string{"Idempotency-Key", "k"}, "k", map[string]string{mirror.AttrMethod: "POST"}, `{"name":"Ada"}`,
		},
		"without a body": {
			"DELETE", "/v1/orders/1", "", []string{"Idempotency-Key", "k"}, "k",
			map[string]string{mirror.AttrMethod: "DELETE", mirror.AttrHeaders: `{"Content-Length":"0"}`}, "{}",
		},
		"with a trace": {
			"PATCH", "/v1", "[]", []string{"Idempotency-Key", "k", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "k",
			map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "[]",
		},
		"a retry of a rejected name": {
			"POST", "/v1/x", "{}", []string{"Idempotency-Key", "k", "X-Sqsonce-Retry-Rejected", "true"}, "k",
			map[string]string{"sqsonce.reason": "sent again to retry a rejected name"}, "{}",
		},
		"no retry": {
			"POST", "/v1/x", "{}", []string{"Idempotency-Key", "k", "X-Sqsonce-Retry-Rejected", "false"}, "k", map[string]string{"sqsonce.reason": ""}, "{}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := mirrorBench(t, "orders", nil)
			if got := decode[queued](b.mirrored(tc.method, tc.target, tc.body, tc.headers...).want(http.StatusAccepted)); got.Name != tc.name {
				t.Errorf("name is %q", got.Name)
			}
			m := b.received(b.url)[0]
			if aws.ToString(m.Body) != tc.sent || aws.ToString(m.MessageAttributes[names.NameAttribute].StringValue) != tc.name {
				t.Errorf("message is %q", aws.ToString(m.Body))
			}
			for attribute, want := range tc.want {
				if got := aws.ToString(m.MessageAttributes[attribute].StringValue); got != want {
					t.Errorf("%s is %q, want %q", attribute, got, want)
				}
			}
			// A dead letter has four more attributes, of at most ten.
			if n := len(m.MessageAttributes); n > 6 {
				t.Errorf("%d attributes", n)
			}
		})
	}
}

func TestMirror(t *testing.T) {
	t.Run("mirrored request that is refused", testMirroredRequestThatIsRefused)
}

func testMirroredRequestThatIsRefused(t *testing.T) {
	b := mirrorBench(t, "orders", nil)
	for name, tc := range map[string]struct {
		method, target, body string
		headers              []string
		status               int
		field                string
	}{
		"a read":                   {"GET", "/v1/x", "", nil, http.StatusMethodNotAllowed, "method"},
		"a look":                   {"HEAD", "/v1/x", "", nil, http.StatusMethodNotAllowed, "method"},
		"a preflight":              {"OPTIONS", "/v1/x", "", nil, http.StatusMethodNotAllowed, "method"},
		"a method of its own":      {"BREW", "/v1/x", "{}", nil, http.StatusMethodNotAllowed, "method"},
		"another prefix":           {"POST", "/v2/x", "{}", []string{"Idempotency-Key", "k"}, http.StatusNotFound, ""},
		"a longer segment":         {"POST", "/v1x", "{}", []string{"Idempotency-Key", "k"}, http.StatusNotFound, ""},
		"up":                       {"POST", "/v1/../dlq", "{}", []string{"Idempotency-Key", "k"}, http.StatusBadRequest, "path"},
		"up, escaped":              {"POST", "/v1/%2e%2e/x", "{}", []string{"Idempotency-Key", "k"}, http.StatusBadRequest, "path"},
		"no name":                  {"POST", "/v1/x", `{"a":1}`, nil, http.StatusBadRequest, "Idempotency-Key"},
		"no name, no JSON":         {"POST", "/v1/x", "a=b", nil, http.StatusBadRequest, "Idempotency-Key"},
		"no name, no body":         {"DELETE", "/v1/x", "", nil, http.StatusBadRequest, "Idempotency-Key"},
		"two names":                {"POST", "/v1/x", "{}", []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, http.StatusBadRequest, "Idempotency-Key"},
		"no text":                  {"POST", "/v1/x", "\x1f\x8b\x08", []string{"Idempotency-Key", "k"}, http.StatusBadRequest, "body"},
		"half a character":         {"POST", "/v1/x", "a\xc3", []string{"Idempotency-Key", "k"}, http.StatusBadRequest, "body"},
		"too large":                {"POST", "/v1/x", strings.Repeat("x", maxBody), []string{"Idempotency-Key", "k"}, http.StatusRequestEntityTooLarge, "body"},
		"a group that is none":     {"POST", "/v1/x", "{}", []string{"Idempotency-Key", "k", "X-Sqsonce-Group", "a b"}, http.StatusBadRequest, "X-Sqsonce-Group"},
		"neither a retry nor none": {"POST", "/v1/x", "{}", []string{"Idempotency-Key", "k", "X-Sqsonce-Retry-Rejected", "yes"}, http.StatusBadRequest, "X-Sqsonce-Retry-Rejected"},
		"a delay that is too long": {"POST", "/v1/x", "{}", []string{"Idempotency-Key", "k", "X-Sqsonce-Delay", "1h"}, http.StatusBadRequest, "X-Sqsonce-Delay"},
		"a path that is too long":  {"POST", "/v1/" + strings.Repeat("x", 8000), "{}", []string{"Idempotency-Key", "k"}, http.StatusBadRequest, "path"},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.mirrored(tc.method, tc.target, tc.body, tc.headers...)
			r.t = t
			if tc.method == http.MethodHead {
				r.want(tc.status)
			} else {
				r.wantField(tc.status, tc.field)
			}
			if tc.status == http.StatusMethodNotAllowed && r.Header().Get("Allow") != "DELETE, PATCH, POST, PUT" {
				t.Errorf("Allow is %q", r.Header().Get("Allow"))
			}
		})
	}
	if got := len(b.received(b.url)); got != 0 {
		t.Errorf("%d messages were sent", got)
	}
}

// A mirrored path has the same checks as POST /: token, host, and rate. Paths of the API take
// precedence.
func TestMirroredDoor(t *testing.T) {
	b := mirrorBench(t, "orders", func(c *Config) { c.AuthTokens, c.PathPrefixes, c.ClientRate = []string{token}, []string{"/"}, 1 })
	key := []string{"Idempotency-Key", "k"}
	b.mirrored("POST", "/anything", "{}", key...).want(http.StatusUnauthorized)
	b.mirrored("GET", "/healthz", "").want(http.StatusOK)
	b.mirrored("POST", "/anything", "{}", append(key, bearer...)...).want(http.StatusAccepted)
	b.mirrored("GET", "/messages/k", "", bearer...).want(http.StatusNotFound)
	b.mirrored("POST", "/anything", "{}", append(key, bearer...)...).want(http.StatusTooManyRequests)

	open := mirrorBench(t, "orders", nil)
	rebound := request("POST", "/v1/x", "{}", key...)
	rebound.RemoteAddr, rebound.Host = "127.0.0.1:1", "rebound.example"
	w := httptest.NewRecorder()
	open.api.ServeHTTP(w, rebound)
	if w.Code != http.StatusMisdirectedRequest {
		t.Errorf("a foreign host answers %d", w.Code)
	}
	newBench(t, "orders", nil).mirrored("POST", "/v1/x", "{}", key...).want(http.StatusNotFound)
	b.mirrored("POST", "/anything", "{}", append(key, "Authorization", "Bearer no")...).want(http.StatusUnauthorized)
}

// A page of another site can make a browser send a form or plain text to this machine.
func TestForgedMirroredRequest(t *testing.T) {
	foreign := []string{"Origin", "http://rebound.example", "Sec-Fetch-Site", "cross-site"}
	for contentType, want := range map[string]int{
		"": http.StatusForbidden, "text/plain;charset=UTF-8": http.StatusForbidden, "application/x-www-form-urlencoded": http.StatusForbidden,
		"multipart/form-data; boundary=x": http.StatusForbidden, "application/json": http.StatusAccepted,
	} {
		post := func(b *bench, headers ...string) reply {
			r := request("POST", "/v1/x", body("k"), headers...)
			r.Header.Set("Content-Type", contentType)
			w := httptest.NewRecorder()
			b.api.ServeHTTP(w, r)
			return reply{w, t}
		}
		if open := mirrorBench(t, "orders", nil); want == http.StatusForbidden {
			post(open, foreign...).wantField(want, "Origin")
		} else {
			post(open, foreign...).want(want)
		}
		post(mirrorBench(t, "orders", nil), "Sec-Fetch-Site", "same-origin").want(http.StatusAccepted)
		post(mirrorBench(t, "orders", func(c *Config) { c.AuthTokens = []string{token} }), append(foreign, bearer...)...).want(http.StatusAccepted)
	}
}

func TestMirroredWait(t *testing.T) {
	b := mirrorBench(t, "orders", nil)
	b.record("k", b.claim("k", body("k")), complete(`{"id":1}`))
	r := b.mirrored("POST", "/v1/x", body("k"), "Idempotency-Key", "k", "Prefer", "wait=1").want(http.StatusOK)
	if got := decode[Record](r); got.Status != protocol.Completed || string(got.Result) != `{"id":1}` || r.Header().Get("Preference-Applied") != "wait=1" {
		t.Errorf("answer is %+v, %v", got, r.Header())
	}
	b.mirrored("POST", "/v1/x", `{"other":1}`, "Idempotency-Key", "k", "Prefer", "wait=1").wantField(http.StatusUnprocessableEntity, "body")
}
