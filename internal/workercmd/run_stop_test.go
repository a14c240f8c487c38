package workercmd

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/testutil/transcript"
)

// slowTarget is an HTTP target whose answers wait for the test.
type slowTarget struct {
	*httptest.Server
	answer chan struct{} // closed to let the answers go out

	mu    sync.Mutex
	posts []string // guarded by mu; bodies of the requests
}

func newSlowTarget(t *testing.T) *slowTarget {
	t.Helper()
	s := &slowTarget{answer: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.posts = append(s.posts, string(text))
		s.mu.Unlock()
		select {
		case <-s.answer:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func (s *slowTarget) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.posts)
}

// record reads the status and the attempts of a name.
func (o *outside) record(t *testing.T, name string) (status, attempts string) {
	t.Helper()
	out, err := o.dynamo.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &o.table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "jobs#" + name}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := out.Item["status"].(*types.AttributeValueMemberS); ok {
		status = s.Value
	}
	if n, ok := out.Item["attempts"].(*types.AttributeValueMemberN); ok {
		attempts = n.Value
	}
	return status, attempts
}

func TestStop(t *testing.T) {
	t.Run("stop finishes requests and gives back the rest", testStopFinishesRequestsAndGivesBackTheRest)
	t.Run("second signal cuts the wait short", testSecondSignalCutsTheWaitShort)
	t.Run("cancelled post is held as unknown where that was asked for", testCancelledPostIsHeldAsUnknownWhereThatWasAskedFor)
	t.Run("check tells health by its exit code", testCheckTellsHealthByItsExitCode)
	t.Run("nothing runs where the page cannot be made", testNothingRunsWhereThePageCannotBeMade)
	t.Run("whole stop fits its reserve", testWholeStopFitsItsReserve)
}

func testStopFinishesRequestsAndGivesBackTheRest(t *testing.T) {
	o, target := newOutside(t), newSlowTarget(t)
	p := start(t, o.args("--concurrency", "2", "--target-url", target.URL)...)
	p.printed(t, `worker on (\S+)`)
	send(t, o.sqs, o.queueURL, body("a"), body("b"), body("c"), body("d"), body("e"))
	wait(t, "two posts", func() bool { return target.asked() == 2 })

	p.signals <- syscall.SIGTERM
	p.logged(t, "stopping: handlers may finish", 1)
	wait(t, "not ready", func() bool { return get(t, p.adminURL(t)+"/readyz") == http.StatusServiceUnavailable })
	if code := get(t, p.adminURL(t)+"/healthz"); code != http.StatusOK {
		t.Errorf("/healthz answers %d while draining", code)
	}
	var out transcript.Buffer
	addr := strings.TrimPrefix(p.adminURL(t), "http://")
	if code := run(t.Context(), []string{"check", "--ready", "--admin-addr", addr}, &out, &out, nil); code != 1 || !strings.Contains(out.String(), "not ready") {
		t.Errorf("check --ready ends with %d while draining: %s", code, out.String())
	}
	close(target.answer)
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if target.asked() != 2 {
		t.Errorf("target was asked %d times", target.asked())
	}
	waitCounts(t, o.sqs, o.queueURL, "3", "0")
	completed := 0
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if status, _ := o.record(t, name); status == "COMPLETED" {
			completed++
		} else if status != "" {
			t.Errorf("record of %s is %s", name, status)
		}
	}
	if completed != 2 {
		t.Errorf("%d names are completed, want 2", completed)
	}
}

func testSecondSignalCutsTheWaitShort(t *testing.T) {
	o, target := newOutside(t), newSlowTarget(t)
	p := start(t, o.args("--concurrency", "1", "--target-url", target.URL, "--drain-timeout", "1h")...)
	send(t, o.sqs, o.queueURL, body("a"))
	wait(t, "a post", func() bool { return target.asked() == 1 })
	p.signals <- syscall.SIGTERM
	p.logged(t, "stopping: handlers may finish", 1)
	p.signals <- syscall.SIGTERM
	start := time.Now()
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(start); took > patience {
		t.Errorf("took %s", took)
	}
	p.logged(t, "stopping at once", 1)
	// Cancelled by the worker: not counted, but held and invisible while the target may still work on
	// it.
	waitCounts(t, o.sqs, o.queueURL, "0", "1")
	if status, attempts := o.record(t, "a"); status != "IN_PROGRESS" || attempts != "0" {
		t.Errorf("record is %s after %s attempts", status, attempts)
	}
}

func testCancelledPostIsHeldAsUnknownWhereThatWasAskedFor(t *testing.T) {
	o, target := newOutside(t), newSlowTarget(t)
	p := start(t, o.args("--concurrency", "1", "--target-url", target.URL, "--on-unknown", "hold")...)
	send(t, o.sqs, o.queueURL, body("a"))
	wait(t, "a post", func() bool { return target.asked() == 1 })
	p.signals <- syscall.SIGTERM
	p.signals <- syscall.SIGTERM
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	waitCounts(t, o.sqs, o.queueURL, "0", "0")
	waitCounts(t, o.sqs, o.dlqURL, "1", "0")
	if status, _ := o.record(t, "a"); status != "UNKNOWN" {
		t.Errorf("record is %s", status)
	}
}

func testCheckTellsHealthByItsExitCode(t *testing.T) {
	p := startLocal(t)
	addr := strings.TrimPrefix(p.adminURL(t), "http://")
	var out transcript.Buffer
	wait(t, "healthy", func() bool {
		return run(t.Context(), []string{"check", "--admin-addr", addr}, &out, &out, nil) == 0
	})
	wait(t, "ready", func() bool {
		return run(t.Context(), []string{"check", "--ready", "--admin-addr", addr}, &out, &out, nil) == 0
	})
	p.signals <- syscall.SIGTERM
	p.exit(t)
	if code := run(t.Context(), []string{"check", "--admin-addr", addr}, &out, &out, nil); code != 1 {
		t.Errorf("exit code %d for a worker that is gone, want 1", code)
	}
	if code := run(t.Context(), []string{"check", "--admin-addr", "no port"}, &out, &out, nil); code != 2 {
		t.Errorf("exit code %d for an address that is none, want 2", code)
	}

	unhealthy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "a receive has been due for 2m", http.StatusServiceUnavailable)
	}))
	defer unhealthy.Close()
	t.Setenv("SQSONCE_ADMIN_ADDR", strings.TrimPrefix(unhealthy.URL, "http://"))
	if code := run(t.Context(), []string{"check"}, &out, &out, nil); code != 1 {
		t.Errorf("exit code %d for an unhealthy worker, want 1", code)
	}
	if !strings.Contains(out.String(), "a receive has been due for 2m") {
		t.Errorf("no reason in %s", out.String())
	}
}

func testNothingRunsWhereThePageCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInBubble(t, 3, func(http.ResponseWriter, *http.Request) {})
		b.back.queueURL = "http://names.invalid/"
		err := b.runQueues(life{working: t.Context(), outer: t.Context(), stop: func() {}, group: &errgroup.Group{}},
			func(context.Context, *queueWorker) error { return nil })
		synctest.Wait()
		if state := b.pool.Stats().State; err == nil || state != consumer.Starting {
			t.Errorf("error is %v, the pool is %s", err, state)
		}
		b.target.close()
	})
}

// A drain of 25 s ends within a stop timeout of 30 s, including the servers and the telemetry.
func testWholeStopFitsItsReserve(t *testing.T) {
	const drain = 25 * time.Second
	pool := consumer.Config{DrainTimeout: drain}.StopTime()
	began := time.Now()
	for name, tc := range map[string]struct{ took, want time.Duration }{
		"at once":             {time.Second, mostFlush},
		"nearly all the time": {drain + 3*time.Second, stopReserve - 3*time.Second},
		"all the time":        {pool + 2*serverGrace, leastFlush},
		"more than it may":    {time.Hour, leastFlush},
	} {
		if got := flushTime(began, began.Add(tc.took), drain); got != tc.want {
			t.Errorf("%s: %s for the last telemetry, want %s", name, got, tc.want)
		}
	}
	if got := flushTime(time.Time{}, began, drain); got != mostFlush {
		t.Errorf("without a stop: %s for the last telemetry", got)
	}
	if whole := pool + 2*serverGrace + leastFlush; whole != drain+stopReserve || whole >= 30*time.Second {
		t.Errorf("a stop takes up to %s", whole)
	}
}

func TestDrainCommand(t *testing.T) {
	p := startLocal(t)
	addr := strings.TrimPrefix(p.adminURL(t), "http://")
	var out transcript.Buffer
	if code := run(t.Context(), []string{"drain", "--admin-addr", addr}, &out, &out, nil); code != 0 {
		t.Errorf("exit code %d: %s", code, out.String())
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d of the worker", code)
	}
	if code := run(t.Context(), []string{"drain", "--admin-addr", addr}, &out, &out, nil); code != 1 {
		t.Errorf("exit code %d for a worker that is gone, want 1", code)
	}
	if code := run(t.Context(), []string{"drain", "--admin-addr", addr, "--admin-token-file", "/none"}, &out, &out, nil); code != 2 {
		t.Errorf("exit code %d for a token that cannot be read, want 2", code)
	}
}

// Commands of the admin server reach the pool.
func TestAdminVerbs(t *testing.T) {
	p := startLocal(t, "--target-url", newSlowTarget(t).URL)
	post := func(path, body string) int {
		t.Helper()
		resp, err := http.Post(p.adminURL(t)+path, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := post("/concurrency", "7"); got != http.StatusAccepted {
		t.Errorf("/concurrency answers %d", got)
	}
	if got := sum(scrape(t, p.adminURL(t)), "sqsonce_slots", "messaging_system", "aws_sqs"); got != 7 {
		t.Errorf("%v slots", got)
	}
	if got := post("/concurrency", "none"); got != http.StatusBadRequest {
		t.Errorf("/concurrency answers %d to a word", got)
	}
	if got := post("/believe", ""); got != http.StatusAccepted {
		t.Errorf("/believe answers %d", got)
	}
}
