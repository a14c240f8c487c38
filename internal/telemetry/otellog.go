package telemetry

import (
	"errors"
	"log/slog"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
)

// listen takes to log what OpenTelemetry has to complain about. By itself it
// prints that to standard error, with the values of the environment in it.
func listen(log *slog.Logger) {
	otel.SetLogger(logr.New(complaints{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if errors.Is(err, resource.ErrPartialResource) {
			return // New tells it, without the values
		}
		log.Warn("telemetry is not sent", "error", err)
	}))
}

// complaints is the logger of OpenTelemetry: errors only. What it could not read
// of the environment may hold a token, and so may the error that came of it.
type complaints struct{ log *slog.Logger }

// Init implements [logr.LogSink].
func (complaints) Init(logr.RuntimeInfo) {}

// Enabled implements [logr.LogSink].
func (complaints) Enabled(int) bool { return false }

// Info implements [logr.LogSink].
func (complaints) Info(int, string, ...any) {}

// Error implements [logr.LogSink]. Of the values it shows the names of
// variables and instruments; with any other, not even err.
func (c complaints) Error(err error, text string, values ...any) {
	attrs := []any{"problem", text}
	told := err != nil
	for i := 0; i+1 < len(values); i += 2 {
		switch values[i] {
		case "environment variable":
			attrs = append(attrs, "variable", values[i+1])
		case "instrument":
			attrs = append(attrs, "instrument", values[i+1])
		default:
			told = false
		}
	}
	if told {
		attrs = append(attrs, "error", err)
	}
	c.log.Warn("OpenTelemetry complains", attrs...)
}

// WithValues implements [logr.LogSink].
func (c complaints) WithValues(...any) logr.LogSink { return c }

// WithName implements [logr.LogSink].
func (c complaints) WithName(string) logr.LogSink { return c }
