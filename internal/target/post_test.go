package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusDecidesTheOutcome(t *testing.T) {
	want := map[int]kind{
		200: done, 201: done, 202: done, 204: done, 206: done, 299: done,
		300: retryDown, 301: retryDown, 302: retryDown, 303: retryDown, 304: retryDown, 307: retryDown, 308: retryDown,
		400: permanent, 410: permanent, 413: permanent, 415: permanent, 422: permanent,
		401: retryDown, 403: retryDown, 404: retryDown, 405: retryDown,
		402: retry, 406: retry, 408: retry, 409: retry, 418: retry, 423: retry, 425: retry, 429: retry, 431: retry, 451: retry,
		500: retry, 501: retry, 502: retry, 503: retry, 504: retry, 599: retry, 600: retry, 999: retry,
	}
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		status, _ := strconv.Atoi(string(body))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		if status != http.StatusNoContent && status != http.StatusNotModified {
			_, _ = fmt.Fprintf(w, "about %d", status)
		}
	}))
	defer srv.Close()
	target, err := New(Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range want {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			asked.Store(0)
			resp, err := target.Post(t.Context(), Request{Name: "n", Body: strconv.Itoa(status)})
			if got := kindOf(err); got != want {
				t.Fatalf("outcome is %q, want %q (%v)", got, want, err)
			}
			if asked.Load() != 1 {
				t.Errorf("target was asked %d times", asked.Load())
			}
			about := fmt.Sprintf("about %d", status)
			switch {
			case status == http.StatusNoContent || status == http.StatusNotModified:
			case want == done && string(resp.Body) != about:
				t.Errorf("result is %q", resp.Body)
			case want != done && (!strings.Contains(err.Error(), strconv.Itoa(status)) || !strings.HasSuffix(err.Error(), about)):
				t.Errorf("error shows not both status and body: %v", err)
			}
		})
	}
}

func TestPost(t *testing.T) {
	t.Run("permanent statuses are those configured", testPermanentStatusesAreThoseConfigured)
	t.Run("redirect with a broken location is a retry", testRedirectWithABrokenLocationIsARetry)
	t.Run("answer that switches protocols is a retry", testAnAnswerThatSwitchesProtocolsIsARetry)
	t.Run("request without a whole answer has an unknown outcome", testRequestWithoutAWholeAnswerHasAnUnknownOutcome)
	t.Run("broken body of an error still has its status", testBrokenBodyOfAnErrorStillHasItsStatus)
	t.Run("request is not sent again when a kept connection breaks", testRequestIsNotSentAgainWhenAKeptConnectionBreaks)
	t.Run("caller that stops is told whether the request went out", testCallerThatStopsIsToldWhetherTheRequestWentOut)
	t.Run("error holds a bounded excerpt on one line", testErrorHoldsABoundedExcerptOnOneLine)
}

func testPermanentStatusesAreThoseConfigured(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		status, _ := strconv.Atoi(string(body))
		w.WriteHeader(status)
	}))
	defer srv.Close()
	target, err := New(Config{URL: srv.URL, PermanentStatuses: []int{404, 501}})
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]kind{404: permanent, 501: permanent, 400: retry, 422: retry, 405: retryDown} {
		_, err := target.Post(t.Context(), Request{Name: "n", Body: strconv.Itoa(status)})
		if got := kindOf(err); got != want {
			t.Errorf("%d: outcome is %q, want %q", status, got, want)
		}
	}
}

func testRedirectWithABrokenLocationIsARetry(t *testing.T) {
	for _, location := range []string{"", "::not a URL::", "http://%zz/"} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		}))
		target, err := New(Config{URL: srv.URL})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"}); kindOf(err) != retryDown {
			t.Errorf("Location %q: outcome is %q (%v)", location, kindOf(err), err)
		}
		srv.Close()
	}
}

func testAnAnswerThatSwitchesProtocolsIsARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, stop := newPiped(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { switchProtocols(t, w) })
		defer stop()
		_, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"})
		if status, ok := errors.AsType[*StatusError](err); kindOf(err) != retry || !ok || status.Status != 101 {
			t.Errorf("outcome is %q (%v)", kindOf(err), err)
		}
	})
}

const answerTimeout, worked = 30 * time.Second, 12 * time.Second

// brokenAnswer is a fault after the request was sent. The target works first.
type brokenAnswer struct {
	handler func(*testing.T, http.ResponseWriter, *http.Request)
	rest    time.Duration
	text    string
}

func testRequestWithoutAWholeAnswerHasAnUnknownOutcome(t *testing.T) {
	for name, tc := range map[string]brokenAnswer{
		"no answer in time": {
			func(_ *testing.T, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			0, "no answer within 30s",
		},
		"answer not whole in time": {
			func(_ *testing.T, w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, `{"half":`)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			},
			0, "no answer within 30s",
		},
		"connection closed without an answer": {
			func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
				time.Sleep(worked)
				breakOff(t, w)
			},
			answerTimeout - worked, "EOF",
		},
		"connection closed within a chunked answer": {
			func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"half":`)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(worked)
				breakOff(t, w)
			},
			answerTimeout - worked, "answer 200 broke off",
		},
		"answer shorter than announced": {
			func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, `{"half":`)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(worked)
				breakOff(t, w)
			},
			answerTimeout - worked, "answer 200 broke off",
		},
		"answer that is not HTTP": {
			func(t *testing.T, w http.ResponseWriter, _ *http.Request) {
				time.Sleep(worked)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, "hello there\r\n\r\n")
				_ = conn.Close()
			},
			answerTimeout - worked, "malformed",
		},
	} {
		t.Run(name, tc.check)
	}
}

func (tc brokenAnswer) check(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		target, stop := newPiped(t, Config{Timeout: answerTimeout}, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			tc.handler(t, w, r)
		})
		defer stop()
		_, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"})
		e, ok := errors.AsType[*UnknownOutcomeError](err)
		if !ok || kindOf(err) != unknown {
			t.Fatalf("outcome is %q (%v)", kindOf(err), err)
		}
		if e.RetryAfter() != tc.rest {
			t.Errorf("to be tried again after %s, want %s", e.RetryAfter(), tc.rest)
		}
		if !strings.Contains(err.Error(), tc.text) {
			t.Errorf("error lacks %q: %v", tc.text, err)
		}
		if asked.Load() != 1 {
			t.Errorf("target was asked %d times", asked.Load())
		}
	})
}

func testBrokenBodyOfAnErrorStillHasItsStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, stop := newPiped(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, "no such")
			_ = http.NewResponseController(w).Flush()
			breakOff(t, w)
		})
		defer stop()
		_, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"})
		if kindOf(err) != permanent || !strings.Contains(err.Error(), "no such") {
			t.Errorf("outcome is %q (%v)", kindOf(err), err)
		}
	})
}

// The transport sends a request that carries an Idempotency-Key a second time
// by itself when a kept connection breaks, unless it is kept from doing so.
func testRequestIsNotSentAgainWhenAKeptConnectionBreaks(t *testing.T) {
	for _, body := range []string{"{}", ""} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int32
			target, stop := newPiped(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) > 1 {
					breakOff(t, w)
				}
			})
			defer stop()
			if _, err := target.Post(t.Context(), Request{Name: "n", Body: body}); err != nil {
				t.Fatal(err)
			}
			_, err := target.Post(t.Context(), Request{Name: "n", Body: body})
			if kindOf(err) != unknown || asked.Load() != 2 {
				t.Errorf("outcome is %q, target was asked %d times (%v)", kindOf(err), asked.Load(), err)
			}
		})
	}
}

func testCallerThatStopsIsToldWhetherTheRequestWentOut(t *testing.T) {
	cause := errors.New("lease lost")
	t.Run("after it went out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			target, stop := newPiped(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client goes
				time.Sleep(10 * time.Second)
				cancel(cause)
				<-r.Context().Done()
			})
			defer stop()
			_, err := target.Post(ctx, Request{Name: "n", Body: "{}"})
			if kindOf(err) != unknown || !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
				t.Errorf("outcome is %q (%v)", kindOf(err), err)
			}
			if e, ok := errors.AsType[*UnknownOutcomeError](err); ok && e.RetryAfter() != 20*time.Second {
				t.Errorf("to be tried again after %s", e.RetryAfter())
			}
		})
	})
	t.Run("before it went out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(cause)
			target, stop := newPiped(t, Config{}, func(http.ResponseWriter, *http.Request) {
				t.Error("the request went out")
			})
			defer stop()
			_, err := target.Post(ctx, Request{Name: "n", Body: "{}"})
			if kindOf(err) != plain || !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
				t.Errorf("outcome is %q (%v)", kindOf(err), err)
			}
		})
	})
}

func TestResultIsBounded(t *testing.T) {
	const limit = 1000
	for _, size := range []int{0, 1, limit - 1, limit, limit + 1, 100 * limit} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x-test")
			_, _ = w.Write(bytes.Repeat([]byte("x"), size))
		}))
		target, err := New(Config{URL: srv.URL, MaxResult: limit})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := target.Post(t.Context(), Request{Name: "n", Body: "{}"})
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.Body) != min(size, limit) || resp.Size != int64(size) || resp.ContentType != "text/x-test" {
			t.Errorf("%d bytes came back as %d of %q, size %d", size, len(resp.Body), resp.ContentType, resp.Size)
		}
		srv.Close()
	}
}

func testErrorHoldsABoundedExcerptOnOneLine(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"empty":          {"", ""},
		"short":          {"no stock", "no stock"},
		"several lines":  {"<html>\r\n\t<b>oops</b>\n", "<html> <b>oops</b>"},
		"control bytes":  {"a\x00\x1b[31mb", "a [31mb"},
		"not UTF-8":      {"a\xffb", "a\uFFFDb"},
		"at the limit":   {strings.Repeat("x", maxExcerpt), strings.Repeat("x", maxExcerpt)},
		"long":           {strings.Repeat("x", 1<<20), strings.Repeat("x", maxExcerpt) + "…"},
		"cut in a rune":  {strings.Repeat("x", maxExcerpt-1) + "éé", strings.Repeat("x", maxExcerpt-1) + "…"},
		"only blanks":    {" \n ", ""},
		"runes, in full": {"plus tôt", "plus tôt"},
	} {
		t.Run(name, func(t *testing.T) {
			body := tc.body[:min(len(tc.body), maxExcerpt+4)] // as much as is read
			if got := excerpt([]byte(body)); got != tc.want {
				t.Errorf("excerpt is %q, want %q", got, tc.want)
			}
		})
	}
}
