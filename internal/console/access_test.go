package console_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

// pausedPool counts its pauses.
type pausedPool struct {
	console.Pool
	paused int
}

func (p *pausedPool) Pause() { p.paused++ }

func TestAccess(t *testing.T) {
	t.Run("only operators act", testOnlyOperatorsAct)
	t.Run("foreign name for loopback sees nothing", testAForeignNameForLoopbackSeesNothing)
	t.Run("login is a session until its end", testALoginIsASessionUntilItsEnd)
	t.Run("cookie is secure where the browser speaks TLS", testTheCookieIsSecureWhereTheBrowserSpeaksTLS)
	t.Run("another site cannot log a user out", testAnotherSiteCannotLogAUserOut)
	t.Run("refusals are logged and many are counted", testRefusalsAreLoggedAndManyAreCounted)
	t.Run("guesses sent at once share no try", testGuessesSentAtOnceShareNoTry)
	t.Run("actions want JSON of a bounded size", testActionsWantJSONOfABoundedSize)
	t.Run("every answer comes under a strict policy", testEveryAnswerComesUnderAStrictPolicy)
	t.Run("actions without fields", testActionsWithoutFields)
}

// accessCase is a request to pause, and the status of its answer.
type accessCase struct {
	from   string
	token  string // the configured token
	edit   func(r *http.Request, csrf string)
	status int
}

func testOnlyOperatorsAct(t *testing.T) {
	for name, tc := range map[string]accessCase{
		"a page of ours on loopback": {"127.0.0.1:1", "", func(r *http.Request, csrf string) { r.Header.Set("X-Csrf-Token", csrf) }, 200},
		"the same by IPv6":           {"[::1]:1", "", func(r *http.Request, csrf string) { r.Header.Set("X-Csrf-Token", csrf) }, 200},
		"loopback without the proof": {"127.0.0.1:1", "", func(*http.Request, string) {}, 403},
		"loopback with a wrong proof": {"127.0.0.1:1", "", func(r *http.Request, csrf string) {
			r.Header.Set("X-Csrf-Token", csrf+"x")
		}, 403},
		"a foreign page on loopback": {"127.0.0.1:1", "", func(r *http.Request, csrf string) {
			r.Header.Set("X-Csrf-Token", csrf)
			r.Header.Set("Origin", "http://evil.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		"an old browser's foreign page": {"127.0.0.1:1", "", func(r *http.Request, csrf string) {
			r.Header.Set("X-Csrf-Token", csrf)
			r.Header.Set("Origin", "http://evil.example")
		}, 403},
		"a foreign name for loopback": {"127.0.0.1:1", "", func(r *http.Request, csrf string) {
			r.Header.Set("X-Csrf-Token", csrf)
			r.Host = "evil.example:9090"
		}, 421},
		"a proxy on this machine": {"127.0.0.1:1", "", func(r *http.Request, csrf string) {
			r.Header.Set("X-Csrf-Token", csrf)
			r.Header.Set("X-Forwarded-For", "192.0.2.1")
		}, 403},
		"a proxy's name, without its headers": {"127.0.0.1:1", "t0ken", func(r *http.Request, csrf string) {
			r.Header.Set("X-Csrf-Token", csrf)
			r.Host = "console.internal"
		}, 403},
		"a proxy's name with the token": {"127.0.0.1:1", "t0ken", func(r *http.Request, _ string) {
			r.Header.Set("Authorization", "Bearer t0ken")
			r.Host = "console.internal"
		}, 200},
		"elsewhere, proof alone": {"192.0.2.7:1", "t0ken", func(r *http.Request, csrf string) { r.Header.Set("X-Csrf-Token", csrf) }, 403},
		"elsewhere with the token": {"192.0.2.7:1", "t0ken", func(r *http.Request, _ string) {
			r.Header.Set("Authorization", "Bearer t0ken")
		}, 200},
		"elsewhere with another token": {"192.0.2.7:1", "t0ken", func(r *http.Request, _ string) {
			r.Header.Set("Authorization", "Bearer token")
		}, 403},
		"elsewhere with the token as another scheme": {"192.0.2.7:1", "t0ken", func(r *http.Request, _ string) {
			r.Header.Set("Authorization", "Basic t0ken")
		}, 403},
		"an empty token where there is none": {"192.0.2.7:1", "", func(r *http.Request, _ string) {
			r.Header.Set("Authorization", "Bearer ")
		}, 403},
		"a cookie made up": {"192.0.2.7:1", "t0ken", func(r *http.Request, csrf string) {
			r.Header.Set("X-Csrf-Token", csrf)
			r.AddCookie(&http.Cookie{Name: "sqsonce_console", Value: "x"})
		}, 403},
	} {
		t.Run(name, tc.check)
	}
}

func (tc accessCase) check(t *testing.T) {
	pool := &pausedPool{}
	w := consoletest.New(t, consoletest.Options{Token: tc.token, Edit: func(c *consoletest.Showing) {
		pool.Pool, c.Pool = c.Pool, pool
		c.Hosts = []string{"console.internal"}
	}})
	c := newClient(t, w.Handler)
	csrf := get[console.Session](c, "/api/session").CSRF // like a page on loopback
	r := request(http.MethodPost, "/api/queues/sqsonce/pause", map[string]any{})
	r.RemoteAddr = tc.from
	tc.edit(r, csrf)
	rec := httptest.NewRecorder()
	w.Handler.ServeHTTP(rec, r)
	if rec.Code != tc.status {
		t.Errorf("answer is %d %s, want %d", rec.Code, rec.Body, tc.status)
	}
	if (pool.paused == 1) != (tc.status == http.StatusOK) {
		t.Errorf("the pool was paused %d times", pool.paused)
	}
}

func testAForeignNameForLoopbackSeesNothing(t *testing.T) {
	w := consoletest.New(t, consoletest.Options{Edit: func(c *consoletest.Showing) { c.Hosts = []string{"console.internal"} }})
	for host, status := range map[string]int{
		"localhost:9090": 200, "LOCALHOST": 200, "127.0.0.1:9090": 200, "[::1]:9090": 200, "[::1]": 200, "192.168.1.5": 200, "console.internal:80": 200,
		"evil.example": 421, "localhost.evil.example": 421, "": 421, "127.0.0.1.evil.example": 421,
	} {
		for _, path := range []string{"/", "/api/session", "/api/queues/sqsonce/status", "/assets/app.js"} {
			r := request(http.MethodGet, path, nil)
			r.Host = host
			rec := httptest.NewRecorder()
			w.Handler.ServeHTTP(rec, r)
			if rec.Code != status {
				t.Errorf("%s of %q answers %d, want %d", path, host, rec.Code, status)
			}
		}
	}
	r := request(http.MethodGet, "/api/session", nil)
	r.Host, r.RemoteAddr = "worker.internal", "192.0.2.7:1"
	rec := httptest.NewRecorder()
	w.Handler.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		t.Errorf("a network client under a host name gets %d", rec.Code)
	}
}

func testALoginIsASessionUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logged()
		w := consoletest.New(t, consoletest.Options{Token: "t0ken", Edit: func(c *consoletest.Showing) { c.Logger = log }})
		c := newClient(t, w.Handler)
		c.from = "192.0.2.7:4711"
		if s := get[console.Session](c, "/api/session"); s.MayAct || s.CSRF != "" || s.Ends != 0 || !s.CanLogin {
			t.Fatalf("a stranger's session is %+v", s)
		}
		if rec := c.ask(http.MethodPost, "/api/login", map[string]string{"token": "guess"}); rec.Code != http.StatusUnauthorized || len(rec.Result().Cookies()) > 0 {
			t.Fatalf("a guess answers %d", rec.Code)
		}
		rec := c.ask(http.MethodPost, "/api/login", map[string]string{"token": "t0ken"})
		if rec.Code != http.StatusOK {
			t.Fatalf("the token answers %d %s", rec.Code, rec.Body)
		}
		cookie := rec.Result().Cookies()[0]
		if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || strings.Contains(cookie.Value, "t0ken") {
			t.Errorf("the cookie is %s", cookie)
		}
		c.edit = func(r *http.Request) { r.AddCookie(cookie) }
		if s := get[console.Session](c, "/api/session"); !s.MayAct || !s.LoggedIn || s.CSRF == "" || s.Ends != time.Now().Add(12*time.Hour).UnixMilli() {
			t.Errorf("the session is %+v", s)
		}
		if rec := c.act("/api/queues/sqsonce/pause", nil); rec.Code != http.StatusOK {
			t.Errorf("pause answers %d %s", rec.Code, rec.Body)
		}
		if got := lines.String(); !strings.Contains(got, "action=pause") || !strings.Contains(got, `who="session from 192.0.2.7:4711"`) || strings.Contains(got, "t0ken") {
			t.Errorf("log: %s", got)
		}
		time.Sleep(12 * time.Hour)
		if s := get[console.Session](c, "/api/session"); s.MayAct {
			t.Error("a session outlives its time")
		}
		cookie = c.ask(http.MethodPost, "/api/login", map[string]string{"token": "t0ken"}).Result().Cookies()[0]
		if rec := c.ask(http.MethodPost, "/api/logout", nil); rec.Result().Cookies()[0].MaxAge >= 0 {
			t.Error("logging out leaves the cookie")
		}
		if s := get[console.Session](c, "/api/session"); s.MayAct {
			t.Error("a session outlives its logout")
		}
	})
}

func testTheCookieIsSecureWhereTheBrowserSpeaksTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		header map[string]string
		tls    bool
		secure bool
	}{
		"plain HTTP":                          {},
		"TLS":                                 {tls: true, secure: true},
		"a TLS proxy that passes the origin":  {header: map[string]string{"Origin": "https://console.example"}, secure: true},
		"a TLS proxy that says so":            {header: map[string]string{"X-Forwarded-Proto": "https"}, secure: true},
		"a TLS proxy before a plain one":      {header: map[string]string{"X-Forwarded-Proto": "HTTPS , http"}, secure: true},
		"a plain proxy before a TLS one":      {header: map[string]string{"X-Forwarded-Proto": "http, https"}},
		"a plain origin, under proxy headers": {header: map[string]string{"Origin": "http://console.example", "X-Forwarded-Proto": "https"}},
		"an origin that is kept back":         {header: map[string]string{"Origin": "null", "X-Forwarded-Proto": "https", "Sec-Fetch-Site": "same-origin"}, secure: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, consoletest.New(t, consoletest.Options{Token: "t0ken"}).Handler)
			c.from = "192.0.2.7:4711"
			c.edit = func(r *http.Request) {
				r.Host = "console.example"
				for key, value := range tc.header {
					r.Header.Set(key, value)
				}
				if tc.tls {
					r.TLS = &tls.ConnectionState{}
				}
			}
			for _, path := range []string{"/api/login", "/api/logout"} {
				rec := c.ask(http.MethodPost, path, map[string]string{"token": "t0ken"})
				if cookies := rec.Result().Cookies(); rec.Code != http.StatusOK || len(cookies) != 1 || cookies[0].Secure != tc.secure {
					t.Errorf("%s answers %d with the cookies %v", path, rec.Code, cookies)
				}
			}
		})
	}
}

func testAnotherSiteCannotLogAUserOut(t *testing.T) {
	log, lines := logged()
	c := newClient(t, consoletest.New(t, consoletest.Options{Token: "t0ken", Edit: func(c *consoletest.Showing) { c.Logger = log }}).Handler)
	c.from = "192.0.2.7:4711"
	cookie := c.ask(http.MethodPost, "/api/login", map[string]string{"token": "t0ken"}).Result().Cookies()[0]
	foreign := func(r *http.Request) {
		r.AddCookie(cookie) // a cookie of an old session
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	own := func(r *http.Request) { r.AddCookie(cookie) }

	c.edit = foreign
	if rec := c.ask(http.MethodPost, "/api/logout", nil); rec.Code != http.StatusForbidden || len(rec.Result().Cookies()) > 0 {
		t.Errorf("another site's logout answers %d, with the cookies %v", rec.Code, rec.Result().Cookies())
	}
	c.edit = own
	if s := get[console.Session](c, "/api/session"); !s.MayAct {
		t.Error("another site has ended a session")
	}
	if got := lines.String(); strings.Contains(got, "console logout") || !strings.Contains(got, `msg="console request refused" action=logout who="session from 192.0.2.7:4711" status=403`) {
		t.Errorf("log: %s", got)
	}
	for range 2 { // the second time without a session
		if rec := c.ask(http.MethodPost, "/api/logout", nil); rec.Code != http.StatusOK || len(rec.Result().Cookies()) != 1 || rec.Result().Cookies()[0].MaxAge >= 0 {
			t.Errorf("a logout answers %d, with the cookies %v", rec.Code, rec.Result().Cookies())
		}
	}
	if got := lines.String(); strings.Count(got, `msg="console logout" who="session from 192.0.2.7:4711"`) != 1 {
		t.Errorf("log: %s", got)
	}
}

func testRefusalsAreLoggedAndManyAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logged()
		c := newClient(t, consoletest.New(t, consoletest.Options{Token: "t0ken", Edit: func(c *consoletest.Showing) { c.Logger = log }}).Handler)
		c.from = "192.0.2.7:4711"
		for range 100 {
			if rec := c.ask(http.MethodPost, "/api/queues/sqsonce/pause", map[string]any{}); rec.Code != http.StatusForbidden {
				t.Fatalf("a stranger's pause answers %d", rec.Code)
			}
		}
		const line = `msg="console request refused" action=pause who=192.0.2.7:4711 status=403 reason="needs the admin token`
		if got := lines.String(); strings.Count(got, line) != 10 || strings.Count(got, "\n") != 10 {
			t.Errorf("log of 100 refusals: %s", got)
		}
		time.Sleep(time.Second)
		lines.Reset()
		c.edit = func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
		c.ask(http.MethodPost, "/api/login", map[string]string{"token": "t0ken"})
		if got := lines.String(); !strings.Contains(got, `action=login who=192.0.2.7:4711 status=403 reason="the request was caused by another site" unlogged_before=90`) {
			t.Errorf("log a second later: %s", got)
		}
		c.edit = nil
		for range 5 {
			c.ask(http.MethodPost, "/api/login", map[string]string{"token": "guess"})
		}
		time.Sleep(time.Second / 2)
		lines.Reset()
		time.Sleep(time.Second / 2)
		c.ask(http.MethodPost, "/api/login", map[string]string{"token": "guess"})
		if rec := c.ask(http.MethodPost, "/api/login", map[string]string{"token": "another guess"}); rec.Code != http.StatusTooManyRequests {
			t.Fatalf("after six guesses the next try answers %d", rec.Code)
		}
		if got := lines.String(); !strings.Contains(got, "action=login who=192.0.2.7:4711 status=429") || strings.Contains(got, "t0ken") {
			t.Errorf("log after six guesses: %s", got)
		}
	})
}

func TestLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, consoletest.New(t, consoletest.Options{Token: "t0ken"}).Handler)
		try := func(from, token string) int {
			c.from = from
			return c.ask(http.MethodPost, "/api/login", map[string]string{"token": token}).Code
		}
		const guesser, other = "192.0.2.7:4711", "192.0.2.8:4711"
		for range 5 {
			if code := try(guesser, "guess"); code != http.StatusUnauthorized {
				t.Fatalf("a guess answers %d", code)
			}
		}
		if code := try("192.0.2.7:4712", "guess"); code != http.StatusTooManyRequests {
			t.Errorf("after five guesses the next one answers %d", code)
		}
		for _, from := range []string{guesser, other} {
			if code := try(from, "t0ken"); code != http.StatusOK {
				t.Errorf("from %s the token itself answers %d", from, code)
			}
		}
		if code := try(other, "guess"); code != http.StatusUnauthorized {
			t.Errorf("another address's first guess answers %d", code)
		}
		time.Sleep(time.Second)
		if code := try(guesser, "guess"); code != http.StatusUnauthorized {
			t.Errorf("a second later a guess answers %d", code)
		}
	})
}

// The number of remembered addresses is bounded.
func TestLoginsOfManyAddresses(t *testing.T) {
	c := newClient(t, consoletest.New(t, consoletest.Options{Token: "t0ken"}).Handler)
	for i := range 3000 {
		c.from = fmt.Sprintf("198.51.%d.%d:1", i/256, i%256)
		if rec := c.ask(http.MethodPost, "/api/login", map[string]string{"token": "guess"}); rec.Code != http.StatusUnauthorized {
			t.Fatalf("the first guess of %s answers %d", c.from, rec.Code)
		}
	}
}

func testGuessesSentAtOnceShareNoTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := consoletest.New(t, consoletest.Options{Token: "t0ken"})
		var answered, slowed atomic.Int64
		var guesses sync.WaitGroup
		for range 200 {
			guesses.Go(func() {
				r := request(http.MethodPost, "/api/login", map[string]string{"token": "guess"})
				r.RemoteAddr = "192.0.2.7:4711"
				rec := httptest.NewRecorder()
				w.Handler.ServeHTTP(rec, r)
				switch rec.Code {
				case http.StatusUnauthorized:
					answered.Add(1)
				case http.StatusTooManyRequests:
					slowed.Add(1)
				}
			})
		}
		guesses.Wait()
		if answered.Load() != 5 || slowed.Load() != 195 {
			t.Errorf("%d guesses were answered, %d slowed down", answered.Load(), slowed.Load())
		}
	})
}

func TestOldSessionsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, consoletest.New(t, consoletest.Options{Token: "t0ken"}).Handler)
		c.from = "192.0.2.7:4711"
		var cookies []*http.Cookie
		for range 65 {
			cookies = append(cookies, c.ask(http.MethodPost, "/api/login", map[string]string{"token": "t0ken"}).Result().Cookies()...)
			time.Sleep(time.Minute)
		}
		valid := 0
		for _, cookie := range cookies {
			c.edit = func(r *http.Request) { r.AddCookie(cookie) }
			if get[console.Session](c, "/api/session").MayAct {
				valid++
			} else if cookie != cookies[0] {
				t.Error("a session that was not the oldest had to go")
			}
		}
		if valid != 64 {
			t.Errorf("%d of 65 sessions are valid", valid)
		}
	})
}

func testActionsWantJSONOfABoundedSize(t *testing.T) {
	w := consoletest.New(t, consoletest.Options{})
	c := newClient(t, w.Handler)
	csrf := get[console.Session](c, "/api/session").CSRF
	for name, tc := range map[string]struct {
		kind, body string
		status     int
	}{
		"a form":         {"application/x-www-form-urlencoded", "name=a", 415},
		"plain text":     {"text/plain", `{"name":"a"}`, 415},
		"nothing":        {"application/json", "", 400},
		"half an object": {"application/json", `{"name":`, 400},
		"another field":  {"application/json", `{"name":"a","owner":"b"}`, 400},
		"a key twice":    {"application/json", `{"name":"a","n\u0061me":"b"}`, 400},
		"another case":   {"application/json", `{"NAME":"a"}`, 400},
		"more behind it": {"application/json", `{"name":"a"} junk`, 400},
		"not UTF-8":      {"application/json", "{\"name\":\"a\xff\"}", 400},
		"no object":      {"application/json", `null`, 400},
		"folded case":    {"application/json", `{"name":"a","ſorce":true}`, 400},
		"half a pair":    {"application/json", `{"name":"a\ud800"}`, 400},
		"null":           {"application/json", `{"name":"a","force":null}`, 400},
		"no name":        {"application/json", `{"name":""}`, 400},
		"too much":       {"application/json", `{"name":"` + strings.Repeat("a", 3<<20) + `"}`, 413},
		"with a charset": {"application/json; charset=utf-8", `{"name":"a"}`, 200},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/api/queues/sqsonce/forget", strings.NewReader(tc.body))
			r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
			r.Header.Set("Content-Type", tc.kind)
			r.Header.Set("X-Csrf-Token", csrf)
			if rec := c.send(r); rec.Code != tc.status {
				t.Errorf("answer is %d %s, want %d", rec.Code, rec.Body, tc.status)
			}
		})
	}
}

func testEveryAnswerComesUnderAStrictPolicy(t *testing.T) {
	w := consoletest.New(t, consoletest.Options{})
	for _, path := range []string{"/", "/assets/app.js", "/api/session", "/nothing"} {
		rec := httptest.NewRecorder()
		w.Handler.ServeHTTP(rec, request(http.MethodGet, path, nil))
		policy := rec.Header().Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("the policy of %s lacks %s: %s", path, part, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("the policy of %s allows too much: %s", path, policy)
		}
		if rec.Header().Get("X-Content-Type-Options") != "nosniff" || rec.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("headers of %s are %v", path, rec.Header())
		}
	}
}

// An action without fields accepts no body or an empty object. It refuses any other body, and does
// nothing.
func testActionsWithoutFields(t *testing.T) {
	drained := 0
	w := consoletest.New(t, consoletest.Options{Edit: func(c *consoletest.Showing) { c.Drain = func() { drained++ } }})
	w.Send(t, w.DLQURL, "order-17", nil)
	c := newClient(t, w.Handler)
	for _, path := range []string{"/api/queues/sqsonce/pause", "/api/queues/sqsonce/resume", "/api/queues/sqsonce/dead/purge", "/api/drain"} {
		for body, want := range map[string]bool{`{} junk`: false, `{"a":1}`: false, `[]`: false, `junk`: false, "\xff": false, ``: true, `{}`: true, ` {} `: true} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
			r.Header.Set("X-Csrf-Token", get[console.Session](c, "/api/session").CSRF)
			if body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			before := drained
			if rec := c.send(r); (rec.Code != http.StatusBadRequest) != want { // a second purge within a minute is a conflict
				t.Errorf("%s with %q answers %d %s", path, body, rec.Code, rec.Body)
			}
			if path == "/api/drain" && (drained > before) != want {
				t.Errorf("%q drained %d times", body, drained-before)
			}
		}
	}
}
