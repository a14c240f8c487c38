package producerapi

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestNames(t *testing.T) {
	t.Run("list", testNamesList)
	t.Run("no list", testNamesNoList)
	t.Run("verbs on many", testNamesVerbs)
	t.Run("operators name", testNamesBy)
	t.Run("bad order", testNamesBadOrder)
}

// stuck creates names of each listed status.
func (b *bench) stuck(each int) {
	b.t.Helper()
	for i := range each {
		for status, kind := range map[string]protocol.FailKind{"unknown": protocol.FailUnknown, "rejected": protocol.FailPermanent, "retrying": protocol.FailRetryable} {
			name := fmt.Sprintf("%s-%d", status, i)
			b.record(name, b.claim(name, body(name)), fail(kind, "card declined"))
		}
	}
}

func (b *bench) names(query string) NameList {
	b.t.Helper()
	return decode[NameList](b.do(http.MethodGet, "/names?"+query, "", bearer...).want(http.StatusOK))
}

func testNamesList(t *testing.T) {
	b := operatorBench(t, "orders")
	b.stuck(30)
	var all []string
	next := ""
	for first := true; first || next != ""; first = false {
		page := b.names("limit=25&after=" + url.QueryEscape(next))
		for _, n := range page.Names {
			all = append(all, n.Name)
			if n.Attempts != 1 || n.Error != "card declined" || n.Since.IsZero() {
				t.Fatalf("entry is %+v", n)
			}
		}
		next = page.Next
	}
	if len(slices.Compact(slices.Sorted(slices.Values(all)))) != 90 || len(all) != 90 || !strings.HasPrefix(all[0], "unknown-") {
		t.Errorf("%d names are listed: %q", len(all), all)
	}
	if got := b.names("status=rejected&prefix=rejected-2"); len(got.Names) != 11 {
		t.Errorf("the list is %+v", got)
	}
	if got := b.names("older=1h"); len(got.Names) != 0 {
		t.Errorf("the list is %+v", got)
	}
	for query, field := range map[string]string{"status=done": "status", "older=x": "older", "older=-1s": "older", "after=x": "after", "limit=0": "limit"} {
		b.do(http.MethodGet, "/names?"+query, "", bearer...).wantField(http.StatusBadRequest, field)
	}
}

func testNamesNoList(t *testing.T) {
	b := operatorBench(t, "orders")
	b.api.cfg.Records = struct{ dedupe.Reader }{b.store}
	if r := b.do(http.MethodGet, "/names", "", bearer...).want(http.StatusNotImplemented); !strings.Contains(r.Body.String(), "no list of names is kept") {
		t.Errorf("answered %s", r.Body)
	}
}

func testNamesVerbs(t *testing.T) {
	b := operatorBench(t, "orders")
	b.stuck(3)
	order := func(text string) NameReport {
		return decode[NameReport](b.do(http.MethodPost, "/names", text, bearer...).want(http.StatusOK))
	}
	preview := order(`{"verb":"completed","names":["unknown-0","rejected-0","never"],"preview":true}`)
	if preview.Done != 1 || !preview.Preview || preview.Names[0].Status != protocol.Unknown || b.record("unknown-0").Status != protocol.Unknown {
		t.Errorf("preview is %+v", preview)
	}
	got := order(`{"verb":"completed","names":["unknown-0","rejected-0","never"],"result":{"x":1}}`)
	if got.Done != 1 || !got.Names[0].Done || got.Names[0].Status != protocol.Completed || got.Names[1].Why == "" || got.Names[1].Status != protocol.Rejected ||
		!strings.Contains(got.Names[2].Why, "nothing is known") || string(b.record("unknown-0").Result) != `{"x":1}` {
		t.Errorf("report is %+v", got)
	}
	if got := order(`{"verb":"retry","names":["unknown-1","rejected-1","retrying-1"]}`); got.Done != 3 || b.record("rejected-1").Status != protocol.Retrying {
		t.Errorf("report is %+v", got)
	}
	if got := order(`{"verb":"forget","names":["rejected-2"]}`); got.Done != 1 || got.Names[0].Status != protocol.Forgotten || got.Names[0].EffectiveAt.IsZero() {
		t.Errorf("report is %+v", got)
	}
}

// The record and the log show every verb with its operator.
func testNamesBy(t *testing.T) {
	var log bytes.Buffer
	b := newBench(t, "orders", func(c *Config) { c.AuthTokens, c.Logger = []string{token}, slog.New(slog.NewTextHandler(&log, nil)) })
	b.stuck(3)
	headers := append(slices.Clone(bearer), "X-Sqsonce-By", "alice")
	b.deadLetter("unknown-2", "m-1", "unknown outcome")
	b.do(http.MethodPost, "/names", `{"verb":"retry","names":["unknown-0"]}`, headers...).want(http.StatusOK)
	b.do(http.MethodPost, "/messages/unknown-1/resolve", `{"outcome":"completed"}`, headers...).want(http.StatusOK)
	b.do(http.MethodPost, "/dlq/redrive", `{"reopen_unknown":true}`, headers...).want(http.StatusOK)
	b.do(http.MethodDelete, "/messages/rejected-0", "", headers...).want(http.StatusAccepted)
	for name, verb := range map[string]string{"unknown-0": "reopen", "unknown-1": "resolve", "unknown-2": "reopen", "rejected-0": "forget"} {
		r := b.record(name)
		if said, by, _ := r.LastVerb(); said != verb || !strings.HasPrefix(by, "alice from 192.0.2.1:") {
			t.Errorf("the last verb on %s is %q by %q", name, said, by)
		}
	}
	if got := decode[Record](b.do(http.MethodGet, "/messages/unknown-1", "", bearer...).want(http.StatusOK)).LastVerb; got == nil || got.Verb != "resolve" || got.At.IsZero() {
		t.Errorf("last verb is %+v", got)
	}
	for _, want := range []string{"verb=retry name=unknown-0", "verb=completed name=unknown-1", "verb=forget name=rejected-0", `msg="operator's redrive"`, `by="alice from`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

func testNamesBadOrder(t *testing.T) {
	b := operatorBench(t, "orders")
	for text, field := range map[string]string{
		`{"verb":"delete","names":["a"]}`:                                                 "verb",
		`{"verb":"retry","names":[]}`:                                                     "names",
		`{"verb":"retry","names":["a",""]}`:                                               "names",
		`{"verb":"retry","names":["a"],"result":1}`:                                       "result",
		`{"verb":"completed","names":["a"],"result":"` + strings.Repeat("x", 5000) + `"}`: "result",
	} {
		b.do(http.MethodPost, "/names", text, bearer...).wantField(http.StatusBadRequest, field)
	}
}
