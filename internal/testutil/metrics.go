package testutil

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Metrics are the series of a Prometheus scrape, by metric name. A histogram has the names
// NAME_bucket, NAME_sum and NAME_count.
type Metrics map[string][]Series

// Series is one line of a scrape.
type Series struct {
	Labels map[string]string
	Value  float64
}

var (
	seriesLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	seriesType = regexp.MustCompile(`^# TYPE \S+ (counter|gauge|histogram|summary|untyped)$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
	unescape   = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")
)

// ReadMetrics reads a scrape in Prometheus' text format, without timestamps. It fails the test at a
// line in another format.
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
func ReadMetrics(t testing.TB, r io.Reader) Metrics {
	t.Helper()
	metrics, err := parseMetrics(r)
	if err != nil {
		t.Fatal(err)
	}
	return metrics
}

func parseMetrics(r io.Reader) (Metrics, error) {
	metrics := make(Metrics)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case line == "" || strings.HasPrefix(line, "# HELP ") || seriesType.MatchString(line):
			continue
		case strings.HasPrefix(line, "#"):
			return nil, fmt.Errorf("metrics: line %d is neither a series nor HELP nor TYPE: %q", n, line)
		}
		parts := seriesLine.FindStringSubmatch(line)
		if parts == nil {
			return nil, fmt.Errorf("metrics: line %d is no series: %q", n, line)
		}
		value, err := strconv.ParseFloat(parts[3], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: line %d: %w", n, err)
		}
		labels := make(map[string]string)
		for _, pair := range labelPair.FindAllStringSubmatch(parts[2], -1) {
			labels[pair[1]] = unescape.Replace(pair[2])
		}
		if rest := strings.Trim(labelPair.ReplaceAllString(parts[2], ""), ","); rest != "" {
			return nil, fmt.Errorf("metrics: line %d has labels that cannot be read: %q", n, rest)
		}
		metrics[parts[1]] = append(metrics[parts[1]], Series{labels, value})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return metrics, nil
}

// Sum returns the sum of a metric over the series that have all the given labels, and the number of
// these series. For a histogram the sum is the number of samples.
func (m Metrics) Sum(name string, labels map[string]string) (sum float64, series int) {
	all, ok := m[name]
	if !ok {
		all = m[name+"_count"]
	}
	for _, s := range all {
		if s.has(labels) {
			sum += s.Value
			series++
		}
	}
	return sum, series
}

func (s Series) has(labels map[string]string) bool {
	for name, want := range labels {
		if got, ok := s.Labels[name]; !ok || got != want {
			return false
		}
	}
	return true
}
