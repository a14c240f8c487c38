package producercmd

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/names"
)

func TestReplay(t *testing.T) {
	t.Parallel()
	t.Run("replay shows that each name is handled once", testReplayShowsThatEachNameIsHandledOnce)
	t.Run("repeated replay suppresses every message", testRepeatedReplaySuppressesEveryMessage)
	t.Run("replay fails when a message is not accepted", testReplayFailsWhenAMessageIsNotAccepted)
	t.Run("replay of a name that is not settled fails", testReplayOfANameThatIsNotSettledFails)
	t.Run("replay of a rejected name counts it as not handled", testReplayOfARejectedNameCountsItAsNotHandled)
	t.Run("replay notices an attempt after completion", testReplayNoticesAnAttemptAfterCompletion)
	t.Run("replay without any accepted message says why", testReplayWithoutAnyAcceptedMessageSaysWhy)
	t.Run("permuted bodies are duplicates and different ones are not", testPermutedBodiesAreDuplicatesAndDifferentOnesAreNot)
	t.Run("name that was handled again is not suppressed", testNameThatWasHandledAgainIsNotSuppressed)
}

func testReplayShowsThatEachNameIsHandledOnce(t *testing.T) {
	t.Parallel()
	testHandledOnce(t, localRig(t))
}

func testHandledOnce(t *testing.T, r *rig) {
	r.work(2)
	for mode, flags := range map[string][]string{
		"same":      nil,
		"permuted":  {"--permute-keys"},
		"at a rate": {"--rate", "400"},
		"spread":    {"--spread", "200ms"},
		"different": {"--different-body"},
	} {
		args := append([]string{"replay", "--json", "--name", mode, "--count", "60", "--distinct", "6", "--concurrency", "20"}, flags...)
		got := decode[report](r.do(args...).want(0))
		suppressed, mismatched := 54, 0
		if mode == "different" {
			suppressed, mismatched = 0, 54
		}
		if got.Accepted != 60 || got.Names != 6 || got.Handled != 6 || len(got.Repeated) != 0 || len(got.Unsettled) != 0 ||
			got.Suppressed == nil || *got.Suppressed != suppressed || mismatched > 0 && (got.Mismatched == nil || *got.Mismatched != mismatched) {
			t.Errorf("%s: report is %+v", mode, got)
		}
	}
	r.mu.Lock()
	if len(r.runs) != 30 {
		t.Errorf("%d names were handled", len(r.runs))
	}
	for name, n := range r.runs {
		if n != 1 {
			t.Errorf("%q was handled %d times", name, n)
		}
	}
	r.mu.Unlock()
	found := decode[producerapi.DeadLetters](r.do("dlq", "ls", "--json").want(0))
	if len(found.Messages) != 54 {
		t.Errorf("%d messages in the dead-letter queue", len(found.Messages))
	}
	for _, m := range found.Messages {
		if m.Reason != "mismatch" || !strings.HasPrefix(m.Name, "different-") {
			t.Errorf("dead letter is %+v", m)
		}
	}
}

func TestReplayPrintsATable(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	r.work(1)
	r.do("replay", "--name", "x", "--count", "100", "--concurrency", "20").want(0).says(
		"accepted    100", "handled     1 ", "repeated    0 ", "suppressed  99", "in flight   0")
}

func testRepeatedReplaySuppressesEveryMessage(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	r.work(1)
	replay := func(distinct string) report {
		return decode[report](r.do("replay", "--json", "--name", "x", "--count", "20", "--distinct", distinct).want(0))
	}
	for _, step := range []struct {
		distinct         string
		suppressed, done int
	}{{"2", 18, 2}, {"2", 20, 2}, {"3", 19, 3}} { // x-2 is the only new name of the third
		if got := replay(step.distinct); *got.Suppressed != step.suppressed || got.Handled != step.done {
			t.Errorf("--distinct %s: %d suppressed, want %d, in %+v", step.distinct, *got.Suppressed, step.suppressed, got)
		}
	}
}

func testReplayFailsWhenAMessageIsNotAccepted(t *testing.T) {
	for text, r := range map[string]report{
		"99 of 100 messages were not accepted":                                {Accepted: 1, Failures: map[string]int{"429": 90, "503": 9}},
		"1 of 1 messages were not accepted, and 1 names have no final status": {Failures: map[string]int{"503": 1}, Unsettled: []string{"a"}},
		"1 names were attempted again after they were completed":              {Failures: map[string]int{"503": 1}, Again: map[string]string{"a": "?"}},
	} {
		want := 1
		switch {
		case len(r.Again) > 0:
			want = exitRepeated
		case len(r.Failures) == 0:
			want = exitNotFinal
		}
		if err := r.verdict(); exitCode(err) != want || err.Error() != text {
			t.Errorf("verdict is %v with code %d, want %q with code %d", err, exitCode(err), text, want)
		}
	}
}

func testReplayOfANameThatIsNotSettledFails(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	got := r.do("replay", "--name", "x", "--count", "3", "--settle", "50ms").want(exitNotFinal)
	got.says("1 names have no final status", `not settled: "x"`, "suppressed  ?", "waiting     3")
}

func testReplayOfARejectedNameCountsItAsNotHandled(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	r.fail = func(string) error { return errBad }
	r.work(1)
	got := decode[report](r.do("replay", "--json", "--name", "x", "--count", "5").want(exitRejected))
	if got.Handled != 0 || got.Rejected != 1 {
		t.Errorf("report is %+v", got)
	}
}

// changing is an API on which a name is completed and then attempted again.
func changing(t *testing.T, later producerapi.Record) string {
	t.Helper()
	var reads atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch {
		case r.URL.Path == "/queue":
			answer = producerapi.Depth{}
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusAccepted)
			answer = map[string]string{}
		case reads.Add(1) == 1:
			answer = producerapi.Record{Name: "x", Status: protocol.Completed, Final: true, Attempts: 1, Version: 5, Fence: 5}
		default:
			answer = later
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func testReplayNoticesAnAttemptAfterCompletion(t *testing.T) {
	t.Parallel()
	for what, later := range map[string]producerapi.Record{
		"completed twice": {Name: "x", Status: protocol.Completed, Final: true, Attempts: 2, Version: 9, Fence: 8},
		"under way again": {Name: "x", Status: protocol.InProgress, Attempts: 2, Version: 9, Fence: 9},
		"reopened":        {Name: "x", Status: protocol.Retrying, Version: 9, Fence: 5},
	} {
		t.Run(what, func(t *testing.T) {
			url := changing(t, later)
			got := producer(t, "", "replay", "--url", url, "--name", "x", "--count", "2", "--settle", "1ms").want(exitRepeated)
			got.says("attempted again after they were completed", `attempted again: "x"`)
		})
	}
	same := producerapi.Record{Name: "x", Status: protocol.Completed, Final: true, Attempts: 1, Version: 6, Fence: 5}
	producer(t, "", "replay", "--url", changing(t, same), "--name", "x", "--count", "2").want(0)
}

func testReplayWithoutAnyAcceptedMessageSaysWhy(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Retry-After", "2")
			answerProblem(w, http.StatusServiceUnavailable, "", "SQS is gone")
			return
		}
		answerProblem(w, http.StatusNotFound, "name", "nothing is known of it")
	}))
	defer server.Close()
	producer(t, "", "replay", "--url", server.URL, "--name", "x").want(1).says("no message was accepted", "SQS is gone")
}

func testPermutedBodiesAreDuplicatesAndDifferentOnesAreNot(t *testing.T) {
	k := keys(t)
	prints := func(s replayCmd) (texts, fingerprints int) {
		seen, fps := make(map[string]bool), make(map[names.Fingerprint]bool)
		for i := range 200 {
			body := string(s.bodyOf(i))
			named, err := k.Extract(names.Message{Body: body})
			if err != nil || named.Name != "x" {
				t.Fatalf("body %s: %q, %v", body, named.Name, err)
			}
			seen[body], fps[named.Fingerprint] = true, true
		}
		return len(seen), len(fps)
	}
	if texts, fps := prints(replayCmd{Name: "x", Distinct: 1, PermuteKeys: true}); texts < 20 || fps != 1 {
		t.Errorf("%d texts with %d fingerprints", texts, fps)
	}
	if texts, fps := prints(replayCmd{Name: "x", Distinct: 1, DifferentBody: true}); texts != 200 || fps != 200 {
		t.Errorf("%d texts with %d fingerprints", texts, fps)
	}
	if texts, fps := prints(replayCmd{Name: "x", Distinct: 1}); texts != 1 || fps != 1 {
		t.Errorf("%d texts with %d fingerprints", texts, fps)
	}
}

func testNameThatWasHandledAgainIsNotSuppressed(t *testing.T) {
	l := newLedger([]string{"a", "b"})
	for fence := range int64(2) { // the second one after a message was sent
		l.note("a", producerapi.Record{Name: "a", Status: protocol.Completed, Final: true, Attempts: 1, Fence: 1})
		l.note("b", producerapi.Record{Name: "b", Status: protocol.Completed, Final: true, Attempts: 1, Fence: fence + 1})
		l.before = []string{"a", "b"}
	}
	if got := l.report(10, nil, true, producerapi.Depth{}, nil); *got.Suppressed != 9 {
		t.Errorf("%d suppressed", *got.Suppressed)
	}
}

func TestReportListsRepeatedNames(t *testing.T) {
	l := newLedger([]string{"a", "b"})
	l.note("a", producerapi.Record{Name: "a", Status: protocol.Completed, Final: true, Attempts: 3, Fence: 1, Error: "timed out"})
	l.note("b", producerapi.Record{Name: "b", Status: protocol.Completed, Final: true, Attempts: 1, Fence: 1})
	got := l.report(10, nil, true, producerapi.Depth{}, nil)
	if len(got.Repeated) != 1 || got.Repeated[0] != (attempted{"a", 3, "COMPLETED", "timed out"}) || *got.Suppressed != 8 || got.verdict() != nil {
		t.Errorf("report is %+v", got)
	}
	var text strings.Builder
	got.print(&text)
	if !strings.Contains(text.String(), `repeated: "a", 3 attempts, COMPLETED: timed out`) {
		t.Errorf("printed %s", text.String())
	}
	if got.Handled != 2 || strconv.Itoa(*got.Suppressed) != "8" {
		t.Errorf("report is %+v", got)
	}
}
