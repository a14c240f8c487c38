package producercmd

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/names"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	t.Run("send reports the outcome of the message", testSendReportsTheOutcomeOfTheMessage)
	t.Run("lines are sent and refused one by one", testLinesAreSentAndRefusedOneByOne)
	t.Run("interrupted send says how to go on", testInterruptedSendSaysHowToGoOn)
	t.Run("send stops where a group is held up", testSendStopsWhereAGroupIsHeldUp)
	t.Run("stuck name is settled by an operator", testStuckNameIsSettledByAnOperator)
	t.Run("whole dead letter queue is redriven or purged", testWholeDeadLetterQueueIsRedrivenOrPurged)
	t.Run("unknown names are redriven only on a word", testUnknownNamesAreRedrivenOnlyOnAWord)
	t.Run("help is there for every command", testHelpIsThereForEveryCommand)
	t.Run("bash completes commands and flags", testBashCompletesCommandsAndFlags)
}

// Environment variables are shared by the process, so this test is not parallel.
func TestEnvironment(t *testing.T) {
	t.Run("variable named version is left alone", testVariableNamedVersionIsLeftAlone)
	t.Run("flags are set by the environment", testFlagsAreSetByTheEnvironment)
}

func testSendReportsTheOutcomeOfTheMessage(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	r.do("send", "--name", `a"b\c/ü`).want(0).says(`queued "a\"b\\c/ü" as message `)
	r.do("send", "--body", `{"name":"b","x":1}`, "--group", "g", "--delay", "1s").want(0).says(`queued "b"`)
	r.do("send", "--name", "c", "--body", `{"x":1}`, "--json").want(0).says(`"name": "c"`, `"status": "QUEUED"`)
	r.do("send", "--name", "c", "--body", `{"name":"d"}`).want(1).says("400", "Idempotency-Key")
	r.work(1)
	r.do("send", "--name", "d", "--wait", "20s").want(0).says("COMPLETED", `"done"`)
	r.do("send", "--name", "d", "--body", `{"name":"d","x":1}`, "--wait", "5s").want(1).says("422", "different body")
	if r.runs[`a"b\c/ü`] != 1 {
		t.Errorf("runs are %v", r.runs)
	}
}

// --retry-rejected tries a rejected name again, also with a corrected body, and no other name.
func TestSendRetriesRejected(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	var mended atomic.Bool
	r.fail = func(name string) error {
		if strings.HasPrefix(name, "bad") && !mended.Load() {
			return errBad
		}
		return nil
	}
	r.work(1)
	for _, name := range []string{"bad-1", "bad-2", "bad-3"} {
		r.do("send", "--name", name, "--wait", "20s").want(exitRejected)
	}
	r.do("send", "--name", "bad-1", "--retry-rejected", "--wait", "20s").want(exitRejected).says("REJECTED") // tried and rejected again
	r.do("send", "--name", "good", "--wait", "20s").want(0)
	mended.Store(true)
	r.do("send", "--name", "bad-1", "--wait", "20s").want(exitRejected).says("REJECTED") // the recorded outcome
	r.do("send", "--name", "bad-1", "--body", `{"name":"bad-1","mended":true}`, "--retry-rejected", "--wait", "20s").want(0).says("COMPLETED")
	r.do("send", "--name", "bad-1", "--body", `{"name":"bad-1","mended":true}`, "--retry-rejected", "--wait", "20s").want(0).says("COMPLETED")
	r.do("send", "--name", "good", "--body", `{"name":"good","x":1}`, "--retry-rejected", "--wait", "20s").want(1).says("422")
	stdin := `{"name":"bad-2","mended":true}` + "\n" + `{"name":"bad-3"}` + "\n" + `{"name":"good"}`
	producer(t, stdin, append([]string{"send", "--retry-rejected"}, r.backend...)...).want(0).says("3 messages accepted")
	for _, name := range []string{"bad-2", "bad-3"} {
		r.waitFor(func() bool { return strings.Contains(r.do("status", name).out, "COMPLETED") })
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, runs := range r.runs {
		if runs != 1 {
			t.Errorf("%s ran %d times", name, runs)
		}
	}
}

func lines(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		b.WriteString(`{"name":"line-` + strconv.Itoa(i) + "\"}\n")
	}
	return b.String()
}

func testLinesAreSentAndRefusedOneByOne(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	stdin := lines(1, 1200) + "\n{\"nome\":1}\n" + lines(1201, 1201) + "not JSON"
	got := producer(t, stdin, append([]string{"send"}, r.backend...)...).want(1)
	got.says("1201 messages accepted, 2 refused", "line 1202: name: is missing", "line 1204: body: not JSON", "2 of 1203 messages were refused")
	depth := decode[producerapi.Depth](r.get("/queue"))
	if depth.Visible != 1201 {
		t.Errorf("depth is %+v", depth)
	}
	sum := decode[summary](producer(t, lines(1, 3), append([]string{"send", "--json", "--skip", "1"}, r.backend...)...).want(0))
	if sum.Accepted != 2 || !sum.Done || sum.Next != 3 {
		t.Errorf("summary is %+v", sum)
	}
	producer(t, lines(1, 3), append([]string{"send", "--skip", "4"}, r.backend...)...).want(1).says("standard input has 3")
	producer(t, "", append([]string{"send"}, r.backend...)...).want(0).says("0 messages accepted")
}

func TestSendLines(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	send := func(stdin string, args ...string) result {
		return producer(t, stdin, append(append([]string{"send"}, args...), r.backend...)...)
	}
	long := `{"name":"long","x":"` + strings.Repeat("x", maxLine) + `"}` + "\n"
	send(lines(1, 2)+long+lines(3, 4)).want(1).says("4 messages accepted, 1 refused", "line 3: longer than")
	send(lines(1, 2)+long+lines(3, 4), "--skip", "3").want(0).says("2 messages accepted, 0 refused")
	send(strings.TrimSuffix(long, "\n")).want(1).says("0 messages accepted, 1 refused", "line 1: longer than")

	send(` [ {"name":"a",`+"\n"+`"x": 1}, {"name":"b"},`+"\n"+`{"nome":"c"} ]`+"\n").want(1).says("2 messages accepted, 1 refused", "line 3: name: is missing")
	send(`[{"name":"a"},{"name":"b"}]`, "--skip", "1").want(0).says("1 message accepted")
	send(`[]`).want(0).says("0 messages accepted")
	send(`[{"name":"a"},`).want(1).says("standard input: ", "continue with --skip 0")
	send(`[{"name":"a"},{]`).want(1).says("message 2 of the JSON array")
	for _, rest := range []string{`[{"name":"b"}]`, `{"name":"b"}`, "x"} {
		send(`[{"name":"a"}]`+"\n"+rest).want(1).says("text follows the JSON array of 1 messages", "continue with --skip 0")
	}
}

// A byte order mark before standard input is no part of the first line.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	run := func(stdin string, args ...string) result {
		return producer(t, "\ufeff"+stdin, append(args, r.backend...)...)
	}
	run(lines(1, 2), "send").want(0).says("2 messages accepted, 0 refused")
	run(`[{"name":"a"},{"name":"b"}]`, "send").want(0).says("2 messages accepted, 0 refused")
	run("old-1\nold-2\n", "import", "--completed").want(0).says("2 names recorded")
	r.do("status", "old-1").want(0).says("COMPLETED")
	run("old-1\nold-2\n", "forget", "-", "--no-wait").want(0).says("forget: 2 of 2 names")
	run("", "send").want(0).says("0 messages accepted")
}

func TestSizeOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(path, []byte(lines(1, 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := sizeOf(f); got != int64(len(lines(1, 3))) {
		t.Errorf("the size is %d", got)
	}
	if got := sizeOf(strings.NewReader("x")); got != -1 {
		t.Errorf("the size of a pipe is %d", got)
	}
	in := newLineReader(f)
	if _, err := in.chunk(); err != nil || in.bytes != int64(len(lines(1, 3))) {
		t.Errorf("%d bytes were read: %v", in.bytes, err)
	}
}

// get sends a GET to the rig's API.
func (r *rig) get(path string) result {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.backend[1]+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return result{r.t, 0, string(b), ""}
}

func testInterruptedSendSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	var calls atomic.Int64
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if calls.Add(1) == 2 {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, req, r.backend[1]+req.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer flaky.Close()
	args := []string{"send", "--url", flaky.URL, "--auth-token", token}
	producer(t, lines(1, 1100), args...).want(1).says("500 messages accepted", "continue with --skip 500")
	producer(t, lines(1, 1100), append(args, "--skip", "500")...).want(0).says("600 messages accepted")
	if depth := decode[producerapi.Depth](r.get("/queue")); depth.Visible != 1100 {
		t.Errorf("depth is %+v", depth)
	}
}

func testSendStopsWhereAGroupIsHeldUp(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"accepted":1,"items":[{"index":0,"status":202},{"index":1,"status":400,"problem":{"detail":"name: is missing"}},`+
			`{"index":2,"status":424,"problem":{"detail":"not sent: message 1 of its group must be accepted first, and was refused"}}]}`)
	}))
	defer server.Close()
	producer(t, lines(1, 3), "send", "--url", server.URL, "--group", "g").want(1).says(
		"1 message accepted, 1 refused", "line 2: name: is missing", "stopped before line 3; continue with --skip 2", "of its group must be accepted first")
}

func TestStatusShowsTheRecord(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	r.do("status", "a").want(1).says(`"a" has no record`)
	r.work(1)
	r.do("send", "--name", "a", "--wait", "20s").want(0)
	r.do("status", "a").want(0).says("COMPLETED", "attempts", `"done"`)
	if got := decode[producerapi.Record](r.do("status", "a", "--json").want(0)); got.Name != "a" || !got.Final {
		t.Errorf("record is %+v", got)
	}
	r.do("status", "a", "--watch").want(0).says("COMPLETED")
	if got := decode[producerapi.Record](r.do("status", "a", "--watch", "--json").want(0)); got.Status != protocol.Completed {
		t.Errorf("record is %+v", got)
	}
}

// A watch prints each state once: no record, a schedule, and the record.
func TestStatusWatch(t *testing.T) {
	t.Parallel()
	const none = `{"status":404,"detail":"no record","field":"name"}`
	answers := []string{none, none, `{"name":"a","status":"SCHEDULED"}`, `{"name":"a","status":"SCHEDULED"}`, none, `{"name":"a","status":"COMPLETED","version":1,"final":true}`}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := answers[0]
		answers = answers[1:]
		if text == none {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, text)
	}))
	defer server.Close()
	got := producer(t, "", "status", "a", "--watch", "--json", "--url", server.URL).want(0)
	if scheduled, completed := strings.Count(got.out, `"SCHEDULED"`), strings.Count(got.out, `"COMPLETED"`); scheduled != 1 || completed != 1 {
		t.Errorf("printed:\n%s", got.out)
	}
	if n := strings.Count(got.err, "has no record yet"); n != 2 {
		t.Errorf("printed:\n%s", got.err)
	}
}

// With --long-names hash every command takes a long name as the sender wrote it.
func TestLongNames(t *testing.T) {
	t.Parallel()
	r := localRigBy(t, names.Config{LongNames: names.HashLong})
	long := strings.Repeat("order-", 200)
	r.fail = func(string) error { return errBad }
	r.work(1)
	r.do("send", "--name", long, "--wait", "20s").want(exitRejected).says("REJECTED", "~sha256:")
	r.do("status", long).want(exitRejected).says("REJECTED", "~sha256:")
	r.do("status", long, "--watch").want(exitRejected)
	r.do("status", long+"-").want(1).says("has no record")
	r.waitForDeadLetters(1)
	r.do("dlq", "ls", "--name", long).want(0).says("1 copy of 1 message")
	r.do("dlq", "show", long).want(0).says("no such customer")
	r.do("resolve", long, "--retry").want(0).says("RETRYING")
	r.do("dlq", "redrive", "--name", long, "--preview").want(0).says("1 message would be moved")
	r.do("forget", long, "--no-wait").want(0)
}

func testStuckNameIsSettledByAnOperator(t *testing.T) {
	t.Parallel()
	testSettledByAnOperator(t, localRig(t))
}

func testSettledByAnOperator(t *testing.T, r *rig) {
	var mended atomic.Bool
	r.fail = func(name string) error {
		if name == "bad" && !mended.Load() {
			return errBad
		}
		return nil
	}
	r.work(2)
	r.do("send", "--name", "bad", "--wait", "20s").want(exitRejected).says("REJECTED", "no such customer")
	r.waitFor(func() bool { return strings.Contains(r.do("dlq", "ls").out, "bad") })
	r.do("dlq", "ls").want(0).says("REASON", "rejected", "REJECTED", "1 copy of 1 message")
	r.do("dlq", "show", "bad").want(0).says(`{"name":"bad"}`, "no such customer")
	r.do("dlq", "show", "other").want(1).says("not in the dead-letter queue")
	r.do("resolve", "bad", "--completed").want(1).says("409", "UNKNOWN")
	r.do("resolve", "bad", "--retry").want(0).says("RETRYING", "producer dlq redrive --name bad")
	mended.Store(true)
	r.do("dlq", "redrive", "--name", "bad").want(0).says("1 message moved, of 1 examined")
	r.waitFor(func() bool { return strings.Contains(r.do("status", "bad").out, "COMPLETED") })
	r.do("dlq", "ls").want(0).says("is empty")
	r.do("resolve", "bad", "--retry").want(1).says("409")
	if r.backend[0] == "--url" {
		r.do("forget", "bad").want(0).says("forgotten; waiting", "count as never seen")
	} else {
		r.do("forget", "bad", "--no-wait").want(0).says("count as never seen")
	}
	r.do("status", "bad").want(1)
}

// patience bounds every wait for a condition. It asserts no timing.
const patience = 2 * time.Minute

// waitFor waits for a condition.
func (r *rig) waitFor(fact func() bool) {
	r.t.Helper()
	deadline, tick := time.NewTimer(patience), time.NewTicker(20*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !fact() {
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatal("it never came true")
		}
	}
}

// waitForDeadLetters waits until n messages have been dead-lettered. Each may have several copies.
func (r *rig) waitForDeadLetters(n int) {
	r.t.Helper()
	var last result
	defer func() {
		if r.t.Failed() {
			r.t.Logf("the dead-letter queue last: %s%s", last.out, last.err)
		}
	}()
	r.waitFor(func() bool {
		last = r.do("dlq", "ls", "--json").want(0)
		return decode[producerapi.DeadLetters](last).Originals == n
	})
}

func testWholeDeadLetterQueueIsRedrivenOrPurged(t *testing.T) {
	t.Parallel()
	testRedrivenOrPurged(t, localRig(t))
}

func testRedrivenOrPurged(t *testing.T, r *rig) {
	var mended atomic.Bool
	r.fail = func(string) error {
		if !mended.Load() {
			return errBad
		}
		return nil
	}
	r.work(1)
	r.do("replay", "--name", "bad", "--count", "12", "--distinct", "12").want(exitRejected)
	r.waitForDeadLetters(12)
	mended.Store(true)
	r.do("dlq", "redrive").want(0).says("messages moved, of ")
	for i := range 12 {
		r.waitFor(func() bool { return strings.Contains(r.do("status", "bad-"+strconv.Itoa(i)).out, "COMPLETED") })
	}

	mended.Store(false)
	r.do("replay", "--name", "worse", "--count", "3", "--distinct", "3").want(exitRejected)
	r.waitForDeadLetters(3)
	producer(t, "no\n", append([]string{"dlq", "purge"}, r.backend...)...).want(1).says("Delete about", "nothing was deleted")
	producer(t, "", append([]string{"dlq", "purge"}, r.backend...)...).want(1)
	producer(t, "yes\n", append([]string{"dlq", "purge"}, r.backend...)...).want(0).says("messages deleted")
	r.do("dlq", "ls").want(0).says("is empty")
}

func testUnknownNamesAreRedrivenOnlyOnAWord(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	r.hold = true
	var mended atomic.Bool
	r.fail = func(string) error {
		if !mended.Load() {
			return unknownOutcome{errors.New("the connection broke")}
		}
		return nil
	}
	r.work(1)
	r.do("send", "--name", "u", "--wait", "20s").want(exitRejected).says("UNKNOWN")
	r.waitForDeadLetters(1)
	r.do("dlq", "redrive", "--preview").want(1).says("0 messages would be moved", "the outcome of its work is unknown")
	r.do("dlq", "redrive").want(1).says("kept", "the outcome of its work is unknown", "--reopen-unknown", "1 message not moved")
	mended.Store(true)
	r.do("dlq", "redrive", "--reopen-unknown").want(0)
	r.waitFor(func() bool { return strings.Contains(r.do("status", "u").out, "COMPLETED") })
}

// unknownOutcome is the error of an attempt whose work may or may not have been done.
type unknownOutcome struct{ error }

func (unknownOutcome) Unknown() bool        { return true }
func (unknownOutcome) OutcomeUnknown() bool { return true }

func TestBadUsageIsExplained(t *testing.T) {
	for _, tc := range []struct {
		args string
		want []string
	}{
		{"serve", []string{"--queue-url and --table", "worker --local"}},
		{"serve --queue-url http://x/1/q", []string{"--table"}},
		{"serve --table t", []string{"--queue-url"}},
		{"serve --queue-url http://x/1/q --table t --addr 0.0.0.0:80", []string{"--auth-token", "--insecure"}},
		{"serve --queue-url http://x/1/q --table t --addr :80", []string{"--auth-token"}},
		{"serve --queue-url http://x/a.b --table t --scope a#b --key [ --client-rate=-1", []string{"--queue-url", "--scope", "--key", "--client-rate", "4 problems"}},
		{"send --skip 3 --name a", []string{"--skip 3"}},
		{"send --wait 3s", []string{"--wait 3s"}},
		{"replay --name x --count 0 --concurrency 0 --rate=-1 --settle 0s --timeout 0s", []string{"--count 0", "--concurrency 0", "--rate -1", "--settle 0s", "--timeout 0s"}},
		{"replay --name x --distinct 200", []string{"--distinct 200", "--count 100"}},
		{"replay --name x --permute-keys --different-body", []string{"--permute-keys", "--different-body"}},
		{"replay", []string{"--name"}},
		{"status", []string{"<name>"}},
		{"status a --url ftp://x", []string{"--url"}},
		{"status a --queue-url http://x/1/q", []string{"--table"}},
		{"ls --status done --older=-1h --limit=-1", []string{"--status \"done\"", "--older -1h", "--limit -1"}},
		{"ls --status ,", []string{"--status"}},
		{"resolve a", []string{"--completed", "--retry"}},
		{"resolve a --retry --result 1", []string{"--result"}},
		{"resolve a --completed --result {", []string{"--result"}},
		{"dlq ls --limit=-1", []string{"--limit -1"}},
		{"dlq redrive --rate=-1", []string{"--rate -1"}},
		{"completion tcsh", []string{"tcsh"}},
		{"nonsense", []string{"nonsense"}},
	} {
		t.Run(tc.args, func(t *testing.T) {
			producer(t, "", strings.Fields(tc.args)...).want(2).says(tc.want...)
		})
	}
	producer(t, "", "send", "--name", "a\x01").want(2).says("control character")
}

func testVariableNamedVersionIsLeftAlone(t *testing.T) {
	t.Setenv("SQSONCE_VERSION", "true")
	r := localRig(t)
	r.do("send", "--name", "a").want(0).says(`queued "a"`)
}

func testHelpIsThereForEveryCommand(t *testing.T) {
	producer(t, "").want(0).says("Usage: producer", "Exit codes")
	for _, args := range []string{"--help", "serve", "send", "replay", "status", "console", "import", "ls", "resolve", "forget", "dlq", "dlq ls", "dlq show", "dlq redrive", "dlq purge", "completion"} {
		producer(t, "", append(strings.Fields(args), "--help")...).want(0).says("Usage: producer")
	}
	if got := producer(t, "", "--version").want(0); strings.TrimSpace(got.out) == "" {
		t.Error("no version")
	}
}

func testFlagsAreSetByTheEnvironment(t *testing.T) {
	r := localRig(t)
	t.Setenv("SQSONCE_URL", r.backend[1])
	t.Setenv("SQSONCE_AUTH_TOKEN", token+",another")
	t.Setenv("SQSONCE_QUEUE_URL", "http://127.0.0.1:1/1/elsewhere")
	producer(t, "", "send", "--name", "a").want(0).says(`queued "a"`)
}

func TestNotListeningIsExplained(t *testing.T) {
	producer(t, "", "status", "a", "--url", "http://127.0.0.1:1").want(1).says("worker --local", "--url")
}

func testBashCompletesCommandsAndFlags(t *testing.T) {
	t.Parallel()
	script := producer(t, "", "completion", "bash").want(0).out
	complete := func(words ...string) string {
		test := script + "\nCOMP_WORDS=(" + strings.Join(words, " ") + ")\nCOMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))\n_producer\necho \"${COMPREPLY[@]}\"\n"
		out, err := exec.Command("bash", "-c", test).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for want, words := range map[string][]string{
		"serve send status":      {"producer", "s"},
		"dlq":                    {"producer", "d"},
		"redrive":                {"producer", "dlq", "r"},
		"--reopen-unknown":       {"producer", "dlq", "redrive", "--reo"},
		"--different-body":       {"producer", "replay", "--name", "x", "--dif"},
		"bash zsh fish":          {"producer", "completion", "''"},
		"--count --concurrency":  {"producer", "replay", "--co"},
		"--auth-token":           {"producer", "status", "--au"},
		"--permute-keys":         {"producer", "replay", "--p"},
		"--stop-timeout --scope": {"producer", "serve", "--s"},
	} {
		got := complete(words...)
		for _, w := range strings.Fields(want) {
			if !strings.Contains(" "+got+" ", " "+w+" ") {
				t.Errorf("%q completes to %q, want %q", words, got, want)
			}
		}
	}
	producer(t, "", "completion", "fish").want(0).says("complete -c producer")
	producer(t, "", "completion", "zsh").want(0).says("#compdef producer")
}

func TestDLQ(t *testing.T) {
	t.Parallel()
	t.Run("thousands of letters", testDLQThousands)
	t.Run("missing parts", testDLQMissing)
}

// Letters beyond the first thousand are listed, shown and redriven.
func testDLQThousands(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	const count = 2_300
	r.deadLetters(count)
	last := "dl-" + strconv.Itoa(count-1)
	all := decode[producerapi.DeadLetters](r.do("dlq", "ls", "--limit", "0", "--json").want(0))
	seen := make(map[string]bool)
	for _, m := range all.Messages {
		seen[m.Name] = true
	}
	if len(all.Messages) != count || len(seen) != count || !seen[last] {
		t.Errorf("%d messages of %d names are listed", len(all.Messages), len(seen))
	}
	r.do("dlq", "ls", "--limit", "2").want(0).says("2300 copies of 2300 messages, of which 2298 copies not listed", "rejected: 1150 copies")
	r.do("dlq", "ls", "--name", last).want(0).says("1 copy of 1 message")
	r.do("dlq", "show", last).want(0).says(`{"name":"` + last + `"}`)
	r.do("dlq", "redrive", "--name", last, "--preview").want(0).says("1 message would be moved, of 2300 examined")
	r.do("dlq", "redrive", "--name", last).want(0).says("1 message moved, of 2300 examined")
	r.do("dlq", "redrive", "--reason", "rejected").want(0).says("1150 messages moved")
	r.do("dlq", "ls", "--limit", "1").want(0).says("1149 copies of 1149 messages")
}

// deadLetters sends letters to the dead-letter queue, dl-0 first.
func (r *rig) deadLetters(count int) {
	r.t.Helper()
	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	for from := 0; from < count; from += 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: &r.dlqURL}
		for i := from; i < min(from+10, count); i++ {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(`{"name":"dl-` + strconv.Itoa(i) + `"}`),
				MessageAttributes: map[string]types.MessageAttributeValue{consumer.AttrReason: text([]string{"rejected", "mismatch"}[i%2])},
			})
		}
		if out, err := r.queue.SendMessageBatch(r.t.Context(), in); err != nil || len(out.Failed) > 0 {
			r.t.Fatalf("%v, failed: %v", err, out)
		}
	}
}

func testDLQMissing(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	r.do("dlq", "ls").want(0).says("is empty")
	r.do("dlq", "redrive").want(0).says("0 messages moved, of 0 examined")
	r.deadLetters(3)
	r.do("dlq", "ls", "--name", "nothere").want(1).says(`no message of name "nothere" is in the dead-letter queue`)
	r.do("dlq", "redrive", "--name", "nothere").want(1).says(`no message of name "nothere"`)
	r.do("dlq", "redrive", "--reason", "nothere", "--json").want(1).says(`with reason "nothere"`, `"items": []`)
	r.do("dlq", "redrive", "--name", "nothere", "--preview").want(1)
}
