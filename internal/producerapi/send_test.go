package producerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/sqstest"
)

// crowd posts n bodies by several clients. Each posts its next body after an answer.
func (b *bench) crowd(n, clients int, body func(i int) string) []reply {
	return b.crowdAs(n, clients, body)
}

// crowdAs is crowd with headers.
func (b *bench) crowdAs(n, clients int, body func(i int) string, headers ...string) []reply {
	replies := make([]reply, n)
	var next atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				replies[i] = b.post(body(i), headers...)
			}
		})
	}
	all.Wait()
	return replies
}

// calls counts the calls of an operation and their entries.
type calls struct{ calls, entries atomic.Int64 }

func (c *calls) note(call sqstest.Call) {
	c.calls.Add(1)
	c.entries.Add(int64(call.Entries))
}

func TestConcurrentPostsShareCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", nil)
		var sent calls
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation != "SendMessageBatch" {
				return sqstest.Fault{}
			}
			sent.note(c)
			return sqstest.Fault{DelayAfter: 15 * time.Millisecond}
		})
		n := testutil.N(t, 1000)
		ids := make(map[string]bool)
		for i, r := range b.crowd(n, 200, func(i int) string { return body("n-" + strconv.Itoa(i)) }) {
			got := decode[queued](r.want(http.StatusAccepted))
			if got.Name != "n-"+strconv.Itoa(i) || got.MessageID == "" || ids[got.MessageID] {
				t.Fatalf("answer %d is %+v", i, got)
			}
			ids[got.MessageID] = true
		}
		if d := decode[Depth](b.do(http.MethodGet, "/queue", "")); d.Visible != n {
			t.Errorf("%d messages in the queue, want %d", d.Visible, n)
		}
		if perCall := float64(sent.entries.Load()) / float64(sent.calls.Load()); perCall < 8 {
			t.Errorf("%.1f messages a call", perCall)
		}
	})
}

func TestSend(t *testing.T) {
	t.Run("each post gets the answer of its own entry", testEachPostGetsTheAnswerOfItsOwnEntry)
	t.Run("call refused for one message harms only that message", testCallRefusedAsAWholeHarmsOnlyTheOneItIsAbout)
	t.Run("entry without an answer is not accepted", testEntryWithoutAnAnswerIsNotAccepted)
	t.Run("batches stay within a mebibyte", testBatchesStayWithinAMebibyte)
	t.Run("outage is answered in time and forgotten", testOutageIsAnsweredInTimeAndForgotten)
	t.Run("lost answer is asked for again", testLostAnswerIsAskedForAgain)
	t.Run("repeated post is one message on a FIFO queue", testRepeatedPostIsOneMessageOnAFIFOQueue)
}

func testEachPostGetsTheAnswerOfItsOwnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", nil)
		var turn atomic.Int64
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation != "SendMessageBatch" {
				return sqstest.Fault{}
			}
			f := sqstest.Fault{DelayAfter: 15 * time.Millisecond, FailEntries: []int{0, 3, 9}}
			if turn.Add(1)%3 == 0 {
				f.EntryError = &sqstest.Error{Code: "InvalidParameterValue", Message: "no", SenderFault: true}
			}
			return f
		})
		n := testutil.N(t, 700)
		replies := b.crowd(n, 100, func(i int) string { return body("n-" + strconv.Itoa(i)) })
		b.server.Control(nil)
		there := make(map[string]string)
		for _, m := range b.received(b.url) {
			if _, twice := there[*m.Body]; twice {
				t.Errorf("%s is there twice", *m.Body)
			}
			there[*m.Body] = *m.MessageId
		}
		counts := make(map[int]int)
		for i, r := range replies {
			counts[r.Code]++
			id, accepted := there[body("n-"+strconv.Itoa(i))]
			switch {
			case r.Code == http.StatusAccepted && decode[queued](r).MessageID != id:
				t.Errorf("post %d was answered 202 with %s, its message is %q", i, r.Body, id)
			case r.Code != http.StatusAccepted && accepted:
				t.Errorf("post %d was answered %d, but its message is there", i, r.Code)
			}
		}
		if counts[http.StatusAccepted] == 0 || counts[http.StatusBadRequest] == 0 || len(there) != counts[http.StatusAccepted] {
			t.Errorf("answers are %v, %d messages", counts, len(there))
		}
	})
}

func testCallRefusedAsAWholeHarmsOnlyTheOneItIsAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", nil)
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessageBatch" && c.Entries > 1 {
				return sqstest.Fault{Error: &sqstest.Error{Code: "InvalidMessageContents", Message: "no", SenderFault: true}, Delay: time.Millisecond}
			}
			return sqstest.Fault{DelayAfter: time.Millisecond}
		})
		for _, r := range b.crowd(50, 50, func(i int) string { return body(strconv.Itoa(i)) }) {
			r.want(http.StatusAccepted)
		}
		if got := len(b.received(b.url)); got != 50 {
			t.Errorf("%d messages", got)
		}
	})
}

// forgetful loses one answer of each batch.
type forgetful struct{ *sqstest.Server }

func (f forgetful) Do(r *http.Request) (*http.Response, error) {
	resp, err := f.Server.Do(r)
	if err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".SendMessageBatch") {
		return resp, err
	}
	var answer struct{ Successful, Failed []json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	answer.Successful = answer.Successful[:len(answer.Successful)-1]
	b, err := json.Marshal(answer)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, err
}

func testEntryWithoutAnAnswerIsNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", nil)
		cfg := b.server.AWSConfig()
		cfg.HTTPClient = forgetful{b.server}
		b.api.cfg.SQS = sqs.NewFromConfig(cfg)
		b.post(body("a")).want(http.StatusServiceUnavailable)
	})
}

func testBatchesStayWithinAMebibyte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", nil)
		var most atomic.Int64
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessageBatch" {
				most.Store(max(most.Load(), int64(c.Entries)))
			}
			return sqstest.Fault{DelayAfter: 15 * time.Millisecond}
		})
		large := strings.Repeat("x", 300<<10)
		for _, r := range b.crowd(30, 30, func(i int) string { return fmt.Sprintf(`{"name":"%d","b":"%s"}`, i, large) }) {
			r.want(http.StatusAccepted)
		}
		if got := most.Load(); got != 3 { // a call has no room for a fourth
			t.Errorf("%d messages of 300 KiB in one call", got)
		}
	})
}

func testOutageIsAnsweredInTimeAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", func(c *Config) { c.MaxPending = minPending })
		var down atomic.Bool
		down.Store(true)
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if down.Load() {
				return sqstest.Fault{Delay: time.Millisecond, Error: &sqstest.Error{Code: "ServiceUnavailable", Message: "down"}}
			}
			return sqstest.Fault{DelayAfter: time.Millisecond}
		})
		large := strings.Repeat("x", 900<<10)
		began := time.Now()
		var most atomic.Int64
		atOnce := 0
		for _, r := range b.crowd(100, 100, func(i int) string {
			most.Store(max(most.Load(), b.api.pending.pending()))
			return fmt.Sprintf(`{"name":"%d","b":"%s"}`, i, large)
		}) {
			r.want(http.StatusServiceUnavailable)
			if r.Header().Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
			if strings.Contains(r.Body.String(), "too many bytes") {
				atOnce++
			}
		}
		if took := time.Since(began); took > DefaultSendTimeout+callDeadline {
			t.Errorf("answered after %s", took)
		}
		if atOnce == 0 || most.Load() > minPending {
			t.Errorf("%d refused at once, %d bytes pending", atOnce, most.Load())
		}
		b.do(http.MethodGet, "/readyz", "").want(http.StatusServiceUnavailable)
		b.do(http.MethodGet, "/queue", "").want(http.StatusServiceUnavailable)
		b.do(http.MethodGet, "/healthz", "").want(http.StatusOK)
		if used := b.api.pending.pending(); used != 0 {
			t.Errorf("%d bytes are still reserved", used)
		}

		time.Sleep(callDeadline) // until abandoned calls have ended
		down.Store(false)
		b.post(body("after")).want(http.StatusAccepted)
		time.Sleep(2 * readyFor)
		b.do(http.MethodGet, "/readyz", "").want(http.StatusOK)
		if got := len(b.received(b.url)); got != 1 {
			t.Errorf("%d messages", got)
		}
	})
}

func testLostAnswerIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders.fifo", nil)
		lost := 0
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessageBatch" && lost < 4 {
				lost++
				return sqstest.Fault{LoseAnswer: true}
			}
			return sqstest.Fault{}
		})
		b.post(body("a")).want(http.StatusAccepted)
		if got := len(b.received(b.url)); got != 1 || lost != 4 {
			t.Errorf("%d messages after %d lost answers", got, lost)
		}
	})
}

func testRepeatedPostIsOneMessageOnAFIFOQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders.fifo", nil)
		post := func(body string, headers ...string) string {
			return decode[queued](b.post(body, headers...).want(http.StatusAccepted)).MessageID
		}
		first := post(body("a"))
		if again := post(body("a")); again != first {
			t.Error("the same POST made another message")
		}
		others := map[string]string{
			"another name":  post(body("b")),
			"another body":  post(`{"name":"a","x":1}`),
			"another dedup": post(body("a"), "X-Sqsonce-Dedup", "try-2"),
			"a third dedup": post(body("a"), "X-Sqsonce-Dedup", "try-3"),
		}
		for what, id := range others {
			if id == first {
				t.Errorf("%s made no other message", what)
			}
		}
		messages := b.received(b.url)
		if len(messages) != 5 {
			t.Errorf("%d messages", len(messages))
		}
		groups := make(map[string]string)
		for _, m := range messages {
			group := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
			name := *m.MessageAttributes["sqsonce.name"].StringValue
			if before, ok := groups[name]; ok && before != group {
				t.Errorf("%q is in two groups", name)
			}
			groups[name] = group
		}
		if groups["a"] == groups["b"] {
			t.Error("two names share a group")
		}
		time.Sleep(6 * time.Minute)
		if later := post(body("a")); later == first {
			t.Error("the same POST after five minutes made no message")
		}
		b.post(body("a"), "X-Sqsonce-Delay", "5").wantField(http.StatusBadRequest, "X-Sqsonce-Delay")
	})
}

// An error that only an operator can fix is returned at once, without a retry.
func TestFinalErrors(t *testing.T) {
	for _, code := range []string{"AccessDenied", "AWS.SimpleQueueService.NonExistentQueue", "InvalidClientTokenId"} {
		for _, queue := range []string{"orders", "orders.fifo"} {
			t.Run(code+" "+queue, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, queue, nil)
					var calls atomic.Int64
					b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
						calls.Add(1)
						return sqstest.Fault{Error: &sqstest.Error{Code: code, Message: "not for " + code, SenderFault: true}}
					})
					r := b.post(body("a")).want(http.StatusServiceUnavailable)
					if strings.Contains(r.Body.String(), code) {
						t.Errorf("a client is shown the server's own trouble: %s", r.Body)
					}
					b.do(http.MethodPost, "/messages:batch", "["+body("a")+"]").want(http.StatusServiceUnavailable)
					if n := calls.Load(); n != 2 {
						t.Errorf("%d calls, want one for each request", n)
					}
				})
			})
		}
	}
}

// Problems of an embedded API show their cause.
func TestEmbedded(t *testing.T) {
	b := newBench(t, "orders", func(c *Config) { c.Embedded = true })
	b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
		return sqstest.Fault{Error: &sqstest.Error{Code: "AccessDenied", Message: "ops may not", SenderFault: true}}
	})
	for _, r := range []reply{b.post(body("a")), b.do(http.MethodGet, "/queue", "")} {
		if !strings.Contains(r.want(http.StatusServiceUnavailable).Body.String(), "ops may not") {
			t.Errorf("the cause is not shown: %s", r.Body)
		}
	}
}
