package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// TestTrouble runs the worker on local servers with a faulty target or a denied KMS key, and
// reports the outcome of the messages. The cases run beside each other, because they mostly wait.
// SQSONCE_TEST_WORKER may name another binary for comparison.
func TestTrouble(t *testing.T) {
	t.Run("poison", testPoison)
	t.Run("400 to everything", testBlame)
	t.Run("429", testRefusals)
	t.Run("hangs", testHang)
	t.Run("crash", testCrash)
	t.Run("key of the dead-letter queue", testKey)
}

// app is a target with the answers of a test. It counts its answers by status.
type app struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, name string) int // returns the status of its answer

	mu     sync.Mutex
	done   map[string]bool // guarded by mu; names
	counts map[int]int     // guarded by mu; answers by status
}

func newApp(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, name string) int) *app {
	t.Helper()
	a := &app{answer: answer, done: make(map[string]bool), counts: make(map[int]int)}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server notices a closed connection
		name := r.Header.Get("X-Sqsonce-Name")
		status := a.answer(w, r, name)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.counts[status]++
		if status == http.StatusOK && name != "" {
			a.done[name] = true
		}
	}))
	t.Cleanup(func() { a.CloseClientConnections(); a.Close() })
	return a
}

// reply answers with a status.
func reply(w http.ResponseWriter, code int) int {
	w.WriteHeader(code)
	return code
}

// handled counts the completed names with the prefix.
func (a *app) handled(prefix string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.done {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}

func (a *app) answered(code int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[code]
}

// send sends n messages, named prefix-0 and so on.
func (s *stack) send(t *testing.T, prefix string, n int) {
	t.Helper()
	queue := s.find(t, s.table)
	for first := 0; first < n; first += 10 {
		var entries []types.SendMessageBatchRequestEntry
		for i := first; i < min(n, first+10); i++ {
			entries = append(entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(fmt.Sprintf(`{"name":"%s-%d"}`, prefix, i)),
			})
		}
		if _, err := s.client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: queue, Entries: entries}); err != nil {
			t.Fatal(err)
		}
	}
}

// find returns the URL of a queue by its name.
func (s *stack) find(t *testing.T, name string) *string {
	t.Helper()
	out, err := s.client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return out.QueueUrl
}

// dead counts the messages in the dead-letter queue.
func (s *stack) dead(t *testing.T) int {
	t.Helper()
	out, err := s.client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: s.find(t, s.table+"-dlq"), AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	_, _ = fmt.Sscan(out.Attributes["ApproximateNumberOfMessages"], &n)
	return n
}

// settled waits until want names are completed, at most for a minute, and logs the counts.
func (s *stack) settled(t *testing.T, a *app, prefix string, want, mostDead int) {
	t.Helper()
	start := time.Now()
	for a.handled(prefix) < want && time.Since(start) < time.Minute {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	done, dead := a.handled(prefix), s.dead(t)
	t.Logf("%d of %d done after %s, %d dead letters", done, want, time.Since(start).Round(time.Second), dead)
	if done < want || dead > mostDead {
		t.Errorf("%d of %d done, %d dead letters, want at most %d", done, want, dead, mostDead)
	}
}

// Messages that always fail do not block the others, even if they are more than the concurrency.
func testPoison(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request, name string) int {
		if strings.HasPrefix(name, "poison") {
			return reply(w, http.StatusInternalServerError)
		}
		return reply(w, http.StatusOK)
	})
	s := newStack(t)
	s.worker(t, "--target-url", a.URL, "--concurrency", "10")
	s.send(t, "poison", 20)
	eventually(t, "poison is tried", func() bool { return a.answered(http.StatusInternalServerError) >= 10 })
	s.send(t, "good", 200)
	s.settled(t, a, "good", 200, 20)
}

// A misconfigured target rejects every message until it is fixed.
func testBlame(t *testing.T) {
	t.Parallel()
	var mended switched
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request, _ string) int {
		if mended.on() {
			return reply(w, http.StatusOK)
		}
		return reply(w, http.StatusBadRequest)
	})
	s := newStack(t)
	s.worker(t, "--target-url", a.URL)
	s.send(t, "m", 300)
	eventually(t, "messages are blamed", func() bool { return a.answered(http.StatusBadRequest) >= 20 })
	mended.set()
	s.settled(t, a, "m", 300-4, 4)
}

// A target that accepts 20 messages a second gets all of them.
func testRefusals(t *testing.T) {
	t.Parallel()
	const n, rate = 400, 20
	var mu sync.Mutex
	var window time.Time
	admitted := 0
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request, _ string) int {
		mu.Lock()
		if now := time.Now().Truncate(time.Second); !now.Equal(window) {
			window, admitted = now, 0
		}
		admitted++
		over := admitted > rate
		mu.Unlock()
		if over {
			w.Header().Set("Retry-After", "1")
			return reply(w, http.StatusTooManyRequests)
		}
		return reply(w, http.StatusOK)
	})
	s := newStack(t)
	s.worker(t, "--target-url", a.URL)
	s.send(t, "m", n)
	s.settled(t, a, "m", n, 0)
	t.Logf("%d refusals", a.answered(http.StatusTooManyRequests))
}

// While a target hangs and its health path fails, its messages stay in the queue.
func testHang(t *testing.T) {
	t.Parallel()
	var well switched
	a := newApp(t, nil)
	a.answer = func(w http.ResponseWriter, r *http.Request, name string) int {
		if !well.on() && name != "" || !well.on() && a.answered(http.StatusOK) > 0 {
			<-r.Context().Done()
			return 0
		}
		return reply(w, http.StatusOK) // for the health path, until the worker has started
	}
	s := newStack(t)
	s.worker(t, "--target-url", a.URL, "--target-health", "/up", "--target-timeout", "1s", "--max-attempts", "2")
	eventually(t, "the health path is asked", func() bool { return a.answered(http.StatusOK) > 0 })
	s.send(t, "m", 60)
	eventually(t, "requests have hung", func() bool { return a.answered(0) >= 5 })
	eventually(t, "the worker has had its time", elapsed(20*time.Second))
	well.set()
	s.settled(t, a, "m", 60, 0)
}

// A crash of the target fails the running requests and does not use up the concurrency.
func testCrash(t *testing.T) {
	t.Parallel()
	const slots = 10
	var up switched
	a := newApp(t, nil)
	a.answer = func(w http.ResponseWriter, _ *http.Request, _ string) int {
		if up.on() {
			return reply(w, http.StatusOK)
		}
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
		return 0
	}
	s := newStack(t)
	s.worker(t, "--target-url", a.URL, "--concurrency", fmt.Sprint(slots), "--target-timeout", "10m")
	s.send(t, "broken", slots)
	eventually(t, "requests are broken off", func() bool { return a.answered(0) >= slots })
	up.set()
	s.send(t, "m", 50)
	s.settled(t, a, "m", 50, 0)
}

// Messages that cannot be dead-lettered, because the worker may not use the key, do not block the
// others.
func testKey(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request, name string) int {
		if strings.HasPrefix(name, "bad") {
			return reply(w, http.StatusGone)
		}
		return reply(w, http.StatusOK)
	})
	s := newStack(t)
	s.env = append(s.env, "AWS_ENDPOINT_URL_SQS="+denyKey(t, strings.TrimPrefix(s.env[0], "AWS_ENDPOINT_URL_SQS=")))
	s.worker(t, "--target-url", a.URL, "--concurrency", "5")
	s.send(t, "bad", 100)
	eventually(t, "bad ones are refused", func() bool { return a.answered(http.StatusGone) >= 50 })
	s.send(t, "good", 200)
	s.settled(t, a, "good", 200, 100)
}

// denyKey is a proxy of an SQS server. It refuses sends as SQS does if the queue's key may not be
// used. An empty batch is refused as empty.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html#API_SendMessageBatch_Errors
func denyKey(t *testing.T, server string) string {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the server refuses a body that breaks off
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Header.Get("X-Amz-Target") != "AmazonSQS.SendMessageBatch" || bytes.Contains(body, []byte(`"Entries":[]`)) {
			pass.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amzn-Query-Error", "KMS.AccessDeniedException;Sender")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.sqs#KmsAccessDenied","message":"not authorized to use the key"}`)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// switched is a flag that is off until it is set.
type switched struct{ atomic.Bool }

func (s *switched) set()     { s.Store(true) }
func (s *switched) on() bool { return s.Load() }

// elapsed returns a condition that holds after d.
func elapsed(d time.Duration) func() bool {
	start := time.Now()
	return func() bool { return time.Since(start) >= d }
}
