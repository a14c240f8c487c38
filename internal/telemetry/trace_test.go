package telemetry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
)

const (
	traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	sameAsXRay  = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"
	otherXRay   = "Sampled=1;Parent=53995c3f42cd8ad8;Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a:0"
)

// sentWith is a message whose producer was traced so.
func sentWith(parent, xray string) consumer.Message {
	m := consumer.Message{ID: "m-1", Body: `{"name":"a"}`, ReceiveCount: 2, TraceHeader: xray}
	if parent != "" {
		m.Attributes = map[string]types.MessageAttributeValue{"traceparent": {StringValue: &parent}}
	}
	return m
}

func TestTrace(t *testing.T) {
	t.Run("span is linked to the producer", testSpanIsLinkedToTheProducer)
	t.Run("failure is on the span and a deferral is none", testFailureIsOnTheSpanAndADeferralIsNone)
	t.Run("span of a panic ends", testSpanOfAPanicEnds)
	t.Run("producers trace is passed on without tracing", testProducersTraceIsPassedOnWithoutTracing)
	t.Run("traces and metrics go where the environment says", testTracesAndMetricsGoWhereTheEnvironmentSays)
}

func testSpanIsLinkedToTheProducer(t *testing.T) {
	for name, tc := range map[string]struct {
		parent, xray string
		want         []string // trace and span ids
	}{
		"traceparent":           {traceparent, "", []string{"4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7"}},
		"AWSTraceHeader":        {"", otherXRay, []string{"5759e988bd862e3fe1be46a994272793 53995c3f42cd8ad8"}},
		"both, the same":        {traceparent, sameAsXRay, []string{"4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7"}},
		"both, different":       {traceparent, otherXRay, []string{"4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7", "5759e988bd862e3fe1be46a994272793 53995c3f42cd8ad8"}},
		"neither":               {"", "", nil},
		"header without parent": {"", "Root=1-5759e988-bd862e3fe1be46a994272793", nil},
		"nonsense":              {"00-zz", "Root=2-x;Parent=;;=", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tele, spans := newTelemetry(t)
			h := tele.Middleware()(func(ctx context.Context, m consumer.Message) error {
				tele.Attempt(ctx, dedupe.Attempt{Name: "a", MessageID: m.ID, Number: 3, Fence: 77})
				if parent := tele.Traceparent(ctx); !strings.Contains(parent, trace.SpanContextFromContext(ctx).SpanID().String()) {
					t.Errorf("traceparent for the target is %q", parent)
				}
				return nil
			})
			if err := h(t.Context(), sentWith(tc.parent, tc.xray)); err != nil {
				t.Fatal(err)
			}
			got := spans.GetSpans()
			if len(got) != 1 {
				t.Fatalf("%d spans, want 1", len(got))
			}
			span := got[0]
			var links []string
			for _, l := range span.Links {
				links = append(links, l.SpanContext.TraceID().String()+" "+l.SpanContext.SpanID().String())
			}
			if strings.Join(links, ", ") != strings.Join(tc.want, ", ") {
				t.Errorf("links are %v, want %v", links, tc.want)
			}
			if span.Parent.IsValid() {
				t.Errorf("span has a parent: %v", span.Parent)
			}
			if span.Name != "process jobs" || span.SpanKind != trace.SpanKindConsumer {
				t.Errorf("span is %q of kind %s", span.Name, span.SpanKind)
			}
			attributes := attribute.NewSet(span.Attributes...)
			for key, want := range map[attribute.Key]string{
				"messaging.system": "aws_sqs", "messaging.destination.name": "jobs", "messaging.message.id": "m-1",
				"messaging.operation.type": "process", "messaging.operation.name": "process", "messaging.message.body.size": "12",
				"sqsonce.name": "a", "sqsonce.attempt": "3", "sqsonce.fence": "77", "sqsonce.outcome": "done", "sqsonce.receive_count": "2",
			} {
				if v, _ := attributes.Value(key); v.Emit() != want {
					t.Errorf("%s is %q, want %q", key, v.Emit(), want)
				}
			}
		})
	}
}

func testFailureIsOnTheSpanAndADeferralIsNone(t *testing.T) {
	for err, want := range map[error]codes.Code{
		errors.New("no"): codes.Error, failure("permanent"): codes.Error, failure("deferred"): codes.Unset,
	} {
		tele, spans := newTelemetry(t)
		h := tele.Middleware()(func(context.Context, consumer.Message) error { return err })
		_ = h(t.Context(), consumer.Message{ID: "m"})
		if got := spans.GetSpans()[0].Status.Code; got != want {
			t.Errorf("%v: status is %s", err, got)
		}
		typed := slices.ContainsFunc(spans.GetSpans()[0].Attributes, func(kv attribute.KeyValue) bool { return kv.Key == "error.type" })
		if typed != (want == codes.Error) {
			t.Errorf("%v: has an error.type: %t", err, typed)
		}
	}
}

func testSpanOfAPanicEnds(t *testing.T) {
	tele, spans := newTelemetry(t)
	h := tele.Middleware()(func(context.Context, consumer.Message) error { panic("no") })
	func() {
		defer func() { _ = recover() }()
		_ = h(t.Context(), consumer.Message{ID: "m"})
	}()
	if len(spans.GetSpans()) != 1 {
		t.Error("no span")
	}
}

func testProducersTraceIsPassedOnWithoutTracing(t *testing.T) {
	telemetry, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	tele := telemetry.Queue("jobs")
	for _, m := range []consumer.Message{sentWith(traceparent, ""), sentWith("", sameAsXRay)} {
		h := tele.Middleware()(func(ctx context.Context, _ consumer.Message) error {
			if got := tele.Traceparent(ctx); got != traceparent {
				t.Errorf("traceparent is %q", got)
			}
			return nil
		})
		_ = h(t.Context(), m)
	}
	_ = tele.Middleware()(func(ctx context.Context, _ consumer.Message) error {
		if got := tele.Traceparent(ctx); got != "" {
			t.Errorf("traceparent is %q", got)
		}
		return nil
	})(t.Context(), sentWith("", ""))
}

func testTracesAndMetricsGoWhereTheEnvironmentSays(t *testing.T) {
	var mu sync.Mutex
	got := make(map[string]int)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] += len(body)
	}))
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	t.Setenv("OTEL_SERVICE_NAME", "orders")
	telemetry, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	tele := telemetry.Queue("jobs")
	h := tele.Middleware()(func(context.Context, consumer.Message) error { return nil })
	_ = h(t.Context(), consumer.Message{ID: "m"})
	expect(t, scrape(t, tele), "target_info", map[string]string{"service_name": "orders"}, 1)
	if err := tele.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, path := range []string{"/v1/traces", "/v1/metrics"} {
		if got[path] == 0 {
			t.Errorf("nothing was sent to %s: %v", path, got)
		}
	}
}
