// Package telemetry provides the metrics and traces of the worker and the producer, and the fields
// of the worker's log lines.
//
// Metrics are always available in Prometheus' format ([Telemetry.Handler]). With
// OTEL_EXPORTER_OTLP_ENDPOINT, or the variable of one signal, metrics and traces are also sent
// there, as configured by OpenTelemetry's variables. Names of messages are never labels, because
// there are as many as messages.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const scope = "github.com/sqsonce/sqsonce"

// Config configures metrics and tracing. The zero value of a field means its default.
type Config struct {
	// Service is the service.name unless OTEL_SERVICE_NAME is set. Default sqsonce-worker.
	Service string
	// Version is the service.version; may be empty.
	Version string
	// Logger gets a warning when telemetry cannot be sent, or when OpenTelemetry cannot parse an
	// environment variable. Default [slog.Default].
	Logger *slog.Logger
	// Spans gets the spans, in addition to the OTLP exporter. Default: none.
	Spans sdktrace.SpanProcessor
	// EMF gets the most important metrics once a minute, as lines of JSON from which CloudWatch
	// Logs makes metrics. Each Write is one line. Default: none.
	EMF io.Writer
}

// Telemetry holds the meters and the tracer of a process. Create it with [New], and use
// [Telemetry.Queue] for each queue.
type Telemetry struct {
	cfg      Config
	tracer   trace.Tracer
	tracing  bool // spans are exported
	registry *prometheus.Registry
	meters   *metric.MeterProvider
	emf      *emf                     // nil without Config.EMF
	spans    *sdktrace.TracerProvider // nil unless tracing
	is       instruments
	messages messages // fields of the log lines about each message
}

// Queue is the telemetry of one queue. All its measurements have the queue's name as
// messaging.destination.name.
type Queue struct {
	*Telemetry
	name   string
	labels *labels
}

// Queue returns the telemetry of the queue with that name.
func (t *Telemetry) Queue(name string) *Queue {
	q := &Queue{Telemetry: t, name: name}
	q.labels = newLabels(q.attributes()...)
	return q
}

// attributes returns the attributes that the messaging conventions require for a queue:
// https://opentelemetry.io/docs/specs/semconv/messaging/sqs/
func (q *Queue) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{semconv.MessagingSystemAWSSQS, semconv.MessagingDestinationName(q.name)}
}

// New returns telemetry, which must be shut down. Its error names the exporter that cannot be
// created from the environment.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	cfg.Service = cmp.Or(cfg.Service, "sqsonce-worker")
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	t := &Telemetry{cfg: cfg, registry: prometheus.NewRegistry()}
	t.messages.init()
	logOpenTelemetry(cfg.Logger) // before OpenTelemetry reads the environment
	// The environment is last, because it takes precedence.
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(cfg.Service), semconv.ServiceVersion(cfg.Version)),
		resource.WithFromEnv(),
	)
	switch {
	case errors.Is(err, resource.ErrPartialResource):
		cfg.Logger.Warn("OTEL_RESOURCE_ATTRIBUTES: entries other than KEY=VALUE are ignored")
	case err != nil:
		return nil, fmt.Errorf("telemetry resource: %w", err)
	}
	if err := t.openMeters(ctx, about); err != nil {
		return nil, err
	}
	if err := t.openSpans(ctx, about); err != nil {
		return nil, errors.Join(err, t.Shutdown(ctx))
	}
	return t, nil
}

func (t *Telemetry) openMeters(ctx context.Context, about *resource.Resource) error {
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	prom, err := exporter.New(exporter.WithRegisterer(t.registry), exporter.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("telemetry for Prometheus: %w", err)
	}
	options := []metric.Option{metric.WithResource(about), metric.WithReader(prom)}
	if hasEndpoint("METRICS") {
		otlp, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return fmt.Errorf("telemetry of metrics by OTLP: %w", err)
		}
		options = append(options, metric.WithReader(metric.NewPeriodicReader(otlp)))
	}
	if t.cfg.EMF != nil {
		t.emf = newEMF(t.cfg.EMF)
		options = append(options, metric.WithReader(t.emf.reader))
	}
	t.meters = metric.NewMeterProvider(options...)
	if err := t.is.init(t.meters.Meter(scope)); err != nil {
		return err
	}
	if t.emf != nil {
		t.emf.start(ctx)
	}
	return nil
}

func (t *Telemetry) openSpans(ctx context.Context, about *resource.Resource) error {
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(about)}
	if t.cfg.Spans != nil {
		options = append(options, sdktrace.WithSpanProcessor(t.cfg.Spans))
	}
	if hasEndpoint("TRACES") {
		otlp, err := otlptracehttp.New(ctx)
		if err != nil {
			return fmt.Errorf("telemetry of traces by OTLP: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(otlp))
	}
	if len(options) == 1 {
		t.tracer = noop.NewTracerProvider().Tracer(scope)
		return nil
	}
	t.spans = sdktrace.NewTracerProvider(options...)
	t.tracer, t.tracing = t.spans.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)), true
	return nil
}

// hasEndpoint reports whether the environment has an endpoint for a signal.
func hasEndpoint(signal string) bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

// Handler serves the metrics in Prometheus' format, with exemplars in OpenMetrics.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Shutdown sends the remaining telemetry, until ctx ends.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var errs []error
	if t.emf != nil {
		errs = append(errs, t.emf.close(ctx))
	}
	if t.spans != nil {
		errs = append(errs, t.spans.Shutdown(ctx))
	}
	return errors.Join(append(errs, t.meters.Shutdown(ctx))...)
}
