package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
)

func TestLog(t *testing.T) {
	t.Run("log lines of a message say which attempt it is", testLogLinesOfAMessageSayWhichAttemptItIs)
	t.Run("another try is not the attempt before", testAnotherTryIsNotTheAttemptBefore)
}

func testLogLinesOfAMessageSayWhichAttemptItIs(t *testing.T) {
	tele, spans := newTelemetry(t)
	h := tele.Middleware()(func(ctx context.Context, m consumer.Message) error {
		tele.Attempt(ctx, dedupe.Attempt{Name: "a", MessageID: m.ID, Number: 3, Fence: 77})
		return nil
	})
	if err := h(t.Context(), consumer.Message{ID: "m-1"}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := slog.New(tele.LogHandler(slog.NewJSONHandler(&out, nil)))
	trace := spans.GetSpans()[0].SpanContext.TraceID().String()
	for name, tc := range map[string]struct {
		say  func()
		want map[string]any // of attempt, fence and trace_id
	}{
		"of the message": {func() { log.Info("x", "message_id", "m-1") }, map[string]any{"attempt": 3., "fence": 77., "trace_id": trace}},
		"with the id before": {
			func() { log.With("message_id", "m-1").Info("x", "attempt", 4) },
			map[string]any{"attempt": 4., "fence": 77., "trace_id": trace},
		},
		"of another message": {func() { log.Info("x", "message_id", "m-2") }, nil},
		"of none":            {func() { log.Info("x") }, nil},
		"in a group":         {func() { log.WithGroup("g").Info("x", "message_id", "m-1") }, nil},
	} {
		out.Reset()
		tc.say()
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"attempt", "fence", "trace_id"} {
			if line[key] != tc.want[key] {
				t.Errorf("%s: %s is %v, want %v", name, key, line[key], tc.want[key])
			}
		}
	}
}

// The fields of a message are those of its last try, in place or in another delivery.
func testAnotherTryIsNotTheAttemptBefore(t *testing.T) {
	telemetry, err := New(t.Context(), Config{}) // without traces
	if err != nil {
		t.Fatal(err)
	}
	tele := telemetry.Queue("jobs")
	var before logFields
	for i, receive := range []int{1, 1, 2} {
		number := i + 1
		h := tele.Middleware()(func(ctx context.Context, m consumer.Message) error {
			before, _ = tele.messages.get("m-1")
			tele.Attempt(ctx, dedupe.Attempt{Name: "a", MessageID: m.ID, Number: number})
			return nil
		})
		if err := h(t.Context(), consumer.Message{ID: "m-1", ReceiveCount: receive}); err != nil {
			t.Fatal(err)
		}
		after, ok := tele.messages.get("m-1")
		if before.attempt != 0 || !ok || after.attempt != number {
			t.Errorf("try %d: attempt %d before it was told, %d after", number, before.attempt, after.attempt)
		}
	}
}

func TestMessages(t *testing.T) {
	var m messages
	m.init()
	for i := range 3 * maxMessages {
		m.begin(fmt.Sprint(i), logFields{attempt: i})
		m.begin(fmt.Sprint(i), logFields{attempt: i + 1})
	}
	if n := m.latest.Len(); n != maxMessages {
		t.Errorf("%d are kept, want %d", n, maxMessages)
	}
	if _, ok := m.get("0"); ok {
		t.Error("the first message is still known")
	}
	last := 3*maxMessages - 1
	if known, ok := m.get(fmt.Sprint(last)); !ok || known.attempt != last+1 {
		t.Errorf("of the last message is known %+v", known)
	}
}
