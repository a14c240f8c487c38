package workercmd

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

// scrape reads the metrics of a running worker.
func scrape(t *testing.T, adminURL string) testutil.Metrics {
	t.Helper()
	resp := request(t, http.MethodGet, adminURL+"/metrics", "", nil)
	defer func() { _ = resp.Body.Close() }()
	return testutil.ReadMetrics(t, resp.Body)
}

// sum returns the sum of a metric over the series with a label's value.
func sum(metrics testutil.Metrics, name, label, value string) float64 {
	total, _ := metrics.Sum(name, map[string]string{label: value})
	return total
}

func request(t *testing.T, method, url, body string, header map[string]string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range header {
		req.Header.Set(key, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestMessageMetrics(t *testing.T) {
	p := startLocal(t)
	queueURL, adminURL := p.queueURL(t), p.adminURL(t)
	client := anySDK(queueURL)
	send(t, client, queueURL, body("a"), body("b"))
	waitCounts(t, client, queueURL, "0", "0")
	send(t, client, queueURL, body("a"), `{"name":"a","total":7}`, "not JSON")
	waitCounts(t, client, queueURL, "0", "0")
	waitCounts(t, client, queueURL+"-dlq", "2", "0")

	var got testutil.Metrics
	wait(t, "metrics of five messages", func() bool {
		got = scrape(t, adminURL)
		return sum(got, "sqsonce_handled_total", "messaging_destination_name", "sqsonce") == 5
	})
	for _, tc := range []struct {
		name, label, value string
		want               float64
	}{
		{"messaging_client_consumed_messages_total", "messaging_system", "aws_sqs", 5},
		{"sqsonce_handled_total", "outcome", "delete", 3},
		{"sqsonce_handled_total", "reason", "mismatch", 1},
		{"sqsonce_handled_total", "reason", "bad message", 1},
		{"sqsonce_dead_letters_total", "reason", "mismatch", 1},
		{"sqsonce_attempts_total", "outcome", "completed", 2},
		{"sqsonce_duplicates_total", "kind", "cached", 1},
		{"sqsonce_refused_total", "reason", "mismatch", 1},
		{"messaging_process_duration_seconds", "outcome", "done", 3},
		{"sqsonce_dwell_seconds", "messaging_system", "aws_sqs", 5},
		{"sqsonce_slots", "messaging_system", "aws_sqs", 50},
		{"sqsonce_state", "state", "running", 1},
		{"sqsonce_down", "dependency", "store", 0},
	} {
		if v, series := got.Sum(tc.name, map[string]string{tc.label: tc.value}); v != tc.want || series == 0 {
			t.Errorf("%s{%s=%q} is %v, want %v", tc.name, tc.label, tc.value, v, tc.want)
		}
	}
	for _, operation := range []string{"ReceiveMessage", "DeleteMessageBatch", "SendMessageBatch"} {
		if sum(got, "sqsonce_aws_calls_total", "operation", operation) == 0 || sum(got, "sqsonce_aws_duration_seconds", "operation", operation) == 0 {
			t.Errorf("no %s counted", operation)
		}
	}
}

func TestMetricsAddr(t *testing.T) {
	p := startLocal(t, "--metrics-addr", "127.0.0.1:0", "--admin-token", "t0ken")
	url := p.printed(t, `metrics at (http://[^/\s]+)`)
	queueURL := p.queueURL(t)
	send(t, anySDK(queueURL), queueURL, body("order-17"))
	wait(t, "the message is counted", func() bool {
		_, _, text := answerOf(t, url+"/metrics")
		return strings.Contains(text, `sqsonce_attempts_total{`)
	})
	for path, status := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/metrics": 200,
		"/": 404, "/config": 404, "/api/session": 404, "/api/queues/sqsonce/names?name=order-17": 404, "/assets/app.js": 404,
	} {
		got, _, text := answerOf(t, url+path)
		if got != status || strings.Contains(text, "order-17") {
			t.Errorf("%s answers %d: %s", path, got, text)
		}
	}
	for _, verb := range []string{"pause", "resume", "drain", "believe", "concurrency"} {
		resp := request(t, http.MethodPost, url+"/"+verb, "", map[string]string{"Authorization": "Bearer t0ken"})
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("POST /%s answers %d", verb, resp.StatusCode)
		}
	}
}

func TestOperations(t *testing.T) {
	t.Run("open admin server is warned about", testOpenAdminServerIsWarnedAbout)
	t.Run("operator can pause and resume", testOperatorCanPauseAndResume)
	t.Run("drain by request ends the worker", testDrainByRequestEndsTheWorker)
	t.Run("settings are shown without secrets", testSettingsAreShownWithoutSecrets)
	t.Run("log line of a message has its name and its id", testLogLineOfAMessageHasItsNameAndItsID)
}

func testOpenAdminServerIsWarnedAbout(t *testing.T) {
	const warning = `"level":"WARN","msg":"the admin server listens beyond this machine`
	for name, tc := range map[string]struct {
		args []string
		warn bool
	}{
		"on loopback":           {[]string{"--admin-addr", "127.0.0.1:0"}, false},
		"beyond it":             {[]string{"--admin-addr", "0.0.0.0:0"}, true},
		"on every IPv6 address": {[]string{"--admin-addr", "[::]:0"}, true},
		"beyond, with a token":  {[]string{"--admin-addr", ":0", "--admin-token", "0123456789abcdef"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := startLocal(t, tc.args...)
			p.queueURL(t) // waits for the start
			if got := strings.Contains(p.stderr.String(), warning); got != tc.warn {
				t.Errorf("warned: %t; log: %s", got, p.stderr.String())
			}
		})
	}
}

func testOperatorCanPauseAndResume(t *testing.T) {
	p := startLocal(t)
	queueURL, adminURL := p.queueURL(t), p.adminURL(t)
	client := anySDK(queueURL)
	state := func(is string) func() bool {
		return func() bool { return sum(scrape(t, adminURL), "sqsonce_state", "state", is) == 1 }
	}
	wait(t, "running", state("running"))
	_ = request(t, http.MethodPost, adminURL+"/pause", "", nil).Body.Close()
	wait(t, "paused", state("paused"))
	wait(t, "no polls", func() bool { return sum(scrape(t, adminURL), "sqsonce_polls", "messaging_system", "aws_sqs") == 0 })
	send(t, client, queueURL, body("a"))
	if visible, _ := counts(t, client, queueURL); visible != "1" {
		t.Errorf("%s messages are visible while paused", visible)
	}
	_ = request(t, http.MethodPost, adminURL+"/resume", "", nil).Body.Close()
	waitCounts(t, client, queueURL, "0", "0")
}

func testDrainByRequestEndsTheWorker(t *testing.T) {
	p := startLocal(t)
	wait(t, "ready", func() bool { return get(t, p.adminURL(t)+"/readyz") == http.StatusOK })
	resp := request(t, http.MethodPost, p.adminURL(t)+"/drain", "", map[string]string{"Sec-Fetch-Site": "cross-site"})
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("another site's drain is answered by %d", resp.StatusCode)
	}
	resp = request(t, http.MethodPost, p.adminURL(t)+"/drain", "", nil)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("drain is answered by %d", resp.StatusCode)
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func testSettingsAreShownWithoutSecrets(t *testing.T) {
	p := startLocal(t, "--target-url", "http://hunter2@127.0.0.1:1/?token=hunter2", "--target-health", "/up?key=hunter2", "--target-secret", "hunter2",
		"--target-token", "hunter2", "--admin-token", "hunter2", "--lease", "20s")
	resp := request(t, http.MethodGet, p.adminURL(t)+"/config", "", nil)
	defer func() { _ = resp.Body.Close() }()
	var all struct{ Queues map[string]map[string]any }
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	shown := all.Queues[localQueue]
	for key, want := range map[string]any{
		"local": true, "lease": "20s", "target-secret": mask, "target-token": mask, "admin-token": mask, "concurrency": 50.,
	} {
		if shown[key] != want {
			t.Errorf("%s is %v, want %v", key, shown[key], want)
		}
	}
	for _, f := range contract {
		if _, ok := shown[f.flag]; !ok {
			t.Errorf("%s is not shown", f.flag)
		}
	}
	text, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text)+p.stderr.String()+p.stdout.String(), "hunter2") {
		t.Errorf("a secret is shown: %s", text)
	}
}

// The worker logs the trace id of the producer's request.
func testLogLineOfAMessageHasItsNameAndItsID(t *testing.T) {
	p := startLocal(t)
	queueURL := p.queueURL(t)
	client := anySDK(queueURL)
	sendWith(t, client, queueURL, body("a"), map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
	p.logged(t, `"msg":"handled"`, 1)
	for lines := bufio.NewScanner(strings.NewReader(p.stderr.String())); lines.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("not JSON: %s", lines.Text())
		}
		if line["msg"] != "handled" {
			continue
		}
		if line["name"] != "a" || line["attempt"] != 1. || line["trace_id"] != "4bf92f3577b34da6a3ce929d0e0e4736" ||
			line["message_id"] == nil || line["fence"] == nil {
			t.Errorf("line is %s", lines.Text())
		}
	}
}
