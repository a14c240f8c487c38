package telemetry

import (
	"context"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Request measures and traces a request of an HTTP server. It returns the request to continue with,
// and a function to call with the status of the response. route is the path as documented by the
// server, or "" if there is none.
//
// If spans are exported, the Traceparent of the returned request is that of its span, whose parent
// is the client's span. A message with it leads back to both.
// https://opentelemetry.io/docs/specs/semconv/http/
func (t *Telemetry) Request(r *http.Request, route string) (*http.Request, func(status int)) {
	start := time.Now()
	about := []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(knownMethod(r.Method))}
	if route != "" {
		about = append(about, semconv.HTTPRoute(route))
	}
	span := trace.SpanFromContext(r.Context())
	if t.tracing {
		ctx := w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span = t.tracer.Start(ctx, spanName(r.Method, route), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(about...))
		r = r.Clone(ctx) // the headers belong to the client's request
		w3c.Inject(ctx, propagation.HeaderCarrier(r.Header))
	}
	return r, func(status int) {
		about = append(about, semconv.HTTPResponseStatusCode(status))
		t.is.requests.Record(r.Context(), time.Since(start).Seconds(), metric.WithAttributeSet(attribute.NewSet(about...)))
		if t.tracing {
			span.SetAttributes(semconv.HTTPResponseStatusCode(status))
			if status >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, http.StatusText(status))
			}
			span.End()
		}
	}
}

func spanName(method, route string) string {
	if route == "" {
		return knownMethod(method)
	}
	return knownMethod(method) + " " + route
}

// knownMethod returns the label for a method. Clients can send any other text.
func knownMethod(method string) string {
	known := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
	if slices.Contains(known, method) {
		return method
	}
	return "_OTHER"
}

// Sent counts a message that was sent to the queue, by outcome: accepted, refused, or failed.
func (q *Queue) Sent(outcome string) {
	labels := []attribute.KeyValue{semconv.MessagingOperationName("send"), keyOutcome.String(outcome)}
	q.is.sent.Add(context.Background(), 1, q.labels.with(labels...).add...)
}
