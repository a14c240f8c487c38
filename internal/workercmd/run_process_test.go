package workercmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/testutil/transcript"
)

// asWorker makes the test binary run the worker.
const asWorker = "SQSONCE_TEST_AS_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(asApp) != "" {
		os.Exit(serveApp())
	}
	if os.Getenv(asWorker) != "" {
		signals := make(chan os.Signal, 2)
		signal.Notify(signals, syscall.SIGTERM)
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr, signals))
	}
	os.Exit(m.Run())
}

// process is a worker in its own process.
type process struct {
	cmd    *exec.Cmd
	output transcript.Buffer
	ended  chan struct{}
}

func startProcess(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{ended: make(chan struct{})}
	args = append([]string{"--admin-addr", "127.0.0.1:0", "--log-format", "json", "--debug"}, args...)
	p.cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), append(env, asWorker+"=1")...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // usually an error, because it was killed
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("worker %d:\n%s", p.cmd.Process.Pid, p.output.String())
		}
	})
	return p
}

// kill kills the process and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // the process may have ended
	<-p.ended
}

func (p *process) printed(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	wait(t, "output that matches "+pattern, func() bool {
		found = re.FindStringSubmatch(p.output.String())
		return found != nil
	})
	return found[1]
}

// ledgerTarget records each POST by name. It never answers names that begin with "long".
type ledgerTarget struct {
	*httptest.Server
	mu    sync.Mutex
	posts map[string][]http.Header // guarded by mu
}

func newLedgerTarget(t *testing.T) *ledgerTarget {
	l := &ledgerTarget{posts: make(map[string][]http.Header)}
	l.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		name := r.Header.Get("X-Sqsonce-Name")
		l.mu.Lock()
		l.posts[name] = append(l.posts[name], r.Header.Clone())
		l.mu.Unlock()
		if strings.HasPrefix(name, "long") {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(func() { l.CloseClientConnections(); l.Close() })
	return l
}

func (l *ledgerTarget) of(name string) []http.Header {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.posts[name]
}

// long returns the number of requests for names that begin with "long".
func (l *ledgerTarget) long() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, posts := range l.posts {
		if strings.HasPrefix(name, "long") {
			n += len(posts)
		}
	}
	return n
}

// mostBusy returns the worker that handles the most messages, and their number.
func mostBusy(t *testing.T, workers []*process) (victim *process, taken int) {
	t.Helper()
	for _, w := range workers {
		adminURL := w.printed(t, `admin at (http://[^/\s]+)`)
		if n := int(sum(scrape(t, adminURL), "sqsonce_slots_taken", "messaging_system", "aws_sqs")); n > taken {
			victim, taken = w, n
		}
	}
	if victim == nil {
		t.Fatal("no worker has anything at work")
	}
	return victim, taken
}

// deferrals returns how often workers have deferred a message because its name was held.
func deferrals(t *testing.T, workers []*process) (n int) {
	t.Helper()
	for _, w := range workers {
		n += int(sum(scrape(t, w.printed(t, `admin at (http://[^/\s]+)`)), "sqsonce_duplicates_total", "kind", "deferred"))
	}
	return n
}

func TestProcess(t *testing.T) {
	t.Run("workers share a queue and take over from a killed one", testWorkersShareAQueueAndTakeOverFromAKilledOne)
	t.Run("neither health check nor agent is asked through a proxy", testNeitherHealthCheckNorAgentIsAskedThroughAProxy)
}

// Several workers share one queue on the emulators, and each name is posted once. The messages of a
// killed worker run again at their first delivery to another worker, after their visibility
// timeout: none is deferred. The emulator may first deliver them to the long poll of the killed
// process, so the test does not check receive counts. verify/chaos kills more workers.
func testWorkersShareAQueueAndTakeOverFromAKilledOne(t *testing.T) {
	t.Parallel()
	const visibility, names, copies, long = 15 * time.Second, 20, 3, 9
	queue, tables := emulators.SQSClient(t), emulators.DynamoDBClient(t)
	id := unique(t)
	queueURL, dlqURL, err := awsenv.CreateQueue(t.Context(), queue, id[max(0, len(id)-40):])
	if err != nil {
		t.Fatal(err)
	}
	if err := dynamo.CreateTable(t.Context(), tables, id); err != nil {
		t.Fatal(err)
	}
	target := newLedgerTarget(t)
	env := []string{
		"AWS_ENDPOINT_URL_SQS=" + emulators.SQS(t), "AWS_ENDPOINT_URL_DYNAMODB=" + emulators.DynamoDB(t),
		"AWS_REGION=" + emulators.Region, "AWS_ACCESS_KEY_ID=" + emulators.AccessKey, "AWS_SECRET_ACCESS_KEY=" + emulators.SecretKey,
		"SQSONCE_QUEUE_URL=" + queueURL, "SQSONCE_TABLE=" + id, "SQSONCE_TARGET_URL=" + target.URL,
		"SQSONCE_VISIBILITY=" + visibility.String(), "SQSONCE_LEASE=3500ms", "SQSONCE_SKEW=1s", "SQSONCE_TARGET_TIMEOUT=10m",
	}
	var workers []*process
	for range 3 {
		workers = append(workers, startProcess(t, env))
	}
	for _, w := range workers {
		w.printed(t, `worker on (\S+)`)
	}
	for range copies {
		for i := range names {
			send(t, queue, queueURL, body(fmt.Sprint("n", i)))
		}
	}
	waitCounts(t, queue, queueURL, "0", "0")
	for i := range long {
		send(t, queue, queueURL, body(fmt.Sprint("long", i)))
	}
	wait(t, "the long ones are at work", func() bool { return target.long() == long })

	victim, taken := mostBusy(t, workers)
	others := slices.DeleteFunc(workers, func(w *process) bool { return w == victim })
	posted, before := target.long(), deferrals(t, others)
	victim.kill()
	wait(t, "the killed worker's messages are at work again", func() bool { return target.long() == posted+taken })
	if after := deferrals(t, others); after != before {
		t.Errorf("%d messages of the killed worker came back before their names were free", after-before)
	}
	for i := range long {
		var last string
		for n, post := range target.of(fmt.Sprint("long", i)) {
			fence := post.Get("X-Sqsonce-Fence")
			if post.Get("X-Sqsonce-Attempt") != strconv.Itoa(n+1) || n > 0 && (len(fence) != len(last) || fence <= last) {
				t.Errorf("long%d: post %d is attempt %s with fence %s after %s", i, n+1, post.Get("X-Sqsonce-Attempt"), fence, last)
			}
			last = fence
		}
	}
	for i := range names {
		name := fmt.Sprint("n", i)
		posts := target.of(name)
		if len(posts) != 1 || posts[0].Get("Idempotency-Key") != `"`+name+`"` || posts[0].Get("X-Sqsonce-Fence") == "" {
			t.Errorf("%s was posted %d times: %v", name, len(posts), posts)
		}
	}
	waitCounts(t, queue, dlqURL, "0", "0")
}

// Requests to the worker's admin server and to the ECS agent use no proxy, because a proxy could
// not reach them.
func testNeitherHealthCheckNorAgentIsAskedThroughAProxy(t *testing.T) {
	t.Parallel()
	astray := make(chan string, 100)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		astray <- r.URL.String()
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	called := make(chan struct{}, 100)
	agent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} }))
	defer agent.Close()
	// net/http never uses a proxy for loopback addresses, but does for this one of the same machine.
	env := []string{"HTTP_PROXY=" + proxy.URL, "NO_PROXY=", "ECS_AGENT_URI=" + strings.Replace(agent.URL, "127.0.0.1", "0.0.0.0", 1)}
	p := startProcess(t, env, "--local", "--addr", "127.0.0.1:0", "--queue-addr", "127.0.0.1:0",
		"--admin-addr", "0.0.0.0:0", "--target-url", newSlowTarget(t).URL)
	queueURL := p.printed(t, `queue (http://[^\s)]+)`)
	send(t, anySDK(queueURL), queueURL, body("a"))
	wait(t, "a call", func() bool { return len(called)+len(astray) > 0 })
	if len(astray) > 0 {
		t.Errorf("the proxy was asked for %s", <-astray)
	}
	admin := p.printed(t, `admin\s+http://[^/\s]*(:\d+)`)
	check := exec.CommandContext(t.Context(), os.Args[0], "check", "--admin-addr", "0.0.0.0"+admin)
	check.Env = append(os.Environ(), append(env, asWorker+"=1")...)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("check: %v: %s", err, out)
	}
}
