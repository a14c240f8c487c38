package producerapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/internal/schedule/scheduletest"
)

// laterBench is a bench with a token and a fake of EventBridge Scheduler.
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
	t.Run("schedule of an earlier message", testEarlierSchedule)
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

// A schedule is made for a time to come, also if the messages before it took longer than its delay.
func TestSchedule_late(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := schedule.NewLocal(func(context.Context, schedule.Message) {})
		defer local.Close()
		b := newBench(t, "orders.fifo", func(c *Config) { c.Scheduler, c.AuthTokens = local, []string{token} })
		for name, want := range map[string]time.Duration{"10": soonest, "60": 30 * time.Second} {
			s, err := MessageHeaders{Delay: name}.settings("", false, true, true)
			if err != nil {
				t.Fatal(err)
			}
			m := message{settings: s, name: name, body: body(name)}
			at, _, err := b.api.schedule(t.Context(), time.Now().Add(-30*time.Second), m)
			if err != nil || time.Until(at) != want {
				t.Errorf("delay %s: due in %s, %v; want %s", name, time.Until(at), err, want)
			}
		}
	})
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

// The schedule of an earlier message does not count for a message that it does not replace: a retry
// of a rejected name, or a message that comes after the schedule has run.
func testEarlierSchedule(t *testing.T) {
	b, server := laterBench(t, "orders")
	retry := []string{"X-Sqsonce-Retry-Rejected", "true"}
	reject := func(name string) {
		b.record(name, b.claim(name, body(name)), fail(protocol.FailPermanent, "no such customer"))
	}
	b.postLater(body("a"), "3h").want(http.StatusAccepted)
	reject("a") // by a message without a delay
	b.postLater(body("a"), "3h", retry...).wantField(http.StatusConflict, "X-Sqsonce-Retry-Rejected")
	b.do(http.MethodDelete, "/schedules/a", "", bearer...).want(http.StatusOK)
	first := decode[queued](b.postLater(body("a"), "3h", retry...).want(http.StatusAccepted))
	again := decode[queued](b.postLater(body("a"), "5h", retry...).want(http.StatusAccepted))
	if !again.ScheduledAt.Equal(first.ScheduledAt) || len(server.Schedules()) != 1 {
		t.Errorf("due at %s, then at %s; %d schedules", first.ScheduledAt, again.ScheduledAt, len(server.Schedules()))
	}

	past := newBench(t, "orders", func(c *Config) { c.Scheduler, c.AuthTokens = ranScheduler{t: t, text: body("a")}, []string{token} })
	past.postLater(body("a"), "3h").want(http.StatusAccepted) // its message is on the way
	past.record("a", past.claim("a", body("a")), fail(protocol.FailPermanent, "no such customer"))
	if got := past.postLater(body("a"), "3h", retry...).want(http.StatusServiceUnavailable); got.Header().Get("Retry-After") == "" {
		t.Error("the answer has no Retry-After")
	}
}

// ranScheduler is a scheduler whose schedule has run and is not removed yet.
type ranScheduler struct {
	schedule.Scheduler
	t    *testing.T
	text string // body of the message
}

func (s ranScheduler) Create(context.Context, string, schedule.Schedule) (time.Time, error) {
	return time.Time{}, schedule.ErrExists
}

func (s ranScheduler) Get(context.Context, string) (schedule.Schedule, error) {
	reason := map[string]schedule.Attribute{"sqsonce.reason": {DataType: "String", StringValue: "sent again"}}
	return schedule.Schedule{At: time.Now().Add(-time.Second), Message: schedule.Message{Body: s.text, Attributes: reason}}, nil
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
	b.do(http.MethodPost, batchPath, "["+body("a")+"]", append([]string{"X-Sqsonce-Delay", "8761h"}, bearer...)...).wantField(http.StatusBadRequest, "X-Sqsonce-Delay")
	plain := newBench(t, "orders", nil)
	plain.post(body("a"), "X-Sqsonce-Delay", "16m").wantField(http.StatusBadRequest, "X-Sqsonce-Delay")
	plain.do(http.MethodGet, "/messages/a", "").want(http.StatusNotFound)
}

// The problem of a bad delay says where it is, what it is, and which delays the server has.
func TestDelay_problem(t *testing.T) {
	const (
		year  = " must be whole seconds from 0 to 31536000 (a year), such as 30 or 3h"
		short = " must be whole seconds from 0 to 900, such as 30 or 30s"
		role  = "; a longer delay needs --schedule-role on the server"
		form  = ` must be a delay, such as 30 or "3h"`
	)
	for member, want := range map[string][2]string{
		`"soon"`:   {`in: "soon"` + year, `in: "soon"` + short},
		`1.5`:      {`in: "1.5"` + year, `in: "1.5"` + short},
		`-1`:       {`in: "-1"` + year, `in: "-1"` + short},
		`"1500ms"`: {`in: "1500ms"` + year, `in: "1500ms"` + short},
		`"8761h"`:  {`in: "8761h"` + year, `in: "8761h"` + short + role},
		`"16m"`:    {"", `in: "16m"` + short + role},
		`[3]`:      {`in: "[3]"` + form, `in: "[3]"` + form},
		`""`:       {`in: "\"\""` + form, `in: "\"\""` + form},
		`"` + strings.Repeat("x", 99) + `"`: {
			`in: "` + strings.Repeat("x", 60) + `"` + year, `in: "` + strings.Repeat("x", 60) + `"` + short,
		},
	} {
		for i, scheduling := range []bool{true, false} {
			got := ""
			_, err := settings{}.ownDelay("in", `{"name":"a","in":`+member+`}`, false, scheduling)
			if err != nil {
				got = err.Error()
			}
			if got != want[i] {
				t.Errorf("%s, scheduler %v: %q, want %q", member, scheduling, got, want[i])
			}
		}
	}
	const header = `X-Sqsonce-Delay: "soon"` + year
	_, _, err := delay(headerDelay, "soon", true, true)
	if err == nil || err.Error() != header {
		t.Errorf("error is %v, want %s", err, header)
	}
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

func TestBatchLater(t *testing.T) {
	t.Run("own delays", testOwnDelays)
	t.Run("FIFO", testOwnDelaysFIFO)
	t.Run("partial failures", testBatchLaterFailures)
	t.Run("scheduler in trouble", testBatchSchedulerInTrouble)
	t.Run("thousand", testThousandSchedules)
	t.Run("slow scheduler", testSlowScheduler)
}

// batchLater posts a batch with a delay for all, and a field of delays.
func (b *bench) batchLater(text, delay, field string) reply {
	b.t.Helper()
	headers := append([]string{"X-Sqsonce-Delay-Field", field}, bearer...)
	if delay != "" {
		headers = append(headers, "X-Sqsonce-Delay", delay)
	}
	return b.do(http.MethodPost, batchPath, text, headers...)
}

func testOwnDelays(t *testing.T) {
	b, server := laterBench(t, "orders")
	before := time.Now()
	got := decode[batchAnswer](b.batchLater(
		`[{"name":"day","in":"24h"},{"name":"minute","in":60},{"name":"now","in":0},{"name":"header"},{"name":"null","in":null}]`, "2h", "in").want(http.StatusAccepted))
	if got.Accepted != 5 {
		t.Fatalf("answer is %+v", got)
	}
	for i, after := range []time.Duration{24 * time.Hour, 0, 0, 2 * time.Hour, 2 * time.Hour} {
		it := got.Items[i]
		if it.Status != http.StatusAccepted || it.Location == "" || (it.MessageID == "") == (after == 0) || it.ScheduledAt.IsZero() != (after == 0) {
			t.Errorf("item %d is %+v", i, it)
		}
		if after > 0 && (it.ScheduledAt.Before(before.Add(after)) || it.ScheduledAt.After(time.Now().Add(after+time.Minute))) {
			t.Errorf("item %d is due at %s", i, it.ScheduledAt)
		}
	}
	if depth := decode[Depth](b.do(http.MethodGet, "/queue", "", bearer...).want(http.StatusOK)); depth != (Depth{Visible: 1, Delayed: 1}) || len(server.Schedules()) != 3 {
		t.Errorf("queue %+v, %d schedules", depth, len(server.Schedules()))
	}
	if err := server.Run(t.Context(), b.queue, got.Items[0].ScheduledAt); err != nil {
		t.Fatal(err)
	}
	sent := make(map[string]bool)
	for _, m := range b.received(b.url) {
		sent[*m.Body] = true
	}
	if !sent[`{"name":"day","in":"24h"}`] || !sent[`{"name":"header"}`] {
		t.Errorf("sent: %v", sent) // the field stays in the body
	}
	// The same batch again has the times of the first, and of known names the record.
	b.record("day", b.claim("day", `{"name":"day","in":"24h"}`), complete("1"))
	again := decode[batchAnswer](b.batchLater(`[{"name":"day","in":"24h"}]`, "", "in").want(http.StatusAccepted))
	if it := again.Items[0]; again.Accepted != 1 || it.Status != http.StatusOK || !it.ScheduledAt.IsZero() || it.Location == "" {
		t.Errorf("answer is %+v", again)
	}
}

func testOwnDelaysFIFO(t *testing.T) {
	b, server := laterBench(t, "orders.fifo")
	got := decode[batchAnswer](b.do(http.MethodPost, batchPath, `[{"name":"a"},{"name":"b","in":10},{"name":"c"},{"name":"d","in":"1h","x":"<aws.scheduler.y>"},{"name":"e"}]`,
		append([]string{"X-Sqsonce-Delay-Field", "in", "X-Sqsonce-Group", "g"}, bearer...)...).want(http.StatusOK))
	if got.Accepted != 4 || got.Items[1].ScheduledAt.IsZero() || got.Items[3].Status != http.StatusBadRequest {
		t.Errorf("answer is %+v", got)
	}
	var order []string
	for _, m := range b.received(b.url) {
		order = append(order, *m.Body)
	}
	if want := []string{body("a"), body("c"), body("e")}; !slices.Equal(order, want) {
		t.Errorf("sent %q, want %q", order, want)
	}
	if n := len(server.Schedules()); n != 1 {
		t.Errorf("%d schedules", n)
	}
}

func testBatchLaterFailures(t *testing.T) {
	b, server := laterBench(t, "orders")
	b.record("used", b.claim("used", body("used")), complete("1"))
	b.batchLater(`[{"name":"kept","total":1}]`, "3h", "").want(http.StatusAccepted)
	got := decode[batchAnswer](b.batchLater(`[{"name":"good","in":"3h"},{"name":"a","in":"soon"},{"name":"b","in":-1},{"name":"c","in":1.5},{"name":"d","in":"8761h"},`+
		`{"name":"e","in":[3]},{"name":"f","in":true},{"name":"g","in":""},{"in":"3h"},{"name":"used","in":"3h"},{"name":"kept","in":"3h"},{"name":"late"}]`, "", "in").want(http.StatusOK))
	want := []struct {
		status int
		field  string
	}{
		{202, ""}, {400, "in"}, {400, "in"}, {400, "in"}, {400, "in"}, {400, "in"}, {400, "in"}, {400, "in"}, {400, "name"}, {422, "body"}, {409, "body"}, {202, ""},
	}
	for i, it := range got.Items {
		field := ""
		if it.Problem != nil {
			field = it.Problem.Field
		}
		if it.Status != want[i].status || field != want[i].field {
			t.Errorf("item %d is %+v, %+v; want %v", i, it, it.Problem, want[i])
		}
	}
	if got.Accepted != 2 || len(server.Schedules()) != 2 {
		t.Errorf("%d accepted, %d schedules", got.Accepted, len(server.Schedules()))
	}
	// Without a scheduler the delays of SQS remain, each on its own.
	plain := decode[batchAnswer](newBench(t, "orders", nil).do(http.MethodPost, batchPath, `[{"name":"a","in":900},{"name":"b","in":901}]`, "X-Sqsonce-Delay-Field", "in").want(http.StatusOK))
	if plain.Accepted != 1 || plain.Items[1].Problem.Field != "in" || !strings.Contains(plain.Items[1].Problem.Detail, "--schedule-role") {
		t.Errorf("answer is %+v", plain)
	}
}

func testBatchSchedulerInTrouble(t *testing.T) {
	b, server := laterBench(t, "orders")
	server.Fail(&scheduletest.Failure{Status: http.StatusTooManyRequests, Type: "ThrottlingException", Text: "not now"})
	b.batchLater("["+body("a")+"]", "3h", "").want(http.StatusServiceUnavailable)
	text := `[{"name":"now"},{"name":"later","in":"3h"}]`
	got := decode[batchAnswer](b.batchLater(text, "", "in").want(http.StatusOK))
	if got.Accepted != 1 || got.Items[1].Status != http.StatusServiceUnavailable {
		t.Errorf("answer is %+v", got)
	}
	server.Fail(nil)
	if again := decode[batchAnswer](b.batchLater(text, "", "in").want(http.StatusAccepted)); again.Accepted != 2 || len(server.Schedules()) != 1 {
		t.Errorf("answer is %+v", again)
	}
}

// The largest batch: every message has its schedule, in the order of the request.
func testThousandSchedules(t *testing.T) {
	b, server := laterBench(t, "orders")
	var lines strings.Builder
	for i := range maxItems {
		fmt.Fprintf(&lines, `{"name":"n%d","in":%d}`+"\n", i, 3600+60*i)
	}
	r := request(http.MethodPost, batchPath, lines.String(), append([]string{"X-Sqsonce-Delay-Field", "in"}, bearer...)...)
	r.Header.Set("Content-Type", ndjson)
	got := decode[batchAnswer](b.serve(r).want(http.StatusAccepted))
	if got.Accepted != maxItems || len(server.Schedules()) != maxItems {
		t.Fatalf("%d accepted, %d schedules", got.Accepted, len(server.Schedules()))
	}
	for i, it := range got.Items {
		if it.Name != fmt.Sprintf("n%d", i) || i > 0 && !it.ScheduledAt.After(got.Items[i-1].ScheduledAt) {
			t.Fatalf("item %d is %+v", i, it)
		}
	}
}

// slowScheduler takes 25 seconds for each schedule.
type slowScheduler struct{ schedule.Scheduler }

func (s slowScheduler) Create(ctx context.Context, name string, what schedule.Schedule) (time.Time, error) {
	time.Sleep(25 * time.Second)
	return s.Scheduler.Create(ctx, name, what)
}

// A batch begins no schedule after a minute: of 100 messages, 20 at a time, three rounds begin.
func testSlowScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := schedule.NewLocal(nil) // of which nothing is due
		defer local.Close()
		b := newBench(t, "orders", func(c *Config) { c.Scheduler, c.AuthTokens = slowScheduler{local}, []string{token} })
		got := decode[batchAnswer](b.batchLater("["+strings.Join(bodies(100), ",")+"]", "3h", "").want(http.StatusOK))
		unsent := 0
		for _, it := range got.Items {
			if it.Status == http.StatusServiceUnavailable && strings.HasPrefix(it.Problem.Detail, "not sent") {
				unsent++
			}
		}
		if got.Accepted != 3*schedulesAtATime || unsent != 100-3*schedulesAtATime {
			t.Errorf("%d accepted, %d not sent", got.Accepted, unsent)
		}
	})
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
	cancel("sent").wantField(http.StatusConflict, "name") // its message is in the queue
	b.record("sent", b.claim("sent", body("sent")))
	cancel("sent").wantField(http.StatusConflict, "name")

	b.postLater(body("both"), "3h").want(http.StatusAccepted)
	b.record("both", b.claim("both", body("both"))) // by a message without a delay
	cancel("both").wantField(http.StatusConflict, "name")

	b.record("bad", b.claim("bad", body("bad")), fail(protocol.FailPermanent, "no such customer"))
	cancel("bad").wantField(http.StatusConflict, "name") // rejected and not scheduled
	b.postLater(body("bad"), "3h", "X-Sqsonce-Retry-Rejected", "true").want(http.StatusAccepted)
	cancel("bad").want(http.StatusOK) // the scheduled retry is cancelled

	b.record("open", b.claim("open", body("open")), fail(protocol.FailPermanent, "no such customer"), protocol.Reopen{Now: time.Now(), Terms: terms})
	cancel("open").wantField(http.StatusConflict, "name") // re-opened and not scheduled
	b.postLater(body("open"), "3h").want(http.StatusAccepted)
	cancel("open").want(http.StatusOK)

	operatorBench(t, "orders").do(http.MethodDelete, "/schedules/a", "", bearer...).wantField(http.StatusNotImplemented, "name")
}

// dueScheduler is a scheduler whose schedules are all being sent.
type dueScheduler struct {
	schedule.Scheduler
	t *testing.T
}

func (s dueScheduler) Get(context.Context, string) (schedule.Schedule, error) {
	return schedule.Schedule{At: time.Now()}, nil
}

func (s dueScheduler) Delete(context.Context, string) error {
	s.t.Error("a schedule was deleted while its message was being sent")
	return nil
}

func TestCancel_due(t *testing.T) {
	b := newBench(t, "orders", func(c *Config) { c.Scheduler, c.AuthTokens = dueScheduler{t: t}, []string{token} })
	b.do(http.MethodDelete, "/schedules/a", "", bearer...).wantField(http.StatusConflict, "name")
}

// With the local scheduler, the message arrives after the delay, not before, and can no longer be
// cancelled.
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
