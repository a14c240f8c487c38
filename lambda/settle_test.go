package sqsoncelambda

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestVisibility(t *testing.T) {
	t.Run("deferred duplicate", testDeferredDuplicate)
	t.Run("duplicate on its last receive waits", testDuplicateOnItsLastReceive)
	t.Run("duplicate on its last receive in vain", testDuplicateOnItsLastReceiveInVain)
	t.Run("outage", testOutage)
	t.Run("call fails", testVisibilityCallFails)
	t.Run("bounds", testVisibilityBounds)
}

// held makes another process hold the name a for so long, and returns when it does.
func (b *bench) held(takes time.Duration) (done <-chan error) {
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := b.beside().Do(b.t.Context(), dedupe.Key{Name: "a"}, func(context.Context) (string, error) {
			close(started)
			time.Sleep(takes)
			return "elsewhere", nil
		})
		ended <- err
	}()
	<-started
	return ended
}

func testDeferredDuplicate(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		done := b.held(20 * time.Second)
		b.send("", "a", "a")
		began := time.Now()
		equal(t, "failures", b.invoke(), []string{"a", "a"})
		equal(t, "runs", b.took(), nil)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the invocation took %s", took)
		}
		// The rest of the lease and the skew margin, and up to a second.
		if set := b.visibilities(); len(set) != 2 || slices.Min(set) < 32 || slices.Max(set) > 33 {
			t.Fatalf("visibility timeouts %v, want 32 or 33 s", set)
		}
		time.Sleep(31 * time.Second)
		if n := len(b.receive(b.queueURL).Records); n != 0 {
			t.Errorf("%d messages are visible before the lease has ended", n)
		}
		time.Sleep(2 * time.Second)
		equal(t, "failures", b.invoke(), nil) // answered by the other one's outcome
		equal(t, "runs", b.took(), nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// exhaust receives the messages of the queue until their next receive is their last.
func (b *bench) exhaust(maxReceives int) {
	b.t.Helper()
	for range maxReceives - 1 {
		for _, r := range b.receive(b.queueURL).Records {
			_, err := b.client.ChangeMessageVisibility(b.t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &b.queueURL, ReceiptHandle: &r.ReceiptHandle})
			if err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// SQS would move the message instead of delivering it again, so it waits for the other attempt.
func testDuplicateOnItsLastReceive(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, b *bench) {
		done := b.held(20 * time.Second)
		b.send("", "a")
		b.exhaust(2)
		began := time.Now()
		equal(t, "failures", b.invoke(), nil)
		if took := time.Since(began); took < 20*time.Second || took > 26*time.Second {
			t.Errorf("the invocation took %s, want until the other attempt is done and a look of 5 s", took)
		}
		equal(t, "runs", b.took(), nil)
		if dead := b.receive(b.dlqURL).Records; len(dead) > 0 {
			t.Errorf("%d messages are dead-lettered", len(dead))
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func testDuplicateOnItsLastReceiveInVain(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, b *bench) {
		b.timeout = 20 * time.Second
		done := b.held(time.Minute)
		b.send("", "a")
		b.exhaust(2)
		equal(t, "failures", b.invoke(), nil)
		dead := b.receive(b.dlqURL).Records
		if len(dead) != 1 || !strings.Contains(*dead[0].MessageAttributes[consumer.AttrReason].StringValue, "in progress elsewhere") {
			t.Errorf("dead letters %+v", dead)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// downStore is a store that is down.
type downStore struct{ dedupe.Store }

func (downStore) Swap(context.Context, protocol.Version, protocol.Record) error {
	return errors.New("connection refused")
}

// Each try is a receive, so that a message that is visible at once would soon have used them up.
func testOutage(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.cfg.Store = downStore{b.store}
		b.send("", "a", "b")
		equal(t, "failures", b.invoke(), []string{"a", "b"})
		equal(t, "runs", b.took(), nil)
		if set := b.visibilities(); len(set) != 2 || slices.Min(set) < 5 || slices.Max(set) > 10 {
			t.Errorf("visibility timeouts %v, want a backoff of 5 to 10 s", set)
		}
	})
}

func testVisibilityCallFails(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.refuse = func(operation string, _ any) error {
			if operation == "ChangeMessageVisibilityBatch" {
				return errors.New("denied")
			}
			return nil
		}
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "", errors.New("not now") }
		b.send("", "a")
		equal(t, "failures", b.invoke(), []string{"a"})
		time.Sleep(359 * time.Second)
		if n := len(b.receive(b.queueURL).Records); n != 0 {
			t.Errorf("%d messages are visible before their visibility timeout has ended", n)
		}
	})
}

// retryAfter is an error that names its delay.
type retryAfter time.Duration

func (retryAfter) Error() string               { return "later" }
func (r retryAfter) RetryAfter() time.Duration { return time.Duration(r) }

func testVisibilityBounds(t *testing.T) {
	for after, want := range map[time.Duration]int32{
		time.Millisecond: 1, 90*time.Second + 1: 91, 11 * time.Hour: 39_600, 24 * time.Hour: 42_300,
	} {
		bubble(t, 5, false, func(t *testing.T, b *bench) {
			b.work = func(context.Context, sqsonce.Message) (string, error) { return "", retryAfter(after) }
			b.send("", "a")
			b.invoke()
			if set := b.visibilities(); len(set) != 1 || set[0] != want {
				t.Errorf("%s: visibility timeouts %v, want %d", after, set, want)
			}
		})
	}
}

func TestDeadLetter(t *testing.T) {
	t.Run("as a worker's", testDeadLetterAsAWorkers)
	t.Run("redriven runs again", testRedrivenRunsAgain)
	t.Run("copy fails", testCopyFails)
	t.Run("no dead-letter queue", testNoDeadLetterQueue)
	t.Run("attempts used up", testAttemptsUsedUp)
	t.Run("no name", testNoName)
}

// texts are the attributes of the only dead letter.
func (b *bench) texts() map[string]string {
	b.t.Helper()
	dead := b.receive(b.dlqURL).Records
	if len(dead) != 1 {
		b.t.Fatalf("%d dead letters, want one", len(dead))
	}
	texts := map[string]string{"body": dead[0].Body}
	for name, a := range dead[0].MessageAttributes {
		texts[name] = aws.ToString(a.StringValue)
	}
	if _, err := b.client.DeleteMessage(b.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &b.dlqURL, ReceiptHandle: &dead[0].ReceiptHandle}); err != nil {
		b.t.Fatal(err)
	}
	delete(texts, "sqsonce.original-id") // of another message
	return texts
}

func testDeadLetterAsAWorkers(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "", permanent{} }
		b.send("", "a")
		equal(t, "failures", b.invoke(), nil) // SQS deletes it
		function := b.texts()
		if _, err := b.store.Get(t.Context(), "work#a"); err != nil || b.record("a").Status != protocol.Rejected {
			t.Errorf("record %s, %v", b.record("a").Status, err)
		}
		// The same message to a worker, of another scope.
		w, err := sqsonce.New(aws.Config{}, sqsonce.Config{
			QueueURL: b.queueURL, Store: b.store, Queue: b.client, Guard: dedupe.Config{Scope: "other", Logger: b.cfg.Guard.Logger}, Pool: consumer.Config{Logger: b.cfg.Guard.Logger},
		}, b.work)
		if err != nil {
			t.Fatal(err)
		}
		b.handledBy(w)
		if worker := b.texts(); !maps.Equal(function, worker) || function[consumer.AttrReason] != "rejected" {
			t.Errorf("by the function %v, by a worker %v", function, worker)
		}
	})
}

func testRedrivenRunsAgain(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "", permanent{} }
		b.send("", "a")
		b.invoke()
		dead := b.receive(b.dlqURL)
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "mended", nil }
		response, err := b.ready().Handle(t.Context(), dead)
		if err != nil || len(response.BatchItemFailures) != 0 || string(b.record("a").Result) != `"mended"` {
			t.Errorf("%v, %v, record %s", err, response, b.record("a").Status)
		}
	})
}

func testCopyFails(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "", permanent{} }
		b.refuse = func(operation string, _ any) error {
			if operation == "SendMessage" {
				return errors.New("denied")
			}
			return nil
		}
		b.send("", "a")
		equal(t, "failures", b.invoke(), []string{"a"})
		if set := b.visibilities(); len(set) != 1 || set[0] < 5 {
			t.Errorf("visibility timeouts %v, want a backoff", set)
		}
		b.refuse = nil
		time.Sleep(10 * time.Second)
		equal(t, "failures", b.invoke(), nil) // the name is rejected, and the copy is made
		equal(t, "runs", b.took(), []string{"a"})
		if reason := b.texts()[consumer.AttrReason]; reason != "rejected" {
			t.Errorf("reason %q", reason)
		}
	})
}

func testNoDeadLetterQueue(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "", permanent{} }
		b.refuse = func(operation string, _ any) error {
			if operation == "GetQueueAttributes" {
				return errors.New("denied")
			}
			return nil
		}
		b.send("", "a")
		equal(t, "failures", b.invoke(), []string{"a"})
		// Set by hand it needs no right to look it up.
		b.function, b.cfg.DLQURL = nil, b.dlqURL
		time.Sleep(10 * time.Second)
		equal(t, "failures", b.invoke(), nil)
		if reason := b.texts()[consumer.AttrReason]; reason != "rejected" {
			t.Errorf("reason %q", reason)
		}
	})
}

func testAttemptsUsedUp(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, b *bench) {
		b.cfg.Guard.MaxAttempts = 2
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "", errors.New("not now") }
		b.send("", "a")
		equal(t, "failures", b.invoke(), []string{"a"})
		time.Sleep(time.Minute)
		equal(t, "failures", b.invoke(), nil)
		if got := b.texts(); got[consumer.AttrReason] != "attempts used up" || got["sqsonce.attempts"] != "2" || !strings.Contains(got[consumer.AttrError], "not now") {
			t.Errorf("dead letter %v", got)
		}
	})
}

func testNoName(t *testing.T) {
	bubble(t, 5, false, func(t *testing.T, b *bench) {
		if _, err := b.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &b.queueURL, MessageBody: aws.String("hello")}); err != nil {
			t.Fatal(err)
		}
		equal(t, "failures", b.invoke(), nil)
		if got := b.texts(); got["body"] != "hello" || got[consumer.AttrReason] == "" || got[consumer.AttrError] == "" {
			t.Errorf("dead letter %v", got)
		}
	})
}

func TestFIFO(t *testing.T) {
	t.Run("group stops at its first failure", testGroupStopsAtItsFirstFailure)
	t.Run("rejection does not stop a group", testRejectionDoesNotStopAGroup)
	t.Run("deferred head", testDeferredHead)
	t.Run("follower on its last receive", testFollowerOnItsLastReceive)
	t.Run("lanes", testLanes)
}

func testGroupStopsAtItsFirstFailure(t *testing.T) {
	bubble(t, 5, true, func(t *testing.T, b *bench) {
		fails := true
		b.work = func(_ context.Context, m sqsonce.Message) (string, error) {
			if fails && strings.Contains(m.Body, "g2") {
				return "", errors.New("not now")
			}
			return "", nil
		}
		b.send("g", "g1", "g2", "g3", "g4")
		b.send("h", "h1", "h2")
		failed := b.invoke()
		slices.Sort(failed)
		equal(t, "failures", failed, []string{"g2", "g3", "g4"})
		ran := b.took()
		slices.Sort(ran)
		equal(t, "runs", ran, []string{"g1", "g2", "h1", "h2"})
		b.mu.Lock()
		released := b.released
		b.mu.Unlock()
		if len(released) != 2 || len(released[0].Entries) != 2 || len(released[1].Entries) != 1 {
			t.Errorf("released %+v, want the followers, then the head", released)
		}
		fails = false
		time.Sleep(10 * time.Second)
		equal(t, "failures", b.invoke(), nil)
		equal(t, "runs", b.took(), []string{"g2", "g3", "g4"})
	})
}

// The message leaves the queue, as it does in a worker.
func testRejectionDoesNotStopAGroup(t *testing.T) {
	bubble(t, 5, true, func(t *testing.T, b *bench) {
		b.work = func(_ context.Context, m sqsonce.Message) (string, error) {
			if strings.Contains(m.Body, "g1") {
				return "", permanent{}
			}
			return "", nil
		}
		b.send("g", "g1", "g2")
		equal(t, "failures", b.invoke(), nil)
		equal(t, "runs", b.took(), []string{"g1", "g2"})
		if reason := b.texts()[consumer.AttrReason]; reason != "rejected" {
			t.Errorf("reason %q", reason)
		}
	})
}

func testDeferredHead(t *testing.T) {
	bubble(t, 5, true, func(t *testing.T, b *bench) {
		done := b.held(20 * time.Second)
		b.send("g", "a", "g2")
		equal(t, "failures", b.invoke(), []string{"a", "g2"})
		equal(t, "runs", b.took(), nil)
		time.Sleep(31 * time.Second)
		if n := len(b.receive(b.queueURL).Records); n != 0 {
			t.Errorf("%d messages of the group are visible before the lease has ended", n)
		}
		time.Sleep(2 * time.Second)
		equal(t, "failures", b.invoke(), nil)
		equal(t, "runs", b.took(), []string{"g2"})
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func testFollowerOnItsLastReceive(t *testing.T) {
	bubble(t, 3, true, func(t *testing.T, b *bench) {
		b.work = func(context.Context, sqsonce.Message) (string, error) { return "", errors.New("not now") }
		b.send("g", "g1", "g2")
		event := b.receive(b.queueURL)
		event.Records[1].Attributes["ApproximateReceiveCount"] = "3"
		response, err := b.ready().Handle(t.Context(), event)
		if err != nil || len(response.BatchItemFailures) != 1 || response.BatchItemFailures[0].ItemIdentifier != event.Records[0].MessageId {
			t.Errorf("%v, %+v", err, response)
		}
		if reason := b.texts()[consumer.AttrReason]; reason != reasonHeldUp {
			t.Errorf("reason %q", reason)
		}
	})
}

func testLanes(t *testing.T) {
	standard, fifo := &queue{}, &queue{fifo: true}
	of := func(q *queue, group, name string) job {
		j := job{queue: q, name: name}
		j.GroupID = group
		return j
	}
	for name, tc := range map[string]struct {
		jobs []job
		want [][]int
	}{
		"nothing":           {nil, nil},
		"standard, by name": {[]job{of(standard, "", "a"), of(standard, "", "b"), of(standard, "", "a")}, [][]int{{0, 2}, {1}}},
		"without names":     {[]job{of(standard, "", ""), of(standard, "", "")}, [][]int{{0}, {1}}},
		"a fair queue":      {[]job{of(standard, "g", "a"), of(standard, "g", "b")}, [][]int{{0}, {1}}},
		"FIFO, by group":    {[]job{of(fifo, "g", "a"), of(fifo, "h", "a"), of(fifo, "g", "b")}, [][]int{{0, 2}, {1}}},
		"two queues":        {[]job{of(fifo, "g", "a"), of(standard, "", "g"), of(standard, "", "g")}, [][]int{{0}, {1, 2}}},
	} {
		got := lanes(tc.jobs)
		if !slices.EqualFunc(got, tc.want, slices.Equal[[]int]) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
