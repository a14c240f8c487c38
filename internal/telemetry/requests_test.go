package telemetry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

func TestRequest(t *testing.T) {
	t.Run("traced", func(t *testing.T) {
		tele, spans := newTelemetry(t)
		r := httptest.NewRequest(http.MethodPost, "/messages/order-17/resolve", http.NoBody)
		r.Header.Set("Traceparent", traceparent)
		watched, answered := tele.Request(r, "/messages/{name}/resolve")
		inside := trace.SpanContextFromContext(watched.Context())
		if sent := watched.Header.Get("Traceparent"); sent != "00-"+inside.TraceID().String()+"-"+inside.SpanID().String()+"-01" {
			t.Errorf("the message gets traceparent %q", sent)
		}
		if r.Header.Get("Traceparent") != traceparent {
			t.Error("the client's own headers are changed")
		}
		answered(http.StatusServiceUnavailable)
		span := spans.GetSpans()[0]
		if span.Name != "POST /messages/{name}/resolve" || span.Parent.SpanID().String() != "00f067aa0ba902b7" ||
			span.SpanKind != trace.SpanKindServer || span.Status.Code != codes.Error {
			t.Errorf("span is %+v", span)
		}
	})
	t.Run("not traced", func(t *testing.T) {
		tele, err := New(t.Context(), Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tele.Shutdown(context.WithoutCancel(t.Context())) })
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Traceparent", traceparent)
		if watched, _ := tele.Request(r, "/"); watched.Header.Get("Traceparent") != traceparent {
			t.Error("the client's trace is not passed on")
		}
	})
	t.Run("measured, by few labels", func(t *testing.T) {
		tele, _ := newTelemetry(t)
		for _, request := range []struct{ method, path, route string }{
			{http.MethodGet, "/messages/a", "/messages/{name}"}, {http.MethodGet, "/messages/b", "/messages/{name}"},
			{"BREW", "/x", ""}, {"MAKE-UP", "/y", ""},
		} {
			_, answered := tele.Request(httptest.NewRequest(request.method, request.path, http.NoBody), request.route)
			answered(http.StatusNotFound)
		}
		tele.Sent("accepted")
		tele.Sent("failed")
		tele.Sent("failed")
		metrics := scrape(t, tele)
		const duration = "http_server_request_duration_seconds_count"
		expect(t, metrics, duration, map[string]string{"http_route": "/messages/{name}", "http_request_method": "GET", "http_response_status_code": "404"}, 2)
		expect(t, metrics, duration, map[string]string{"http_request_method": "_OTHER"}, 2)
		if _, series := metrics.Sum(duration, nil); series != 2 {
			t.Errorf("%d series", series)
		}
		expect(t, metrics, "messaging_client_sent_messages_total", map[string]string{"outcome": "failed", "messaging_destination_name": "jobs"}, 2)
	})
}
