package telemetry

import (
	"errors"
	"log/slog"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
)

// logOpenTelemetry sends OpenTelemetry's own errors to log. By default they are printed to standard
// error, with the values of environment variables.
func logOpenTelemetry(log *slog.Logger) {
	otel.SetLogger(logr.New(errorSink{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if errors.Is(err, resource.ErrPartialResource) {
			return // New logs it without the values
		}
		log.Warn("telemetry is not sent", "error", err)
	}))
}

// errorSink is OpenTelemetry's logger, for errors only. The values of environment variables that it
// could not parse may contain a token, as may the errors about them.
type errorSink struct{ log *slog.Logger }

// Init implements [logr.LogSink].
func (errorSink) Init(logr.RuntimeInfo) {}

// Enabled implements [logr.LogSink].
func (errorSink) Enabled(int) bool { return false }

// Info implements [logr.LogSink].
func (errorSink) Info(int, string, ...any) {}

// Error implements [logr.LogSink]. It shows only values that name variables and instruments. If
// there is any other value, it does not show err either.
func (s errorSink) Error(err error, text string, values ...any) {
	attrs := []any{"problem", text}
	safe := err != nil // whether to show err
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
