package target

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func answer(status int, permanent bool) error {
	return &StatusError{Status: status, permanent: permanent}
}

func TestWeigh(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want evidence
	}{
		"done":              {nil, success},
		"not reached":       {&DownError{Err: errors.New("refused")}, failing},
		"timed out":         {&UnknownOutcomeError{Err: errors.New("no answer"), timedOut: true}, timedOut},
		"broken connection": {&UnknownOutcomeError{Err: errors.New("EOF")}, nothing},
		"given up":          {errors.New("stopped"), nothing},
	} {
		t.Run(name, func(t *testing.T) {
			if got := weigh(tc.err); got != tc.want {
				t.Errorf("weigh(%v) = %d, want %d", tc.err, got, tc.want)
			}
		})
	}
	for want, statuses := range map[evidence][]int{
		failing: {301, 302, 307, 401, 403, 404, 405, 500, 501, 502, 503, 504, 599},
		blaming: {400, 402, 406, 414, 415, 421, 422, 431},
		nothing: {101, 408, 409, 410, 413, 423, 425, 429},
	} {
		for _, status := range statuses {
			t.Run(fmt.Sprint(status), func(t *testing.T) {
				if got := weigh(answer(status, false)); got != want {
					t.Errorf("is evidence %d, want %d", got, want)
				}
				if got := weigh(answer(status, true)); status > 399 && want != nothing && got != blaming {
					t.Errorf("as a permanent status is evidence %d, want %d", got, blaming)
				}
			})
		}
	}
}

// suspicionScript is a case of TestSuspicion: each word is a message and its end, and ! after it
// means that it is excused. "believe", "well" and "unwell" (of the health path) and "hour" are
// events.
type suspicionScript struct {
	script  string
	suspect bool
}

func TestSuspicion(t *testing.T) {
	for name, tc := range map[string]suspicionScript{
		"five different messages":          {"a:fail b:fail c:fail d:fail e:fail! f:fail!", true},
		"five that are blamed":             {"a:blame b:blame c:blame d:blame e:blame! f:blame!", true},
		"one message again and again":      {"a:fail a:fail a:fail a:fail a:fail a:fail", false},
		"a success between":                {"a:fail b:fail c:fail d:fail x:ok e:fail f:fail g:fail h:fail", false},
		"not alike":                        {"a:fail b:fail c:fail d:blame e:blame f:blame", false},
		"alike, with others between":       {"a:fail b:blame c:fail d:blame e:fail f:blame g:fail h:blame i:fail!", true},
		"busy is no failure":               {"a:busy b:busy c:busy d:busy e:busy f:busy", false},
		"busy is no success":               {"a:fail b:fail x:busy c:fail d:fail e:fail!", true},
		"everything is excused":            {"a:fail b:fail c:fail d:fail e:fail! f:busy! a:blame! g:late!", true},
		"a success ends it":                {"a:fail b:fail c:fail d:fail e:fail! x:ok y:fail", false},
		"an excused message fails again":   {"a:fail b:fail c:fail d:fail e:fail! x:ok e:fail e:fail", false},
		"guilty ones make no suspicion":    {"a:fail b:fail c:fail d:fail e:fail! f:fail! x:ok e:fail f:fail g:fail h:fail i:fail", false},
		"guilty ones are excused with all": {"a:fail b:fail c:fail d:fail e:fail! x:ok g:fail h:fail i:fail j:fail k:fail! e:fail!", true},
		"a guilty one succeeds":            {"a:fail b:fail c:fail d:fail e:fail! x:ok e:ok g:fail h:fail i:fail j:fail e:fail!", true},
		"time-outs alone":                  {"a:late b:late c:late d:late e:late f:late", false},
		"the health path fails":            {"a:late b:late c:late d:late e:late unwell f:late! g:fail!", true},
		"the health path is well again":    {"a:late b:late c:late d:late e:late unwell f:late! well f:late g:late", false},
		"a success while it is unwell":     {"unwell f:late! x:ok f:late", false},
		"the health path is well":          {"a:fail b:fail c:fail d:fail e:fail! well f:fail!", true},
		"an operator believes it":          {"a:blame b:blame c:blame d:blame e:blame! believe e:blame f:blame g:blame h:blame i:blame j:blame", false},
		"until the next success":           {"believe x:ok a:blame b:blame c:blame d:blame e:blame!", true},
		"for an hour":                      {"believe hour a:blame b:blame c:blame d:blame e:blame!", true},
		"before anything":                  {"believe a:blame b:blame c:blame d:blame e:blame f:blame", false},
	} {
		t.Run(name, tc.play)
	}
	t.Run("never", func(t *testing.T) {
		s := newSuspicion(0)
		s.examined(false)
		for i := range 20 {
			if s.learn(fmt.Sprint(i), []evidence{failing, blaming, timedOut}[i%3], time.Now()) || s.silent() {
				t.Fatalf("excused after %d messages", i)
			}
		}
	})
	t.Run("memory is bounded", func(t *testing.T) {
		s := newSuspicion(5)
		for round := range 3 {
			for i := range mostRemembered {
				s.learn(fmt.Sprint(round, "-", i), failing, time.Now())
			}
			s.learn("x", success, time.Now())
		}
		if len(s.guilty.has) > mostRemembered || len(s.guilty.order) > mostRemembered {
			t.Errorf("%d messages are remembered, in a list of %d", len(s.guilty.has), len(s.guilty.order))
		}
	})
}

func (tc suspicionScript) play(t *testing.T) {
	kinds := map[string]evidence{"ok": success, "fail": failing, "blame": blaming, "late": timedOut, "busy": nothing}
	s, now := newSuspicion(5), time.Now()
	for _, word := range strings.Fields(tc.script) {
		switch word {
		case "believe":
			s.believe(now)
			continue
		case "well", "unwell":
			s.examined(word == "well")
			continue
		case "hour":
			now = now.Add(longestBelief)
			continue
		}
		word, excused := strings.CutSuffix(word, "!")
		message, kind, _ := strings.Cut(word, ":")
		if got := s.learn(message, kinds[kind], now); got != excused {
			t.Errorf("%s: excused %t, want %t", word, got, excused)
		}
	}
	if s.suspect != tc.suspect {
		t.Errorf("suspect %t, want %t", s.suspect, tc.suspect)
	}
}

func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		err  StatusError
		want bool
	}{
		"429":                     {StatusError{Status: http.StatusTooManyRequests}, true},
		"429 with Retry-After":    {StatusError{Status: http.StatusTooManyRequests, retryAfter: time.Second}, true},
		"503":                     {StatusError{Status: http.StatusServiceUnavailable}, false},
		"503 with Retry-After":    {StatusError{Status: http.StatusServiceUnavailable, retryAfter: time.Second}, true},
		"500 with Retry-After":    {StatusError{Status: http.StatusInternalServerError, retryAfter: time.Second}, false},
		"429 as permanent status": {StatusError{Status: http.StatusTooManyRequests, permanent: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.err.refused(); got != tc.want {
				t.Errorf("refused %t", got)
			}
		})
	}
}
