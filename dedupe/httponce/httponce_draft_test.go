package httponce_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// TestDraft checks each requirement for servers in draft-ietf-httpapi-idempotency-key-header-07, by
// section. The requirements for clients, and the paragraph on other status codes (end of section
// 2.7), do not apply.
// https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
func TestDraft(t *testing.T) {
	for _, tc := range slices.Concat(draftKeys(), draftRetries(), draftErrors(), draftSecurity()) {
		t.Run(tc.section+" "+tc.sentence, func(t *testing.T) { tc.check(t, newAPI()) })
	}
}

// requirement is a requirement of the draft for servers.
type requirement struct {
	section, sentence string
	check             func(t *testing.T, a *api)
}

// docs is the address of an API's documentation.
const docs = "https://developer.example.com/idempotency"

// draftKeys lists the requirements for keys and fingerprints, sections 2.1 to 2.5.
func draftKeys() []requirement {
	return []requirement{
		{"2.1", "The field is an Item Structured Header whose value is a String.", func(t *testing.T, a *api) {
			h := a.handler(t)
			for value, status := range map[string]int{key: 201, `"clkyoesmbgybucifusbbtdsbohtyuuwz"`: 201, `token`: 400, `?1`: 400, `:YQ==:`: 400, `("a")`: 400, `1.5`: 400} {
				if w := ask(h, post("/charges", value, "{}")); w.Code != status {
					t.Errorf("%s: %d", value, w.Code)
				}
			}
		}},
		{"2.2", "A key must not be reused with another payload.", func(t *testing.T, a *api) {
			h := a.handler(t)
			ask(h, post("/charges", key, "a"))
			problemOf(t, ask(h, post("/charges", key, "b")), http.StatusUnprocessableEntity)
		}},
		{"2.2", "The resource owner defines what is unique.", func(t *testing.T, a *api) {
			a.cfg.Client = func(r *http.Request) string { return r.Host }
			h := a.handler(t)
			for _, address := range []string{"http://a/charges", "http://b/charges", "http://a/refunds"} {
				if w := ask(h, post(address, key, "a")); w.Code != 201 || w.Header().Get("Idempotent-Replayed") != "" {
					t.Errorf("%s: %d, replayed %q", address, w.Code, w.Header().Get("Idempotent-Replayed"))
				}
			}
		}},
		{"2.3", "A key may expire.", func(t *testing.T, a *api) {
			synctest.Test(t, func(t *testing.T) {
				a.guard.Window = time.Hour
				h := a.handler(t)
				ask(h, post("/charges", key, "a"))
				time.Sleep(59 * time.Minute)
				ask(h, post("/charges", key, "a"))
				time.Sleep(2 * time.Minute)
				ask(h, post("/charges", key, "b"))
				if a.ran.Load() != 2 {
					t.Errorf("ran %d times, want once an hour", a.ran.Load())
				}
			})
		}},
		{"2.4", "A fingerprint may be a checksum of the whole payload, or of parts of it.", func(t *testing.T, a *api) {
			a.cfg.Fingerprint = func(_ *http.Request, body []byte) ([]byte, error) { return body[:1], nil }
			parts := a.handler(t)
			ask(parts, post("/charges", key, "ab"))
			if w := ask(parts, post("/charges", key, "ac")); w.Code != 201 || a.ran.Load() != 1 {
				t.Errorf("%d, ran %d times", w.Code, a.ran.Load())
			}
			a.cfg.Fingerprint = nil
			whole := a.handler(t)
			ask(whole, post("/refunds", key, "ab"))
			problemOf(t, ask(whole, post("/refunds", key, "ac")), http.StatusUnprocessableEntity)
		}},
		{"2.5.2", "The resource manages the lifecycle of the key.", func(t *testing.T, a *api) {
			h := a.handler(t)
			ask(h, post("/charges", key, "a"))
			rec, err := a.store.(dedupe.Reader).Get(t.Context(), "api#POST /charges "+strings.Trim(key, `"`))
			if err != nil || rec.Status != protocol.Completed || time.Until(rec.ExpiresAt) < 29*24*time.Hour {
				t.Errorf("%+v, %v", rec, err)
			}
		}},
	}
}

// draftRetries lists the requirements for retries, section 2.6.
func draftRetries() []requirement {
	return []requirement{
		{"2.6", "The first request is processed as usual and answered.", func(t *testing.T, a *api) {
			if w := ask(a.handler(t), post("/charges", key, "a")); w.Code != 201 || w.Body.String() != "charge 1" || a.ran.Load() != 1 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}},
		{"2.6", "A retry after completion gets the result, success or error.", func(t *testing.T, a *api) {
			a.serve = func(_ int64, w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/declined" {
					http.Error(w, "no money", http.StatusPaymentRequired)
				}
			}
			h := a.handler(t)
			for path, status := range map[string]int{"/charges": 200, "/declined": 402} {
				first, again := ask(h, post(path, key, "a")), ask(h, post(path, key, "a"))
				if first.Code != status || again.Code != status || first.Body.String() != again.Body.String() {
					t.Errorf("%s: %d, then %d %s", path, first.Code, again.Code, again.Body)
				}
			}
			if a.ran.Load() != 2 {
				t.Errorf("ran %d times", a.ran.Load())
			}
		}},
		{"2.6", "A concurrent retry gets a conflict.", func(t *testing.T, a *api) { concurrent(t, a) }},
	}
}

// draftErrors lists the requirements for errors, section 2.7.
func draftErrors() []requirement {
	return []requirement{
		{"2.7", "A missing key is answered 400, with a link to the documentation.", func(t *testing.T, a *api) {
			a.cfg.Docs = docs
			documented(t, ask(a.handler(t), post("/charges", "", "a")), http.StatusBadRequest, docs)
		}},
		{"2.7", "A key with another payload is answered 422, with a link to the documentation.", func(t *testing.T, a *api) {
			a.cfg.Docs = docs
			h := a.handler(t)
			ask(h, post("/charges", key, "a"))
			documented(t, ask(h, post("/charges", key, "b")), http.StatusUnprocessableEntity, docs)
		}},
		{"2.7", "A retry of a request in progress is answered 409, with a description.", func(t *testing.T, a *api) {
			a.cfg.Docs = docs
			documented(t, concurrent(t, a), http.StatusConflict, docs)
		}},
		{"2.7", "A request that was refused stays refused until it is corrected.", func(t *testing.T, a *api) {
			h := a.handler(t)
			ask(h, post("/charges", key, "a"))
			for range 3 {
				problemOf(t, ask(h, post("/charges", key, "b")), http.StatusUnprocessableEntity)
				problemOf(t, ask(h, post("/charges", "", "b")), http.StatusBadRequest)
			}
			if w := ask(h, post("/charges", `"another"`, "b")); w.Code != 201 {
				t.Errorf("corrected: %d", w.Code)
			}
		}},
	}
}

// draftSecurity lists the requirements of section 5.
func draftSecurity() []requirement {
	return []requirement{
		{"5", "A key's form is fixed, and checked before the request is processed.", func(t *testing.T, a *api) {
			a.cfg.CheckKey = func(key string) error {
				if len(key) != 36 {
					return errNoUUID
				}
				return nil
			}
			p := problemOf(t, ask(a.handler(t), post("/charges", `"1"`, "a")), http.StatusBadRequest)
			if p.Detail != errNoUUID.Error() || a.ran.Load() != 0 {
				t.Errorf("%+v, ran %d times", p, a.ran.Load())
			}
		}},
		{"5", "Keys of low entropy do not leak an answer to another client.", func(t *testing.T, a *api) {
			a.cfg.Client = func(r *http.Request) string { return r.Host }
			a.serve = func(_ int64, w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("secret of " + r.Host)) }
			h := a.handler(t)
			ask(h, post("http://a/charges", `"1"`, "a"))
			if w := ask(h, post("http://b/charges", `"1"`, "a")); w.Body.String() != "secret of b" {
				t.Errorf("b is told the %s", w.Body)
			}
		}},
	}
}

type keyError string

func (e keyError) Error() string { return string(e) }

const errNoUUID = keyError("the key must be a UUID")

// concurrent sends a request while another request with its key is in progress.
func concurrent(t *testing.T, a *api) (second *httptest.ResponseRecorder) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a.serve = func(int64, http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }
		h := a.handler(t)
		var all sync.WaitGroup
		all.Go(func() { ask(h, post("/charges", key, "a")) })
		synctest.Wait()
		second = ask(h, post("/charges", key, "a"))
		all.Wait()
	})
	problemOf(t, second, http.StatusConflict)
	if a.ran.Load() != 1 || second.Header().Get("Retry-After") == "" {
		t.Errorf("ran %d times, Retry-After %q", a.ran.Load(), second.Header().Get("Retry-After"))
	}
	return second
}

// documented checks that an error links to the documentation in both ways of the draft.
func documented(t *testing.T, w *httptest.ResponseRecorder, status int, docs string) {
	t.Helper()
	p := problemOf(t, w, status)
	if p.Type != docs || p.Detail == "" || w.Header().Get("Content-Language") != "en" {
		t.Errorf("problem %+v in %q", p, w.Header().Get("Content-Language"))
	}
	if link := w.Header().Get("Link"); link != "<"+docs+`>; rel="describedby"; type="text/html"` {
		t.Errorf("Link %q", link)
	}
}
