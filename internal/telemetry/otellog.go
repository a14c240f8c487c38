package telemetry

import (
	"errors"
	"log/slog"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
)

// logOpenTelemetry sends OpenTelemetry's own errors to log. By default it prints
// them to standard error, with the values of the environment in them.
func logOpenTelemetry(log *slog.Logger) {
	otel.SetLogger(logr.New(errorSink{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if errors.Is(err, resource.ErrPartialResource) {
			return // New logs it, without the values
		}
		log.Warn("telemetry is not sent", "error", err)
	}))
}

// errorSink is OpenTelemetry's logger: errors only. The values of the environment
// that it could not read may hold a token, and so may the errors about them.
type errorSink struct{ log *slog.Logger }

// Init implements [logr.LogSink].
func (errorSink) Init(logr.RuntimeInfo) {}

// Enabled implements [logr.LogSink].
func (errorSink) Enabled(int) bool { return false }

// Info implements [logr.LogSink].
func (errorSink) Info(int, string, ...any) {}

// Error implements [logr.LogSink]. Of the values it shows the names of
// variables and instruments; with any other, not even err.
func (s errorSink) Error(err error, text string, values ...any) {
	attrs := []any{"problem", text}
	safe := err != nil // to show err
	for i := 0; i+1 < len(values); i += 2 {
		switch values[i] {
		case "environment variable":
			attrs = append(attrs, "variable", values[i+1])
		case "instrument":
			attrs = append(attrs, "instrument", values[i+1])
		default:
			safe = false
		}
	}
	if safe {
		attrs = append(attrs, "error", err)
	}
	s.log.Warn("OpenTelemetry reported an error", attrs...)
}

// WithValues implements [logr.LogSink].
func (s errorSink) WithValues(...any) logr.LogSink { return s }

// WithName implements [logr.LogSink].
func (s errorSink) WithName(string) logr.LogSink { return s }
