package telemetry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// newTelemetry returns telemetry whose spans can be looked at.
func newTelemetry(t *testing.T) (*Telemetry, *tracetest.InMemoryExporter) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	tele, err := New(t.Context(), Config{Queue: "jobs", Version: "v1.2.3", Spans: sdktrace.NewSimpleSpanProcessor(spans)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tele.Shutdown(context.WithoutCancel(t.Context())) })
	return tele, spans
}

// scrape reads the metrics as Prometheus does.
func scrape(t *testing.T, tele *Telemetry) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	tele.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value sums a metric over the series that have all the given labels; of a
// histogram it is the number of samples.
func value(families map[string]*dto.MetricFamily, name string, labels map[string]string) (sum float64, series int) {
	for _, m := range families[name].GetMetric() {
		has := 0
		for _, l := range m.GetLabel() {
			if want, ok := labels[l.GetName()]; ok && want == l.GetValue() {
				has++
			}
		}
		if has < len(labels) {
			continue
		}
		series++
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return sum, series
}

func expect(t *testing.T, families map[string]*dto.MetricFamily, name string, labels map[string]string, want float64) {
	t.Helper()
	if got, series := value(families, name, labels); got != want || series == 0 {
		t.Errorf("%s%v is %v in %d series, want %v", name, labels, got, series, want)
	}
}
