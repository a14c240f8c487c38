package telemetry

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
)

var w3c propagation.TraceContext

// Middleware measures and traces each run of a handler. Its span begins a new trace that is linked
// to the producer's, because a message may be handled several times, long after it was sent. If
// spans are not exported, the producer's trace is passed on instead.
func (q *Queue) Middleware() consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, m consumer.Message) error {
			start := time.Now()
			ctx, span := q.start(ctx, m)
			defer span.End()                                         // also if the handler panics
			q.messages.begin(m.ID, logFields{traceID: traceID(ctx)}) // replaces the fields of an earlier try
			if !m.SentAt.IsZero() {
				q.is.dwell.Record(ctx, max(start.Sub(m.SentAt), 0).Seconds(), q.labels.with().record...)
			}
			err := next(ctx, m)
			outcome := outcomeOf(err)
			labels := append(make([]attribute.KeyValue, 0, 3), semconv.MessagingOperationName("process"), keyOutcome.String(outcome))
			if span.IsRecording() {
				span.SetAttributes(attribute.String("sqsonce.outcome", outcome))
			}
			if err != nil && outcome != "deferred" {
				failed := semconv.ErrorTypeKey.String(outcome) // a label with few values
				labels = append(labels, failed)
				span.SetAttributes(failed)
				span.SetStatus(codes.Error, err.Error())
			}
			q.is.work.Record(ctx, time.Since(start).Seconds(), q.labels.with(labels...).record...)
			return err
		}
	}
}

// Attempt adds the attempt to the span of ctx and to the log lines of its message.
func (t *Telemetry) Attempt(ctx context.Context, a dedupe.Attempt) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(
			attribute.String("sqsonce.name", a.Name),
			attribute.Int("sqsonce.attempt", a.Number), attribute.Int64("sqsonce.fence", int64(a.Fence)),
		)
	}
	t.messages.begin(a.MessageID, logFields{attempt: a.Number, fence: int64(a.Fence), traceID: traceID(ctx)})
}

// Traceparent returns the trace context of ctx in the W3C form, to be passed on. It is empty if
// there is none.
func (t *Telemetry) Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return carrier["traceparent"]
}

func (q *Queue) start(ctx context.Context, m consumer.Message) (context.Context, trace.Span) {
	producers := producersOf(ctx, m)
	if !q.tracing {
		if len(producers) > 0 {
			ctx = trace.ContextWithRemoteSpanContext(ctx, producers[0])
		}
		return ctx, trace.SpanFromContext(context.Background())
	}
	links := make([]trace.Link, len(producers))
	for i, p := range producers {
		links[i] = trace.Link{SpanContext: p}
	}
	return q.tracer.Start(ctx, "process "+q.name,
		trace.WithNewRoot(), trace.WithLinks(links...), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(q.attributes()...),
		trace.WithAttributes(
			semconv.MessagingOperationName("process"), semconv.MessagingOperationTypeProcess,
			semconv.MessagingMessageID(m.ID), semconv.MessagingMessageBodySize(len(m.Body)),
			attribute.Int("sqsonce.receive_count", m.ReceiveCount),
		))
}

// producersOf returns the distinct spans that a message names as its origin.
func producersOf(ctx context.Context, m consumer.Message) []trace.SpanContext {
	if len(m.Attributes) == 0 && m.TraceHeader == "" {
		return nil // the usual case; extracting would allocate
	}
	carrier := propagation.MapCarrier{}
	for _, key := range w3c.Fields() {
		if v, ok := m.Attribute(key); ok {
			carrier[key] = v
		}
	}
	var found []trace.SpanContext
	if sc := trace.SpanContextFromContext(w3c.Extract(context.WithoutCancel(ctx), carrier)); sc.IsValid() && sc.IsRemote() {
		found = append(found, sc)
	}
	if sc := fromXRay(m.TraceHeader); sc.IsValid() && (len(found) == 0 || found[0].SpanID() != sc.SpanID()) {
		found = append(found, sc)
	}
	return found
}

// fromXRay parses Root=1-{8 hex}-{24 hex};Parent={16 hex};Sampled={0 or 1}, in any order. It
// returns an invalid span context for any other text.
// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
func fromXRay(header string) trace.SpanContext {
	var cfg trace.SpanContextConfig
	for field := range strings.SplitSeq(header, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch key {
		case "Root":
			if parts := strings.Split(value, "-"); len(parts) == 3 && parts[0] == "1" {
				cfg.TraceID, _ = trace.TraceIDFromHex(strings.ToLower(parts[1] + parts[2])) // invalid after an error
			}
		case "Parent":
			cfg.SpanID, _ = trace.SpanIDFromHex(strings.ToLower(value)) // invalid after an error
		case "Sampled":
			if value == "1" {
				cfg.TraceFlags = trace.FlagsSampled
			}
		}
	}
	cfg.Remote = true
	return trace.NewSpanContext(cfg)
}

func traceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

// outcomeOf returns the label for a handler's error: the pool's action on any receive but the last.
func outcomeOf(err error) string {
	switch consumer.Decide(err, consumer.Message{}, consumer.Limits{}).Action {
	case consumer.Delete:
		return "done"
	case consumer.Keep:
		return "kept"
	case consumer.Hold:
		return "unavailable"
	case consumer.Defer:
		return "deferred"
	case consumer.DeadLetter:
		return "permanent"
	default:
		if errors.Is(err, context.Canceled) {
			return "stopped"
		}
		return "failed"
	}
}
