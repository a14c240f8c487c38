package httponce_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
)

func TestRepeat(t *testing.T) {
	for name, tc := range map[string]struct {
		serve  func(n int64, w http.ResponseWriter, r *http.Request)
		status int
		body   string
		header map[string]string // of the repeat
	}{
		"created": {nil, 201, "charge 1", map[string]string{"Location": "/charges/1"}},
		"declined": {func(_ int64, w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "declined", http.StatusPaymentRequired)
		}, 402, "declined\n", map[string]string{"Content-Type": "text/plain; charset=utf-8"}},
		"nothing":  {func(int64, http.ResponseWriter, *http.Request) {}, 200, "", nil},
		"implicit": {func(_ int64, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, 200, "<html>", nil},
		"binary":   {func(_ int64, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0, 0xfe}) }, 200, "\xff\x00\xfe", nil},
		"many quotes": {func(_ int64, w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("\x01", 2000))
		}, 200, strings.Repeat("\x01", 2000), nil},
		"no content": {func(_ int64, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(http.StatusNoContent)
			if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic("a body was accepted")
			}
		}, 204, "", map[string]string{"Etag": `"1"`, "Content-Length": ""}},
		"early hints": {func(_ int64, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
			w.WriteHeader(http.StatusInternalServerError)
		}, 202, "", nil},
		"flushed": {func(_ int64, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/a")
			_, _ = io.WriteString(w, "a")
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
			w.Header().Set("Location", "/late")
			_, _ = io.Copy(w, strings.NewReader("b"))
		}, 200, "ab", map[string]string{"Location": "/a"}},
		"personal": {func(_ int64, w http.ResponseWriter, _ *http.Request) {
			for _, h := range []string{"Set-Cookie", "Date", "Connection", "Keep-Alive", "Trailer", "X-Request-Id"} {
				w.Header().Set(h, "x")
			}
			w.Header().Set("Content-Length", "77")
			_, _ = io.WriteString(w, "ok")
		}, 200, "ok", map[string]string{"Set-Cookie": "", "Date": "", "Connection": "", "Keep-Alive": "", "Trailer": "", "X-Request-Id": "", "Content-Length": "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI()
			a.serve = tc.serve
			h := a.handler(t)
			first, again := ask(h, post("/charges", key, "{}")), ask(a.handler(t), post("/charges", key, "{}"))
			for what, w := range map[string]*httptest.ResponseRecorder{"first": first, "repeat": again} {
				if w.Code != tc.status || w.Body.String() != tc.body {
					t.Errorf("%s: %d %.80q, want %d %.80q", what, w.Code, w.Body, tc.status, tc.body)
				}
			}
			for field, want := range tc.header {
				if got := again.Header().Get(field); got != want {
					t.Errorf("repeat: %s is %q, want %q", field, got, want)
				}
			}
			if first.Header().Get("Idempotent-Replayed") != "" || again.Header().Get("Idempotent-Replayed") != "true" {
				t.Error("only a repeat says that it is one")
			}
			if a.ran.Load() != 1 {
				t.Errorf("ran %d times", a.ran.Load())
			}
		})
	}
}

// The first client gets all header fields of the handler.
func TestFirstAnswer(t *testing.T) {
	a := newAPI()
	a.cfg.Headers = []string{"x-request-id"}
	a.serve = func(_ int64, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("X-Request-Id", "7")
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	}
	h := a.handler(t)
	first := ask(h, post("/charges", key, ""))
	if first.Header().Get("Set-Cookie") != "a=b" || first.Body.Len() != 1<<20 {
		t.Errorf("got %v and %d bytes", first.Header(), first.Body.Len())
	}
	p := problemOf(t, ask(h, post("/charges", key, "")), http.StatusConflict)
	if p.Answer == nil || p.Answer.Status != 200 || p.Answer.Header.Get("X-Request-Id") != "7" || p.Answer.Omitted.Size != 1<<20 || len(p.Answer.Omitted.SHA256) != 64 {
		t.Errorf("the repeat is told %+v", p.Answer)
	}
	if a.ran.Load() != 1 {
		t.Errorf("ran %d times", a.ran.Load())
	}
}

// The record of any answer is one JSON value within MaxResult.
func TestMaxResult(t *testing.T) {
	for name, tc := range map[string]struct {
		body, header string
		kept, fields bool
	}{
		"small":       {"ok", "", true, true},
		"escaped":     {strings.Repeat("\x01", 700), "", true, true}, // six bytes each as text
		"large":       {strings.Repeat("x", 1001), "/x", false, true},
		"binary":      {strings.Repeat("\xff", 800), "/x", false, true},
		"long header": {"", "/" + strings.Repeat("x", 1000), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI()
			a.guard.MaxResult = 1000
			a.serve = func(_ int64, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", tc.header)
				_, _ = io.WriteString(w, tc.body)
			}
			h := a.handler(t)
			ask(h, post("/charges", key, ""))
			rec, err := a.store.(dedupe.Reader).Get(t.Context(), "api#POST /charges "+strings.Trim(key, `"`))
			if err != nil || len(rec.Result) > 1000 || rec.ResultType != "" || !json.Valid(rec.Result) {
				t.Fatalf("%d bytes of type %q, %v", len(rec.Result), rec.ResultType, err)
			}
			again := ask(h, post("/charges", key, ""))
			if tc.kept {
				if again.Code != 200 || again.Body.String() != tc.body {
					t.Errorf("repeat: %d %.80q", again.Code, again.Body)
				}
				return
			}
			p := problemOf(t, again, http.StatusConflict)
			if p.Answer.Status != 200 || (p.Answer.Header.Get("Location") == tc.header) != tc.fields {
				t.Errorf("the repeat is told %.200v", p.Answer)
			}
		})
	}
}

// A repeat gets the result that an operator has resolved the name with.
func TestResolved(t *testing.T) {
	for name, tc := range map[string]struct {
		result string
		status int
	}{
		"an answer":  {`{"status":201,"header":{"Location":["/charges/9"]},"body":"by hand"}`, 201},
		"no answer":  {``, 409},
		"other JSON": {`{"charge":9}`, 409},
		"no object":  {`[1]`, 409},
		"no status":  {`{"body":"x"}`, 409},
		"bad status": {`{"status":99,"body":"x"}`, 409},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI()
			a.guard.Hold = true
			a.serve = func(int64, http.ResponseWriter, *http.Request) { panic("broken") }
			h := a.handler(t)
			ask(h, post("/charges", key, ""))
			op, err := dedupe.NewOperator(a.store, a.guard)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := op.Resolve(t.Context(), "POST /charges "+strings.Trim(key, `"`), dedupe.Payload{Data: []byte(tc.result)}); err != nil {
				t.Fatal(err)
			}
			w := ask(h, post("/charges", key, ""))
			if w.Code != tc.status || tc.status == 201 && (w.Body.String() != "by hand" || w.Header().Get("Location") != "/charges/9") {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
		})
	}
}

// A repeat gets the recorded answer.
func FuzzRepeat(f *testing.F) {
	f.Add(200, []byte("ok"), "text/plain")
	f.Add(404, []byte{0xff}, "a/b")
	f.Add(204, []byte{}, "")
	f.Add(201, bytes.Repeat([]byte("<&>\u2028\x00"), 40), "x")
	f.Fuzz(func(t *testing.T, status int, body []byte, mediaType string) {
		if status < 200 || status > 499 {
			status = 200 + int(uint(status)%300)
		}
		mediaType = url.QueryEscape(mediaType)
		a := newAPI()
		a.guard.CacheAge = -1
		a.serve = func(_ int64, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
		h := a.handler(t)
		first, again := ask(h, post("/charges", key, "")), ask(h, post("/charges", key, ""))
		if again.Code == 409 && len(body) > 2000 && status != 409 {
			return // not recorded
		}
		if first.Code != again.Code || !bytes.Equal(first.Body.Bytes(), again.Body.Bytes()) || first.Header().Get("Content-Type") != again.Header().Get("Content-Type") {
			t.Errorf("first %d %q %v, then %d %q %v", first.Code, first.Body, first.Header(), again.Code, again.Body, again.Header())
		}
	})
}
