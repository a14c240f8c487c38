package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/sqstest"
)

// failure is an error with the behaviour that it names.
type failure string

func (f failure) Error() string     { return string(f) }
func (f failure) Deferred() bool    { return f == "deferred" }
func (f failure) Permanent() bool   { return f == "permanent" }
func (f failure) Unavailable() bool { return f == "unavailable" }
func (f failure) Keep() bool        { return f == "kept" }

func TestConsumerIsCounted(t *testing.T) {
	tele, _ := newTelemetry(t)
	hooks := tele.ConsumerHooks()
	hooks.Received(3, time.Second)
	hooks.Received(0, time.Second)
	hooks.Handled(consumer.Message{}, consumer.Disposition{Action: consumer.Delete}, time.Second)
	hooks.Handled(consumer.Message{}, consumer.Disposition{Action: consumer.DeadLetter, Reason: "mismatch"}, time.Second)
	hooks.Handled(consumer.Message{}, consumer.Disposition{Action: consumer.DeadLetter, Reason: "my own words"}, time.Second)
	hooks.DeadLettered(consumer.Message{}, consumer.Disposition{Reason: "mismatch"})
	hooks.Answered("DeleteMessageBatch", 10, 1, time.Second)
	if err := tele.Watch(func() consumer.Stats {
		return consumer.Stats{State: consumer.Held, Slots: 50, Running: 7, Held: 2, Limited: 5, Parked: 1, Acks: 4, Polls: 3, Down: []string{"target"}}
	}, "target", "store"); err != nil {
		t.Fatal(err)
	}

	queue := map[string]string{"messaging_system": "aws_sqs", "messaging_destination_name": "jobs"}
	got := scrape(t, tele)
	expect(t, got, "messaging_client_consumed_messages_total", queue, 3)
	expect(t, got, "messaging_client_consumed_messages_total", map[string]string{"messaging_operation_name": "receive"}, 3)
	expect(t, got, "sqsonce_receive_size", queue, 2)
	expect(t, got, "sqsonce_handled_total", map[string]string{"outcome": "delete", "reason": ""}, 1)
	expect(t, got, "sqsonce_handled_total", map[string]string{"outcome": "dead-letter", "reason": "mismatch"}, 1)
	expect(t, got, "sqsonce_handled_total", map[string]string{"outcome": "dead-letter", "reason": "other"}, 1)
	expect(t, got, "sqsonce_dead_letters_total", map[string]string{"reason": "mismatch"}, 1)
	expect(t, got, "sqsonce_ack_size", map[string]string{"operation": "DeleteMessageBatch"}, 1)
	for name, want := range map[string]float64{
		"sqsonce_slots": 50, "sqsonce_slots_taken": 7, "sqsonce_held": 2, "sqsonce_limited": 5, "sqsonce_parked": 1,
		"sqsonce_acks_unanswered": 4, "sqsonce_polls": 3,
	} {
		expect(t, got, name, queue, want)
	}
	for name, want := range map[string]float64{"target": 1, "store": 0} {
		expect(t, got, "sqsonce_down", map[string]string{"dependency": name}, want)
	}
	for name, want := range map[string]float64{"held": 1, "running": 0} {
		expect(t, got, "sqsonce_state", map[string]string{"state": name}, want)
	}
	expect(t, got, "target_info", map[string]string{"service_name": "sqsonce-worker", "service_version": "v1.2.3"}, 1)
	if _, series := got.Sum("go_goroutines", nil); series == 0 {
		t.Error("nothing of the process itself")
	}
}

// Two queues of one process have series of their own.
func TestQueue(t *testing.T) {
	jobs, _ := newTelemetry(t)
	mails := jobs.Telemetry.Queue("mails")
	for n, q := range []*Queue{jobs, mails} {
		for range n + 1 {
			q.ConsumerHooks().Handled(consumer.Message{}, consumer.Disposition{Action: consumer.Delete}, time.Second)
			q.DedupeHooks().Settled(dedupe.Attempt{}, "completed", time.Second, nil)
		}
		if err := q.Watch(func() consumer.Stats { return consumer.Stats{Slots: 10 * (n + 1)} }); err != nil {
			t.Fatal(err)
		}
	}
	got := scrape(t, jobs)
	for queue, n := range map[string]float64{"jobs": 1, "mails": 2} {
		of := map[string]string{"messaging_destination_name": queue}
		expect(t, got, "sqsonce_handled_total", of, n)
		expect(t, got, "sqsonce_attempts_total", of, n)
		expect(t, got, "sqsonce_slots", of, 10*n)
	}
}

func TestMetrics(t *testing.T) {
	t.Run("handling is measured by outcome", testHandlingIsMeasuredByOutcome)
	t.Run("metrics do not grow with messages", testMetricsDoNotGrowWithMessages)
	t.Run("calls to AWS are counted", testCallsToAWSAreCounted)
}

func testHandlingIsMeasuredByOutcome(t *testing.T) {
	tele, _ := newTelemetry(t)
	outcomes := map[string]error{
		"done": nil, "failed": errors.New("no"), "stopped": fmt.Errorf("x: %w", context.Canceled),
		"deferred": failure("deferred"), "permanent": failure("permanent"),
		"unavailable": failure("unavailable"), "kept": fmt.Errorf("x: %w", failure("kept")),
	}
	for _, err := range outcomes {
		h := tele.Middleware()(func(context.Context, consumer.Message) error { return err })
		if got := h(t.Context(), consumer.Message{ID: "m", SentAt: time.Now().Add(-time.Minute)}); !errors.Is(got, err) {
			t.Errorf("error %v became %v", err, got)
		}
	}
	got := scrape(t, tele)
	for outcome := range outcomes {
		expect(t, got, "messaging_process_duration_seconds", map[string]string{"outcome": outcome, "messaging_operation_name": "process"}, 1)
	}
	for outcome, err := range outcomes {
		failed := err != nil && outcome != "deferred"
		if _, typed := got.Sum("messaging_process_duration_seconds", map[string]string{"outcome": outcome, "error_type": outcome}); (typed > 0) != failed {
			t.Errorf("%s: has an error.type: %t", outcome, !failed)
		}
	}
	n, _ := got.Sum("sqsonce_dwell_seconds_count", nil)
	if sum, _ := got.Sum("sqsonce_dwell_seconds_sum", nil); n != float64(len(outcomes)) || sum < 60*n {
		t.Errorf("dwelt %v times, %v s in all", n, sum)
	}
}

func testMetricsDoNotGrowWithMessages(t *testing.T) {
	tele, _ := newTelemetry(t)
	hooks := tele.ConsumerHooks()
	series := func(n int) (all int) {
		for i := range n {
			id := fmt.Sprint("m", i)
			m := consumer.Message{ID: id, Body: fmt.Sprintf(`{"name":%q}`, id)}
			h := tele.Middleware()(func(context.Context, consumer.Message) error { return errors.New(id) })
			err := h(t.Context(), m)
			hooks.Handled(m, consumer.Disposition{Action: consumer.DeadLetter, Reason: id, Err: err}, time.Second)
			hooks.DeadLettered(m, consumer.Disposition{Reason: id})
		}
		for name, series := range scrape(t, tele) {
			if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
				all += len(series)
			}
		}
		return all
	}
	if one, many := series(1), series(1000); one != many {
		t.Errorf("%d series after one message, %d after many", one, many)
	}
}

func testCallsToAWSAreCounted(t *testing.T) {
	tele, _ := newTelemetry(t)
	server := sqstest.New(sqstest.Config{})
	cfg := server.AWSConfig()
	tele.InstrumentAWS(&cfg)
	client := sqs.NewFromConfig(cfg)
	created, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		if lost++; c.Operation == "SendMessage" && lost == 1 {
			return sqstest.Fault{LoseAnswer: true}
		}
		return sqstest.Fault{}
	})
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: created.QueueUrl, MessageBody: aws.String("{}")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("none")}); err == nil {
		t.Fatal("a queue that is none was found")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = client.ReceiveMessage(gone, &sqs.ReceiveMessageInput{QueueUrl: created.QueueUrl})

	got := scrape(t, tele)
	for _, tc := range []struct {
		operation, err string
		want           float64
	}{
		{"CreateQueue", "", 1},
		{"SendMessage", "connection", 1}, // tried again by the SDK
		{"SendMessage", "", 1},
		{"GetQueueUrl", "AWS.SimpleQueueService.NonExistentQueue", 1},
	} {
		expect(t, got, "sqsonce_aws_calls_total", map[string]string{"service": "SQS", "operation": tc.operation, "error": tc.err}, tc.want)
	}
	expect(t, got, "sqsonce_aws_duration_seconds", map[string]string{"service": "SQS", "operation": "SendMessage"}, 2)
}

func TestExemplarsNameTheTrace(t *testing.T) {
	tele, spans := newTelemetry(t)
	h := tele.Middleware()(func(context.Context, consumer.Message) error { return nil })
	if err := h(t.Context(), consumer.Message{ID: "m"}); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", "application/openmetrics-text")
	w := httptest.NewRecorder()
	tele.Handler().ServeHTTP(w, r)
	if want := `trace_id="` + spans.GetSpans()[0].SpanContext.TraceID().String() + `"`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("no exemplar with %s", want)
	}
}

func TestGuardIsCounted(t *testing.T) {
	tele, _ := newTelemetry(t)
	hooks := tele.DedupeHooks()
	hooks.TookOver(dedupe.Attempt{})
	for _, kind := range []string{"recorded", "cached", "joined"} {
		hooks.Replayed(dedupe.Attempt{Name: "a"}, kind)
	}
	hooks.Deferred(dedupe.Attempt{Name: "a"}, time.Second)
	hooks.Refused(dedupe.Attempt{Name: "a"}, "mismatch")
	hooks.LeaseLost(dedupe.Attempt{})
	hooks.CompletedLate(dedupe.Attempt{})
	hooks.Settled(dedupe.Attempt{}, "completed", time.Second, nil)
	hooks.OwnWrite(dedupe.Attempt{Name: "a"}, "complete")
	hooks.StoreFailed(dedupe.Attempt{Name: "a"}, "claim", errors.New("no"))
	tele.BatchRefused("BatchExecuteStatement", errors.New("no"))
	got := scrape(t, tele)
	for _, kind := range []string{"replayed", "cached", "joined", "deferred"} {
		expect(t, got, "sqsonce_duplicates_total", map[string]string{"kind": kind}, 1)
	}
	for name, labels := range map[string]map[string]string{
		"sqsonce_takeovers_total": nil, "sqsonce_leases_lost_total": nil, "sqsonce_completions_late_total": nil,
		"sqsonce_refused_total":          {"reason": "mismatch"},
		"sqsonce_attempts_total":         {"outcome": "completed"},
		"sqsonce_writes_recovered_total": {"operation": "complete"},
		"sqsonce_store_errors_total":     {"operation": "claim"},
	} {
		expect(t, got, name, labels, 1)
	}
}
