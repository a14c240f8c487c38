package producerapi

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/internal/schedule/scheduletest"
)

// laterBench is a bench with the fake of EventBridge Scheduler and a token.
func laterBench(t *testing.T, queue string) (*bench, *scheduletest.Server) {
	t.Helper()
	server := scheduletest.New(t)
	scheduling, err := schedule.New(server.Client(), schedule.Config{RoleARN: "arn:aws:iam::123456789012:role/later"})
	if err != nil {
		t.Fatal(err)
	}
	return newBench(t, queue, func(c *Config) {
		c.Scheduler, c.AuthTokens, c.PathPrefixes = scheduling, []string{token}, []string{"/v1"}
	}), server
}

// postLater posts a message with a delay.
func (b *bench) postLater(text, delay string, headers ...string) reply {
	b.t.Helper()
	return b.post(text, append(append([]string{"X-Sqsonce-Delay", delay}, bearer...), headers...)...)
}

func TestPostLater(t *testing.T) {
	t.Run("message is sent when it is due", testSentWhenDue)
	t.Run("two posts are one", testTwoPostsAreOne)
	t.Run("known name is not scheduled", testKnownNameIsNotScheduled)
	t.Run("delay of SQS", testDelayOfSQS)
	t.Run("refused", testLaterRefused)
	t.Run("scheduler in trouble", testSchedulerInTrouble)
	t.Run("mirrored request", testMirroredLater)
}

func testSentWhenDue(t *testing.T) {
	b, server := laterBench(t, "orders")
	before := time.Now()
	got := decode[queued](b.postLater(body("order-17"), "3h", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").want(http.StatusAccepted))
	if got.Status != "SCHEDULED" || got.MessageID != "" || got.ScheduledAt.Before(before.Add(3*time.Hour)) || got.ScheduledAt.After(time.Now().Add(3*time.Hour+time.Minute)) {
		t.Fatalf("answer is %+v", got)
	}
	read := b.do(http.MethodGet, "/messages/order-17", "", bearer...).want(http.StatusOK)
	if r := decode[Record](read); r.Status != "SCHEDULED" || !r.ScheduledAt.Equal(got.ScheduledAt) || r.Final {
		t.Errorf("record is %+v", r)
	}
	b.do(http.MethodGet, "/messages/order-17", "", append([]string{"If-None-Match", read.Header().Get("ETag")}, bearer...)...).want(http.StatusNotModified)
	if all := b.received(b.url); len(all) != 0 {
		t.Fatalf("sent at once: %v", all)
	}
	if err := server.Run(t.Context(), b.queue, got.ScheduledAt); err != nil {
		t.Fatal(err)
	}
	all := b.received(b.url)
	if len(all) != 1 || *all[0].Body != body("order-17") {
		t.Fatalf("sent: %v", all)
	}
	for _, name := range []string{"sqsonce.name", "traceparent"} {
		if all[0].MessageAttributes[name].StringValue == nil {
			t.Errorf("the message lacks %s: %v", name, all[0].MessageAttributes)
		}
	}
	b.do(http.MethodGet, "/messages/order-17", "", bearer...).want(http.StatusNotFound)
}

func testTwoPostsAreOne(t *testing.T) {
	b, server := laterBench(t, "orders")
	first := decode[queued](b.postLater(`{"name":"a","total":1}`, "3h").want(http.StatusAccepted))
	again := decode[queued](b.postLater(`{"total":1, "name":"a"}`, "5h", "Prefer", "wait=60").want(http.StatusAccepted))
	if !again.ScheduledAt.Equal(first.ScheduledAt) || len(server.Schedules()) != 1 {
		t.Errorf("the second post is due at %s, the first at %s; %d schedules", again.ScheduledAt, first.ScheduledAt, len(server.Schedules()))
	}
	b.postLater(`{"name":"a","total":2}`, "3h").wantField(http.StatusConflict, "body")
}

func testKnownNameIsNotScheduled(t *testing.T) {
	b, server := laterBench(t, "orders")
	b.record("a", b.claim("a", body("a")), complete("1"))
	if r := decode[Record](b.postLater(body("a"), "3h").want(http.StatusOK)); r.Status != "COMPLETED" {
		t.Errorf("answer is %+v", r)
	}
	b.postLater(`{"name":"a","total":2}`, "3h").wantField(http.StatusUnprocessableEntity, "body")
	if n := len(server.Schedules()); n != 0 {
		t.Errorf("%d schedules", n)
	}
}

func testDelayOfSQS(t *testing.T) {
	b, server := laterBench(t, "orders")
	if got := decode[queued](b.postLater(body("a"), "15m").want(http.StatusAccepted)); got.Status != "QUEUED" || got.MessageID == "" {
		t.Errorf("answer is %+v", got)
	}
	fifo, fifoServer := laterBench(t, "orders.fifo")
	got := decode[queued](fifo.postLater(body("a"), "10", "X-Sqsonce-Group", "g").want(http.StatusAccepted))
	if got.Status != "SCHEDULED" || len(server.Schedules()) != 0 || len(fifoServer.Schedules()) != 1 {
		t.Errorf("answer is %+v", got)
	}
	if err := fifoServer.Run(t.Context(), fifo.queue, got.ScheduledAt); err != nil {
		t.Fatal(err)
	}
	if all := fifo.received(fifo.url); len(all) != 1 || all[0].Attributes["MessageGroupId"] != "g" {
		t.Errorf("sent: %v", all)
	}
}

func testLaterRefused(t *testing.T) {
	b, _ := laterBench(t, "orders")
	for _, delay := range []string{"8761h", "-1h", "1500ms", "soon", "99999999999"} {
		b.postLater(body("a"), delay).wantField(http.StatusBadRequest, "X-Sqsonce-Delay")
	}
	b.postLater(`{"name":"a","text":"<aws.scheduler.execution-id>"}`, "3h").wantField(http.StatusBadRequest, "body")
	b.postLater(`{"name":"a","text":"`+strings.Repeat("x", 256<<10)+`"}`, "3h").wantField(http.StatusRequestEntityTooLarge, "body")
	b.do(http.MethodPost, "/messages:batch", "["+body("a")+"]", append([]string{"X-Sqsonce-Delay", "3h"}, bearer...)...).wantField(http.StatusBadRequest, "X-Sqsonce-Delay")
	plain := newBench(t, "orders", nil)
	plain.post(body("a"), "X-Sqsonce-Delay", "16m").wantField(http.StatusBadRequest, "X-Sqsonce-Delay")
	plain.do(http.MethodGet, "/messages/a", "").want(http.StatusNotFound)
}

func testSchedulerInTrouble(t *testing.T) {
	b, server := laterBench(t, "orders")
	for _, kind := range []string{"AccessDeniedException", "ThrottlingException"} {
		status := map[string]int{"AccessDeniedException": http.StatusForbidden, "ThrottlingException": http.StatusTooManyRequests}[kind]
		server.Fail(&scheduletest.Failure{Status: status, Type: kind, Text: "not now"})
		b.postLater(body("a"), "3h").want(http.StatusServiceUnavailable)
		b.do(http.MethodGet, "/messages/a", "", bearer...).want(http.StatusServiceUnavailable)
		b.do(http.MethodDelete, "/schedules/a", "", bearer...).want(http.StatusServiceUnavailable)
	}
	server.Fail(nil)
	b.postLater(body("a"), "3h").want(http.StatusAccepted)
}

func testMirroredLater(t *testing.T) {
	b, server := laterBench(t, "orders")
	got := decode[queued](b.mirrored(http.MethodPut, "/v1/orders/17", `{"total":1}`,
		append([]string{"X-Sqsonce-Delay", "3h", "Idempotency-Key", "order-17"}, bearer...)...).want(http.StatusAccepted))
	if got.Status != "SCHEDULED" || len(server.Schedules()) != 1 {
		t.Fatalf("answer is %+v", got)
	}
	if err := server.Run(t.Context(), b.queue, got.ScheduledAt); err != nil {
		t.Fatal(err)
	}
	if all := b.received(b.url); len(all) != 1 || all[0].MessageAttributes["sqsonce.path"].StringValue == nil {
		t.Errorf("sent: %v", all)
	}
}

func TestCancel(t *testing.T) {
	b, server := laterBench(t, "orders")
	cancel := func(path string) reply { return b.do(http.MethodDelete, "/schedules/"+path, "", bearer...) }
	at := decode[queued](b.postLater(`{"name":"a/b c"}`, "3h").want(http.StatusAccepted)).ScheduledAt
	b.do(http.MethodDelete, "/schedules/a%2Fb%20c", "").want(http.StatusUnauthorized)
	if got := decode[cancelled](cancel("a%2Fb%20c").want(http.StatusOK)); got.Status != "CANCELLED" || got.Name != "a/b c" || !got.ScheduledAt.Equal(at) {
		t.Errorf("answer is %+v", got)
	}
	if len(server.Schedules()) != 0 {
		t.Error("the schedule is still there")
	}
	cancel("a%2Fb%20c").wantField(http.StatusConflict, "name")
	cancel("never").wantField(http.StatusConflict, "name")
	cancel("%01").wantField(http.StatusBadRequest, "name")

	due := decode[queued](b.postLater(body("sent"), "3h").want(http.StatusAccepted))
	if err := server.Run(t.Context(), b.queue, due.ScheduledAt); err != nil {
		t.Fatal(err)
	}
	cancel("sent").wantField(http.StatusConflict, "name") // it waits in the queue
	b.record("sent", b.claim("sent", body("sent")))
	cancel("sent").wantField(http.StatusConflict, "name")

	b.postLater(body("both"), "3h").want(http.StatusAccepted)
	b.record("both", b.claim("both", body("both"))) // by a message without a delay
	cancel("both").wantField(http.StatusConflict, "name")

	b.record("bad", b.claim("bad", body("bad")), fail(protocol.FailPermanent, "no such customer"))
	cancel("bad").wantField(http.StatusConflict, "name") // rejected, and not scheduled
	b.postLater(body("bad"), "3h", "X-Sqsonce-Retry-Rejected", "true").want(http.StatusAccepted)
	cancel("bad").want(http.StatusOK) // it would have run again

	operatorBench(t, "orders").do(http.MethodDelete, "/schedules/a", "", bearer...).wantField(http.StatusNotImplemented, "name")
}

// In one process, by timers: the message is there after the delay, not before, and cannot be
// cancelled any more.
func TestLocalSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *bench
		local := schedule.NewLocal(func(ctx context.Context, m schedule.Message) {
			if err := m.Send(ctx, b.queue); err != nil {
				t.Error(err)
			}
		})
		defer local.Close()
		b = newBench(t, "orders", func(c *Config) { c.Scheduler, c.AuthTokens = local, []string{token} })
		at := decode[queued](b.postLater(body("a"), "3h").want(http.StatusAccepted)).ScheduledAt
		if want := time.Now().Add(3 * time.Hour); !at.Equal(want) {
			t.Errorf("due at %s, want %s", at, want)
		}
		time.Sleep(3*time.Hour - time.Second)
		if all := b.received(b.url); len(all) != 0 {
			t.Errorf("early: %v", all)
		}
		time.Sleep(2 * time.Second)
		if all := b.received(b.url); len(all) != 1 {
			t.Errorf("sent: %v", all)
		}
		b.do(http.MethodDelete, "/schedules/a", "", bearer...).wantField(http.StatusConflict, "name")
	})
}
