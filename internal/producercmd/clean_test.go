package producercmd

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/internal/visible"
)

func FuzzCleanWriter(f *testing.F) {
	f.Add("a\x1b\u009b\u202e\xff\n", 2)
	f.Add("ü€\U0001F600", 3)
	f.Fuzz(func(t *testing.T, s string, at int) {
		at = min(max(at, 0), len(s))
		var out bytes.Buffer
		w := &cleanWriter{w: &out}
		for _, part := range []string{s[:at], s[at:], "\n"} {
			if n, err := io.WriteString(w, part); n != len(part) || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, len(part), err)
			}
		}
		got := out.String()
		if got != visible.Text(s+"\n", "\n\t") {
			t.Errorf("%q in two parts became %q", s, got)
		}
		for _, r := range got {
			if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
				t.Errorf("%q holds %U", got, r)
			}
		}
	})
}

func TestShorten(t *testing.T) {
	a, b := shorten("report-of-the-year-2026-part-0001", 20), shorten("report-of-the-year-2026-part-0002", 20)
	if a == b || utf8.RuneCountInString(a) != 20 || !strings.HasSuffix(a, "t-0001") {
		t.Errorf("shortened to %q and %q", a, b)
	}
	if got := shorten(" a \n b\x1b ", 20); got != `a b\u001b` {
		t.Errorf("shortened to %q", got)
	}
}

// evil is text that would control a terminal, break a table, or reverse the direction of text.
const evil = "x\x1b]0;owned\a\u009b31m\u202e\tb\nc"

// No command prints control characters of foreign text.
func TestOutputIsClean(t *testing.T) {
	t.Parallel()
	record := producerapi.Record{
		Name: "a", Status: protocol.Completed, Final: true, Error: evil, ResultType: evil, MessageID: evil,
		Result: json.RawMessage(`"\u009b31m` + "\u009b31m\u202e" + `"`),
	}
	letter := producerapi.DeadLetter{MessageID: evil, OriginalID: evil, Name: "a", Reason: evil, Error: evil, Body: evil, Record: &record}
	letters := producerapi.DeadLetters{
		Looked: 1, Found: 1, Originals: 1, Complete: true, Groups: []producerapi.DeadGroup{{Reason: evil, Count: 1}}, Messages: []producerapi.DeadLetter{letter},
	}
	redriven := producerapi.Redrive{Looked: 1, Items: []producerapi.RedriveItem{{Name: evil, MessageID: evil, Outcome: evil, Why: evil}}, Error: evil}
	var fail bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case fail:
			http.Error(w, "\x1b[31mgateway\u009b\u202e", http.StatusBadGateway)
		case strings.HasPrefix(r.URL.Path, "/dlq/redrive"):
			_ = json.NewEncoder(w).Encode(redriven)
		case strings.HasPrefix(r.URL.Path, "/dlq"):
			_ = json.NewEncoder(w).Encode(letters)
		default:
			_ = json.NewEncoder(w).Encode(record)
		}
	}))
	defer server.Close()
	for range 2 {
		for _, args := range []string{
			"status a", "status a --json", "status a --watch", "send --name a --wait 1s", "send --name a --json", "dlq ls", "dlq ls --json",
			"dlq show a", "dlq show a --json", "dlq redrive", "dlq redrive --json", "resolve a --retry",
		} {
			got := producer(t, "", append(strings.Fields(args), "--url", server.URL)...)
			for _, r := range got.out + got.err {
				if r != '\n' && !unicode.IsPrint(r) {
					t.Errorf("%s printed %U:\n%q", args, r, got.out+got.err)
					break
				}
			}
			if strings.HasSuffix(args, "--json") && !fail && !json.Valid([]byte(got.out)) {
				t.Errorf("%s printed no JSON: %s", args, got.out)
			}
		}
		fail = true
	}
}

func TestCleanCases(t *testing.T) {
	t.Run("table of dead letters fits", testTableOfDeadLettersFits)
}

func testTableOfDeadLettersFits(t *testing.T) {
	t.Parallel()
	letters := producerapi.DeadLetters{Looked: 2, Found: 2, Groups: []producerapi.DeadGroup{{Reason: strings.Repeat("r", 1024), Count: 2}}}
	for _, long := range []string{strings.Repeat("n", protocol.MaxNameBytes), "order-17"} {
		letters.Messages = append(letters.Messages, producerapi.DeadLetter{
			MessageID: strings.Repeat("0", 36), OriginalID: long, Name: long, Reason: strings.Repeat("r", 200), Error: strings.Repeat("e ", 500),
			Record: &producerapi.Record{Status: protocol.InProgress, Attempts: 12345},
		})
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(letters) }))
	defer server.Close()
	out := producer(t, "", "dlq", "ls", "--url", server.URL).want(0).out
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(out, "order-17") {
		t.Errorf("the list is\n%s", out)
	}
}
