package telemetry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

// newTelemetry returns telemetry whose spans can be looked at.
func newTelemetry(t *testing.T) (*Queue, *tracetest.InMemoryExporter) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	tele, err := New(t.Context(), Config{Version: "v1.2.3", Spans: sdktrace.NewSimpleSpanProcessor(spans)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tele.Shutdown(context.WithoutCancel(t.Context())) })
	return tele.Queue("jobs"), spans
}

// scrape reads the metrics as Prometheus does.
func scrape(t *testing.T, tele interface{ Handler() http.Handler }) testutil.Metrics {
	t.Helper()
	w := httptest.NewRecorder()
	tele.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return testutil.ReadMetrics(t, w.Body)
}

func expect(t *testing.T, metrics testutil.Metrics, name string, labels map[string]string, want float64) {
	t.Helper()
	if got, series := metrics.Sum(name, labels); got != want || series == 0 {
		t.Errorf("%s%v is %v in %d series, want %v", name, labels, got, series, want)
	}
}
