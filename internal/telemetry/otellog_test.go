package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
)

// open makes telemetry of the environment and returns its log, which has to be
// JSON line by line.
func open(t *testing.T) (tele *Telemetry, log *bytes.Buffer, lines func() []map[string]any) {
	t.Helper()
	log = new(bytes.Buffer)
	tele, err := New(t.Context(), Config{Logger: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tele.Shutdown(context.WithoutCancel(t.Context())) })
	return tele, log, func() (all []map[string]any) {
		for line := range strings.Lines(log.String()) {
			var one map[string]any
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			all = append(all, one)
		}
		return all
	}
}

func TestOtellog(t *testing.T) {
	t.Run("unreadable variable is reported without its value", testUnreadableVariableIsReportedWithoutItsValue)
	t.Run("error without values is told whole", testAnErrorWithoutValuesIsToldWhole)
	t.Run("resource attributes that are none are left out", testResourceAttributesThatAreNoneAreLeftOut)
	t.Run("errors of sending are in the log", testErrorsOfSendingAreInTheLog)
}

func testUnreadableVariableIsReportedWithoutItsValue(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	for variable, tc := range map[string]struct{ value, problem string }{
		"OTEL_EXPORTER_OTLP_HEADERS":          {"Authorization: Bearer s3cr3t", "parse headers"},
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS":   {"Authorization=Bearer s3cr3t%zz", "escape header value"},
		"OTEL_EXPORTER_OTLP_METRICS_HEADERS":  {"Bearer s3cr3t=", "parse headers"},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":  {"http://me:s3cr3t@[", "parse url"},
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": {"http://me:s3cr3t/3@host", "parse url"},
		"OTEL_EXPORTER_OTLP_TIMEOUT":          {"s3cr3t", "parse duration"},
		"OTEL_EXPORTER_OTLP_CERTIFICATE":      {"-----BEGIN s3cr3t", "read tls ca cert file"},
		"OTEL_METRIC_EXPORT_INTERVAL":         {"s3cr3t", "parse duration"},
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
			t.Setenv(variable, tc.value)
			_, log, lines := open(t)
			problems := make(map[any]bool)
			for _, line := range lines() {
				problems[line["problem"]] = true
			}
			if !problems[tc.problem] {
				t.Errorf("%q is not in\n%s", tc.problem, log)
			}
			if strings.Contains(log.String(), "s3cr3t") {
				t.Errorf("the value is shown:\n%s", log)
			}
		})
	}
}

func testAnErrorWithoutValuesIsToldWhole(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", os.DevNull)
	_, log, lines := open(t)
	for _, line := range lines() {
		if line["problem"] == "create tls cert pool" && line["error"] != nil {
			return
		}
	}
	t.Errorf("log is\n%s", log)
}

func testResourceAttributesThatAreNoneAreLeftOut(t *testing.T) {
	for value, team := range map[string]string{"team=a,": "a", "s3cr3t": "", "s3cr3t,team=b": "b"} {
		t.Run(value, func(t *testing.T) {
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", value)
			tele, log, lines := open(t)
			labels := map[string]string{"service_name": "sqsonce-worker"}
			if team != "" {
				labels["team"] = team
			}
			expect(t, scrape(t, tele), "target_info", labels, 1)
			if all := lines(); len(all) != 1 || all[0]["level"] != "WARN" || !strings.Contains(log.String(), "OTEL_RESOURCE_ATTRIBUTES") {
				t.Errorf("log is\n%s", log)
			}
			if strings.Contains(log.String(), "s3cr3t") {
				t.Errorf("the value is shown:\n%s", log)
			}
		})
	}
}

func testErrorsOfSendingAreInTheLog(t *testing.T) {
	_, log, _ := open(t)
	otel.Handle(http.ErrHandlerTimeout)
	if !strings.Contains(log.String(), "telemetry is not sent") {
		t.Errorf("log is\n%s", log)
	}
}
