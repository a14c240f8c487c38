package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/telemetry"
	"github.com/sqsonce/sqsonce/sqstest"
)

const metricsIntro = `# Metrics

Worker and producer serve these metrics in Prometheus' format at ` + "`/metrics`" + `. With
` + "`OTEL_EXPORTER_OTLP_ENDPOINT`" + ` they also send them by OTLP, under the name below each metric.
Metrics of the Go runtime and of the process have the usual names, ` + "`go_…` and `process_…`" + `.

A name of a message is never a label. Each series about a queue has ` + "`messaging_system`" + ` and
` + "`messaging_destination_name`" + `, the name of the queue; the table leaves them out. The
[runbook](../runbook.md) says which values need an action.

`

func metricsPage() (string, error) {
	tele, err := sampled()
	if err != nil {
		return "", err
	}
	var instruments []string
	for _, file := range []string{"instruments.go", "consumer.go"} {
		names, err := literals(root+"/internal/telemetry/"+file, regexp.MustCompile(`^(sqsonce|messaging|http)(\.[a-z_]+)+$`))
		if err != nil {
			return "", err
		}
		instruments = append(instruments, names...)
	}
	found, err := scraped(tele.Handler())
	if err != nil {
		return "", err
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		m := found[name]
		i := slices.IndexFunc(instruments, func(i string) bool {
			return strings.ReplaceAll(i, ".", "_") == strings.TrimSuffix(strings.TrimSuffix(name, "_total"), "_seconds")
		})
		if i < 0 {
			continue // of the runtime
		}
		rows = append(rows, []string{code(name) + "<br>" + code(instruments[i]), m.kind, codes(slices.Sorted(maps.Keys(m.labels))), prose(m.help)})
		instruments = slices.Delete(instruments, i, i+1)
	}
	if len(instruments) > 0 {
		return "", fmt.Errorf("sampled does not use %q", instruments)
	}
	return metricsIntro + table([]string{"Metric and instrument", "Type", "Labels", "Meaning"}, rows) + labelValues(), nil
}

// labelValues lists the values of the labels that the code enumerates.
func labelValues() string {
	var actions []string
	for a := consumer.Delete; a <= consumer.Keep; a++ {
		actions = append(actions, a.String())
	}
	return "\n## Values of labels\n\n" + table([]string{"Label", "Values"}, [][]string{
		{"`outcome` of `sqsonce_handled_total`", codes(actions)},
		{"`reason` of `sqsonce_handled_total` and `sqsonce_dead_letters…`", "the [reasons of dead letters](errors.md#reasons-of-dead-letters), or `other`"},
		{"`state`", codes([]string{
			string(consumer.Starting), string(consumer.Running), string(consumer.Paused), string(consumer.Held), string(consumer.Draining), string(consumer.Stopped),
		})},
		{"`kind`", codes([]string{"replayed", "cached", "joined", "deferred"})},
	})
}

// sampled returns telemetry in which every instrument has a value.
func sampled() (*telemetry.Telemetry, error) {
	tele, err := telemetry.New(context.Background(), telemetry.Config{})
	if err != nil {
		return nil, err
	}
	q := tele.Queue("orders")
	hooks, guard := q.ConsumerHooks(), q.DedupeHooks()
	hooks.Received(1, time.Second)
	hooks.Handled(consumer.Message{}, consumer.Disposition{}, time.Second)
	hooks.DeadLettered(consumer.Message{}, consumer.Disposition{})
	hooks.CopyFailed(consumer.Message{}, consumer.Disposition{}, nil)
	hooks.Answered("DeleteMessageBatch", 1, 0, time.Second)
	guard.TookOver(dedupe.Attempt{})
	guard.Replayed(dedupe.Attempt{}, "cached")
	guard.Refused(dedupe.Attempt{}, "mismatch")
	guard.LeaseLost(dedupe.Attempt{})
	guard.CompletedLate(dedupe.Attempt{})
	guard.Settled(dedupe.Attempt{}, "completed", time.Second, nil)
	guard.OwnWrite(dedupe.Attempt{}, "complete")
	guard.StoreFailed(dedupe.Attempt{}, "claim", nil)
	q.BatchRefused("BatchExecuteStatement", nil)
	q.Ignored("expression")
	q.Sent("accepted")
	failing := func(context.Context, consumer.Message) error { return errors.New("failed") }
	_ = q.Middleware()(failing)(context.Background(), consumer.Message{SentAt: time.Now()})
	_, done := tele.Request(httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/messages", http.NoBody), "/messages")
	done(http.StatusAccepted)
	if err := q.Watch(func() consumer.Stats { return consumer.Stats{} }, "target"); err != nil {
		return nil, err
	}
	server := sqstest.New(sqstest.Config{})
	cfg := server.AWSConfig()
	q.InstrumentAWS(&cfg)
	_, err = sqs.NewFromConfig(cfg).CreateQueue(context.Background(), &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	return tele, err
}

// metricOf describes a metric in a scrape.
type metricOf struct {
	kind, help string
	labels     map[string]bool
}

var (
	metricLine = regexp.MustCompile(`^# (HELP|TYPE) (\S+) (.*)$`)
	seriesLine = regexp.MustCompile(`^([a-z_]+?)(?:_bucket|_sum|_count)?\{(.*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)="`)
)

// unsaid are the labels that are left out of the table.
var unsaid = []string{"le", "messaging_system", "messaging_destination_name"}

// scraped reads a scrape in Prometheus' format, by name of metric.
func scraped(h http.Handler) (map[string]*metricOf, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", http.NoBody))
	all := make(map[string]*metricOf)
	lines := bufio.NewScanner(w.Body)
	for lines.Scan() {
		if m := metricLine.FindStringSubmatch(lines.Text()); m != nil {
			if all[m[2]] == nil {
				all[m[2]] = &metricOf{labels: make(map[string]bool)}
			}
			if m[1] == "HELP" {
				all[m[2]].help = m[3]
			} else {
				all[m[2]].kind = m[3]
			}
		}
		m := seriesLine.FindStringSubmatch(lines.Text())
		if m == nil || all[m[1]] == nil {
			continue
		}
		for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(unsaid, label[1]) {
				all[m[1]].labels[label[1]] = true
			}
		}
	}
	return all, lines.Err()
}
