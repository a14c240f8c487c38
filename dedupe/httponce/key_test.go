package httponce_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/httponce"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestKey(t *testing.T) {
	for name, tc := range map[string]struct {
		values   []string
		unquoted bool
		optional bool
		method   string
		status   int
		name     string // in the store; empty: not guarded, or refused
	}{
		"quoted":                {[]string{`"a b"`}, false, false, "POST", 201, "POST /charges a b"},
		"escaped":               {[]string{`"a\"b\\c"`}, false, false, "POST", 201, `POST /charges a"b\c`},
		"with parameters":       {[]string{`"a";v=1; w="x\"";y`}, false, false, "POST", 201, "POST /charges a"},
		"with a bad parameter":  {[]string{`"a";V=1`}, false, false, "POST", 400, ""},
		"something behind":      {[]string{`"a"b`}, false, false, "POST", 400, ""},
		"bad escape":            {[]string{`"a\b"`}, false, false, "POST", 400, ""},
		"not closed":            {[]string{`"a\"`}, false, false, "POST", 400, ""},
		"with a parameter":      {[]string{`"a";v=1`}, false, false, "POST", 201, "POST /charges a"},
		"spaces around":         {[]string{` "a" `}, false, false, "POST", 201, "POST /charges a"},
		"255 bytes":             {[]string{`"` + strings.Repeat("k", 255) + `"`}, false, false, "POST", 201, "POST /charges " + strings.Repeat("k", 255)},
		"256 bytes":             {[]string{`"` + strings.Repeat("k", 256) + `"`}, false, false, "POST", 400, ""},
		"missing":               {nil, false, false, "POST", 400, ""},
		"optional":              {nil, false, true, "POST", 201, ""},
		"optional, malformed":   {[]string{`a`}, false, true, "POST", 400, ""},
		"empty field":           {[]string{``}, false, false, "POST", 400, ""},
		"empty key":             {[]string{`""`}, false, false, "POST", 400, ""},
		"not quoted":            {[]string{`8e03978e-40d5`}, false, false, "POST", 400, ""},
		"not quoted, allowed":   {[]string{`8e03978e-40d5`}, true, false, "POST", 201, "POST /charges 8e03978e-40d5"},
		"half quoted, allowed":  {[]string{`"8e03978e`}, true, false, "POST", 400, ""},
		"two words, allowed":    {[]string{`a b`}, true, false, "POST", 400, ""},
		"empty, allowed":        {[]string{``}, true, false, "POST", 400, ""},
		"token":                 {[]string{`abc`}, false, false, "POST", 400, ""},
		"number":                {[]string{`42`}, false, false, "POST", 400, ""},
		"not ASCII":             {[]string{`"ä"`}, false, false, "POST", 400, ""},
		"control character":     {[]string{"\"a\tb\""}, false, false, "POST", 400, ""},
		"two fields":            {[]string{`"a"`, `"b"`}, false, false, "POST", 400, ""},
		"the same field twice":  {[]string{`"a"`, `"a"`}, false, false, "POST", 400, ""},
		"two fields, unquoted":  {[]string{`a`, `b`}, true, false, "POST", 400, ""},
		"two values":            {[]string{`"a", "b"`}, false, false, "POST", 400, ""},
		"PATCH":                 {[]string{`"a"`}, false, false, "PATCH", 201, "PATCH /charges a"},
		"GET is not guarded":    {[]string{`"a"`}, false, false, "GET", 201, ""},
		"HEAD is not guarded":   {nil, false, false, "HEAD", 201, ""},
		"PUT is not guarded":    {[]string{`a`}, false, false, "PUT", 201, ""},
		"DELETE is not guarded": {nil, false, false, "DELETE", 201, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI()
			a.cfg.Unquoted, a.cfg.Optional = tc.unquoted, tc.optional
			r := httptest.NewRequest(tc.method, "/charges", strings.NewReader("{}"))
			for _, v := range tc.values {
				r.Header.Add(httponce.Header, v)
			}
			w := ask(a.handler(t), r)
			if tc.status == 400 {
				problemOf(t, w, 400)
			} else if w.Code != tc.status {
				t.Errorf("answered %d %s, want %d", w.Code, w.Body, tc.status)
			}
			if ran := a.ran.Load() == 1; ran != (tc.status == 201) {
				t.Errorf("ran: %t", ran)
			}
			if tc.name == "" {
				return
			}
			if rec, err := a.store.(dedupe.Reader).Get(t.Context(), "api#"+tc.name); err != nil || rec.Status != protocol.Completed {
				t.Errorf("%q is %q, %v", tc.name, rec.Status, err)
			}
		})
	}
}

// The second of two requests is a repeat, another request, or refused.
func TestSameRequest(t *testing.T) {
	with := func(change func(*http.Request)) *http.Request {
		r := post("/charges?a=1", key, `{"amount":1}`)
		change(r)
		return r
	}
	whole := func(body string) func(*http.Request) {
		return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(body)) }
	}
	for name, tc := range map[string]struct {
		second *http.Request
		status int
		ran    int64
	}{
		"same":           {with(func(*http.Request) {}), 201, 1},
		"other body":     {with(whole(`{"amount":2}`)), 422, 1},
		"no body":        {with(whole("")), 422, 1},
		"other query":    {with(func(r *http.Request) { r.URL.RawQuery = "a=2" }), 422, 1},
		"query and body": {with(func(r *http.Request) { r.URL.RawQuery = "a=1{"; whole(`"amount":1}`)(r) }), 422, 1},
		"other key":      {with(func(r *http.Request) { r.Header.Set(httponce.Header, `"other"`) }), 201, 2},
		"other path":     {with(func(r *http.Request) { r.URL.Path = "/refunds" }), 201, 2},
		"other method":   {with(func(r *http.Request) { r.Method = http.MethodPatch }), 201, 2},
		"other client":   {with(func(r *http.Request) { r.Header.Set("Authorization", "b") }), 201, 2},
		"no client":      {with(func(r *http.Request) { r.Header.Del("Authorization") }), 403, 1},
		"other header":   {with(func(r *http.Request) { r.Header.Set("User-Agent", "b") }), 201, 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI()
			a.cfg.Client = func(r *http.Request) string { return r.Header.Get("Authorization") }
			h := a.handler(t)
			first := with(func(r *http.Request) { r.Header.Set("Authorization", "a") })
			if w := ask(h, first); w.Code != 201 {
				t.Fatalf("first: %d %s", w.Code, w.Body)
			}
			if tc.second.Header.Get("Authorization") == "" && tc.status != 403 {
				tc.second.Header.Set("Authorization", "a")
			}
			if w := ask(h, tc.second); w.Code != tc.status || a.ran.Load() != tc.ran {
				t.Errorf("second: %d %s, ran %d times, want %d and %d", w.Code, w.Body, a.ran.Load(), tc.status, tc.ran)
			}
		})
	}
}

// No choice of the parts of a name gives a client another client's name.
func TestNames(t *testing.T) {
	a := newAPI()
	client := ""
	a.cfg.Client = func(*http.Request) string { return client }
	h := a.handler(t)
	long := "/" + strings.Repeat("p", 2000)
	for _, r := range []struct{ client, path, key string }{
		{"a", "/x", `"k"`}, {"a POST /x", "/x", `"k"`}, {"a", "/x", `"POST /x k"`}, {"a", "/x%20POST%20/x", `"k"`},
		{"A", "/x", `"k"`}, {"a+", "/x", `"k"`}, {"a ", "/x", `"k"`}, {"\u00e4", "/x", `"k"`}, {"a", "/x%2Fy", `"k"`}, {"a", "/x/y", `"k"`},
		{"a", long, `"k"`}, {"a", long + "q", `"k"`},
	} {
		client = r.client
		before := a.ran.Load()
		if w := ask(h, post(r.path, r.key, "")); w.Code != 201 || a.ran.Load() != before+1 {
			t.Errorf("%.80q: %d %s, which another request has got", r, w.Code, w.Body)
		}
	}
	client = strings.Repeat("c", 2000)
	problemOf(t, ask(h, post("/x", `"k"`, "")), http.StatusBadRequest)
}

func TestFingerprint(t *testing.T) {
	a := newAPI()
	a.cfg.Fingerprint = func(_ *http.Request, body []byte) ([]byte, error) {
		var charge struct{ Amount int }
		err := json.Unmarshal(body, &charge)
		return []byte(strconv.Itoa(charge.Amount)), err
	}
	h := a.handler(t)
	for body, status := range map[string]int{`{"amount":1}`: 201, `{ "amount": 1, "at": 7 }`: 201, `{`: 400} {
		if w := ask(h, post("/charges", key, body)); w.Code != status {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	problemOf(t, ask(h, post("/charges", key, `{"amount":2}`)), http.StatusUnprocessableEntity)
}
