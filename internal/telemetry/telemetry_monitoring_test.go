package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/sqstest"
)

// monitoring is the folder of the dashboard and the rules.
const monitoring = "../../deploy/monitoring"

// everything is a scrape of a worker and a producer to which all has happened that is counted.
func everything(t *testing.T) testutil.Metrics {
	t.Helper()
	tele, _ := newTelemetry(t)
	pool := tele.ConsumerHooks()
	pool.Received(1, time.Second)
	pool.Answered("DeleteMessageBatch", 1, 0, time.Second)
	pool.Handled(consumer.Message{}, consumer.Disposition{Action: consumer.DeadLetter, Reason: "mismatch"}, time.Second)
	pool.DeadLettered(consumer.Message{}, consumer.Disposition{Reason: "mismatch"})
	pool.CopyFailed(consumer.Message{}, consumer.Disposition{Reason: "mismatch"}, errors.New("no"))
	stats := consumer.Stats{State: consumer.Held, Slots: 1, Down: []string{"target"}}
	if err := tele.Watch(func() consumer.Stats { return stats }, "target", "target-health", "store", "handler", "queue"); err != nil {
		t.Fatal(err)
	}
	guard := tele.DedupeHooks()
	guard.TookOver(dedupe.Attempt{})
	guard.Replayed(dedupe.Attempt{Name: "a"}, "recorded")
	guard.Refused(dedupe.Attempt{Name: "a"}, "mismatch")
	guard.LeaseLost(dedupe.Attempt{})
	guard.CompletedLate(dedupe.Attempt{})
	guard.OwnWrite(dedupe.Attempt{Name: "a"}, "complete")
	guard.StoreFailed(dedupe.Attempt{Name: "a"}, "claim", errors.New("no"))
	for _, outcome := range []string{"completed", "retrying", "rejected", "unknown", "released", "left", "lost", "unrecorded"} {
		guard.Settled(dedupe.Attempt{}, outcome, time.Second, nil)
	}
	tele.BatchRefused("BatchExecuteStatement", errors.New("no"))
	tele.Ignored("unnamed")
	tele.Sent("accepted")
	_, answered := tele.Request(httptest.NewRequest(http.MethodPost, "/", http.NoBody), "/")
	answered(http.StatusOK)
	work := tele.Middleware()(func(context.Context, consumer.Message) error { return nil })
	if err := work(t.Context(), consumer.Message{ID: "m", SentAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	cfg := sqstest.New(sqstest.Config{}).AWSConfig()
	tele.InstrumentAWS(&cfg)
	if _, err := sqs.NewFromConfig(cfg).ListQueues(t.Context(), &sqs.ListQueuesInput{}); err != nil {
		t.Fatal(err)
	}
	return scrape(t, tele)
}

var (
	metricName = regexp.MustCompile(`\b(?:sqsonce|messaging|http|go|process)_[a-z0-9_]+\b`)
	selector   = regexp.MustCompile(`\b([a-z0-9_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	grouping   = regexp.MustCompile(`\b(?:by|ignoring|on) \(([^)]*)\)`)
	legend     = regexp.MustCompile(`\{\{(?: \$labels\.)?([a-z_]+)(?: \})?\}\}`)
)

// labelNames are not metrics, although they look like one.
var labelNames = []string{"messaging_destination_name", "messaging_operation_name", "messaging_system"}

// Dashboard and rules only name metrics and labels that exist.
func TestMonitoring(t *testing.T) {
	scraped := everything(t)
	labels := make(map[string]bool)
	for _, all := range scraped {
		for _, series := range all {
			for label := range series.Labels {
				labels[label] = true
			}
		}
	}
	var asked int
	for place, expression := range expressions(t) {
		for _, name := range metricName.FindAllString(expression, -1) {
			if asked++; len(scraped[name]) == 0 && !slices.Contains(labelNames, name) {
				t.Errorf("%s: no metric %s", place, name)
			}
		}
		for _, part := range selector.FindAllStringSubmatch(expression, -1) {
			for _, m := range matcher.FindAllStringSubmatch(part[2], -1) {
				if !takes(scraped[part[1]], m[1], m[2], m[3]) {
					t.Errorf("%s: %s has no series with %s%s%q", place, part[1], m[1], m[2], m[3])
				}
			}
		}
		for _, group := range append(grouping.FindAllStringSubmatch(expression, -1), legend.FindAllStringSubmatch(expression, -1)...) {
			for _, label := range strings.Split(group[1], ",") {
				if label = strings.TrimSpace(label); !labels[label] && label != "le" {
					t.Errorf("%s: no label %s", place, label)
				}
			}
		}
	}
	if asked < 40 {
		t.Errorf("%d metrics are named: are the files read?", asked)
	}
}

// takes reports whether a label that a matcher names is there, with each of the values that it
// names. $queue is Grafana's.
func takes(series []testutil.Series, label, operator, value string) bool {
	for _, want := range strings.Split(value, "|") {
		if !slices.ContainsFunc(series, func(s testutil.Series) bool {
			got, there := s.Labels[label]
			return there && (strings.HasPrefix(operator, "!") || want == "$queue" || got == want)
		}) {
			return false
		}
	}
	return true
}

// expressions returns the queries of dashboard and rules, with their legends, by location.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Templating struct {
			List []struct {
				Name  string
				Query any
			}
		}
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	text, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	rules, err2 := os.ReadFile(filepath.Join(monitoring, "rules.yaml"))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all["panel "+p.Title] += target.Expr + " " + target.LegendFormat + "\n"
		}
	}
	for _, v := range dashboard.Templating.List {
		query, _ := json.Marshal(v.Query)
		all["variable "+v.Name] = string(query)
	}
	for _, rule := range strings.Split(string(rules), "\n      - ")[1:] {
		head, body, _ := strings.Cut(rule, "\n")
		all["rule "+head] = strings.ReplaceAll(body, "sqsonce.git", "")
	}
	return all
}

// TestRunbook: each alert leads to a section that there is.
func TestRunbook(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(monitoring, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]bool)
	for line := range strings.Lines(string(runbook)) {
		if title, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			sections[strings.ReplaceAll(strings.ToLower(title), " ", "-")] = true
		}
	}
	links := regexp.MustCompile(`runbook\.md#([a-z-]+)`).FindAllStringSubmatch(string(rules), -1)
	if alerts := strings.Count(string(rules), "- alert:"); len(links) != alerts {
		t.Errorf("%d alerts, %d links", alerts, len(links))
	}
	for _, link := range links {
		if !sections[link[1]] {
			t.Errorf("no section %s", link[1])
		}
	}
}
