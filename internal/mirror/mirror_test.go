package mirror

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

var v1 = []string{"/v1"}

// A carried request arrives as it was sent.
func TestRoundTrip(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path, query string
		want                string
	}{
		"plain":                        {"POST", "/v1/orders", "", "/v1/orders"},
		"the prefix itself":            {"PUT", "/v1", "", "/v1"},
		"with its slash":               {"PATCH", "/v1/", "", "/v1/"},
		"a slash in a segment":         {"DELETE", "/v1/a%2Fb", "", "/v1/a%2Fb"},
		"lower case escapes":           {"DELETE", "/v1/a%2fb%c3%a9", "", "/v1/a%2fb%c3%a9"},
		"bytes that should be escaped": {"POST", "/v1/a|b%2Fc d", "", "/v1/a%7Cb%2Fc%20d"},
		"text beyond ASCII":            {"POST", "/v1/é", "q=é", "/v1/%C3%A9?q=%C3%A9"},
		"an escape twice":              {"POST", "/v1/a%252Fb", "", "/v1/a%252Fb"},
		"a percent sign":               {"POST", "/v1/100%25", "", "/v1/100%25"},
		"an escape three times":        {"POST", "/v1/a%25252e%25252eb", "", "/v1/a%25252e%25252eb"},
		"a query":                      {"POST", "/v1/x", "a=1&a=2;b&c=%26%3D+%zz&d=[]{}|", "/v1/x?a=1&a=2;b&c=%26%3D+%25zz&d=[]{}|"},
		"a question mark in it":        {"POST", "/v1/x", "a=?&b=../..", "/v1/x?a=?&b=../.."},
		"dots that are none":           {"POST", "/v1/.../a..b/.c", "", "/v1/.../a..b/.c"},
		"empty segments":               {"POST", "/v1//x", "", "/v1//x"},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Content-Type": {"text/plain"}, "Accept": {"a", "b"}, "X-Other": {"no"}}
			sent, err := New(tc.method, tc.path, tc.query, header, []string{"content-type", "accept", "If-Match"}, true)
			if err != nil {
				t.Fatal(err)
			}
			attributes, err := sent.Attributes()
			if err != nil {
				t.Fatal(err)
			}
			got, found, err := Read(attributes, v1)
			if err != nil || !found || got.Method != tc.method || got.Path != tc.want || !got.Empty {
				t.Errorf("%+v, %t, %v", got, found, err)
			}
			if want := map[string]string{"Content-Type": "text/plain", "Accept": "a, b"}; !maps.Equal(got.Headers, want) {
				t.Errorf("headers are %v", got.Headers)
			}
			if u, err := url.Parse("http://h" + got.Path); err != nil || u.Host != "h" || u.RequestURI() != got.Path {
				t.Errorf("a client would ask %v for %q, %v", u.Host, u.RequestURI(), err)
			}
		})
	}
}

// A sender of messages can choose only the methods, paths and headers that the configuration
// allows.
func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		attributes map[string]string
		want       string
	}{
		"GET":                      {map[string]string{AttrMethod: "GET", AttrPath: "/v1/x"}, "method"},
		"CONNECT":                  {map[string]string{AttrMethod: "CONNECT", AttrPath: "/v1/x"}, "method"},
		"no method":                {map[string]string{AttrPath: "/v1/x"}, "method"},
		"a method of two lines":    {map[string]string{AttrMethod: "POST / HTTP/1.1\r\nX: y", AttrPath: "/v1/x"}, "method"},
		"elsewhere":                {map[string]string{AttrMethod: "POST", AttrPath: "/admin"}, "not below"},
		"a longer segment":         {map[string]string{AttrMethod: "POST", AttrPath: "/v1x/y"}, "not below"},
		"up":                       {map[string]string{AttrMethod: "POST", AttrPath: "/v1/../admin"}, "segment"},
		"up, escaped":              {map[string]string{AttrMethod: "POST", AttrPath: "/v1/%2e%2E/admin"}, "segment"},
		"up, half escaped":         {map[string]string{AttrMethod: "POST", AttrPath: "/v1/.%2e/admin"}, "segment"},
		"up, by an escaped slash":  {map[string]string{AttrMethod: "POST", AttrPath: "/v1/a%2F..%2F..%2Fadmin"}, "segment"},
		"up, by backslashes":       {map[string]string{AttrMethod: "POST", AttrPath: `/v1/..%5c..%5Cadmin`}, "segment"},
		"up, with parameters":      {map[string]string{AttrMethod: "POST", AttrPath: "/v1/..;a=b/admin"}, "segment"},
		"up, escaped twice":        {map[string]string{AttrMethod: "POST", AttrPath: "/v1/%252e%252E/admin"}, "segment"},
		"up, escaped thrice":       {map[string]string{AttrMethod: "POST", AttrPath: "/v1/%25252e%25252e/admin"}, "segment"},
		"up, by slashes twice":     {map[string]string{AttrMethod: "POST", AttrPath: "/v1/..%252fadmin"}, "segment"},
		"up, by backslashes twice": {map[string]string{AttrMethod: "POST", AttrPath: "/v1/..%255cadmin"}, "segment"},
		"up, beside no escape":     {map[string]string{AttrMethod: "POST", AttrPath: "/v1/%25zz/%252e%252e/admin"}, "segment"},
		"up, an escaped escape":    {map[string]string{AttrMethod: "POST", AttrPath: "/v1/%25%32%65%25%32%65/admin"}, "segment"},
		"up, parameters twice":     {map[string]string{AttrMethod: "POST", AttrPath: "/v1/..%253bx/admin"}, "segment"},
		"two lines, escaped twice": {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x%250d%250aHost:evil"}, "control character"},
		"escaped too often":        {map[string]string{AttrMethod: "POST", AttrPath: "/v1/%" + strings.Repeat("25", 3000) + "2e"}, "more than 5 times"},
		"here":                     {map[string]string{AttrMethod: "POST", AttrPath: "/v1/./x"}, "segment"},
		"another host":             {map[string]string{AttrMethod: "POST", AttrPath: "//evil.example/v1/x"}, "one slash"},
		"a whole address":          {map[string]string{AttrMethod: "POST", AttrPath: "http://evil.example/v1/x"}, "one slash"},
		"a user":                   {map[string]string{AttrMethod: "POST", AttrPath: "@evil.example/v1"}, "one slash"},
		"nothing":                  {map[string]string{AttrMethod: "POST", AttrPath: ""}, "one slash"},
		"only a query":             {map[string]string{AttrMethod: "POST", AttrPath: "?x"}, "one slash"},
		"a fragment":               {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x#y"}, "percent-encoded"},
		"a blank":                  {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x HTTP/1.1"}, "percent-encoded"},
		"two lines":                {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x\r\nHost: evil"}, "percent-encoded"},
		"two lines, escaped":       {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x%0d%0aHost:%20evil"}, "control character"},
		"NUL":                      {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x%00.json"}, "control character"},
		"a broken escape":          {map[string]string{AttrMethod: "POST", AttrPath: "/v1/%zz"}, "percent-encoded"},
		"beyond ASCII":             {map[string]string{AttrMethod: "POST", AttrPath: "/v1/é"}, "percent-encoded"},
		"a long query":             {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x?" + strings.Repeat("a", 9000)}, "more than 8000"},
		"headers that are none":    {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x", AttrHeaders: `[1]`}, AttrHeaders},
		"a header of two lines":    {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x", AttrHeaders: `{"Accept":"a\r\nHost: evil"}`}, "Accept"},
		"a header that is none":    {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x", AttrHeaders: `{"A: b\r\nC":"d"}`}, "not the name"},
		"the worker's own token":   {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x", AttrHeaders: `{"authorization":"Bearer x"}`}, "Authorization"},
		"another name":             {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x", AttrHeaders: `{"Idempotency-Key":"b"}`}, "Idempotency-Key"},
		"a fence of its own":       {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x", AttrHeaders: `{"x-sqsonce-fence":"9"}`}, "X-Sqsonce-Fence"},
		"a signature of its own":   {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x", AttrHeaders: `{"webhook-signature":"v1,"}`}, "Webhook-Signature"},
		"another way of the body":  {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x", AttrHeaders: `{"Transfer-Encoding":"chunked"}`}, "Transfer-Encoding"},
		"another host by a header": {map[string]string{AttrMethod: "POST", AttrPath: "/v1/x", AttrHeaders: `{"HOST":"evil"}`}, "Host"},
	} {
		t.Run(name, func(t *testing.T) {
			_, found, err := Read(tc.attributes, v1)
			if err == nil || !found || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("found %t, error %v", found, err)
			}
		})
	}
	if _, found, err := Read(map[string]string{AttrMethod: "POST"}, nil); found || err != nil {
		t.Errorf("a message that carries no request: %t, %v", found, err)
	}
	if _, _, err := Read(map[string]string{AttrMethod: "POST", AttrPath: "/v1/x"}, nil); err == nil {
		t.Error("a path is taken although no prefix is allowed")
	}
}

// Hop-by-hop headers are not carried, even if the configuration lists them. A client can declare a
// field hop-by-hop in Connection.
func TestHopByHop(t *testing.T) {
	header := http.Header{"Connection": {"close, x-hop", "Accept"}, "X-Hop": {"1"}, "Accept": {"a"}, "X-Kept": {"2"}}
	r, err := New("POST", "/v1", "", header, []string{"X-Hop", "Accept", "X-Kept"}, false)
	if err != nil || !maps.Equal(r.Headers, map[string]string{"X-Kept": "2"}) {
		t.Errorf("%v, %v", r.Headers, err)
	}
	for _, name := range append(slices.Clone(own), "Authorization", "cookie", "Proxy-Authorization", "x-sqsonce-name", "a b", "") {
		if CheckHeader(name) == nil {
			t.Errorf("%q may be chosen", name)
		}
	}
	for _, name := range DefaultHeaders {
		if err := CheckHeader(name); err != nil {
			t.Error(err)
		}
	}
}

func TestBelow(t *testing.T) {
	for _, tc := range []struct {
		path, prefix string
		want         bool
	}{
		{"/v1", "/v1", true}, {"/v1/", "/v1", true}, {"/v1/a", "/v1", true}, {"/v1/a", "/v1/", true}, {"/v1", "/v1/", true},
		{"/anything", "/", true}, {"/", "/", true}, {"/v10", "/v1", false}, {"/V1", "/v1", false}, {"/", "/v1", false}, {"v1", "/v1", false},
	} {
		if got := Below(tc.path, []string{"/other", tc.prefix}); got != tc.want {
			t.Errorf("%q below %q: %t", tc.path, tc.prefix, got)
		}
	}
	for _, bad := range []string{"", "v1", "//", "/a//b", "/a?b", "/a#b", "/%76", "/a/../b", "/a\n"} {
		if CheckPrefix(bad) == nil {
			t.Errorf("the prefix %q is taken", bad)
		}
	}
}
