package testutil

import (
	"strings"
	"testing"
)

const scrape = `# HELP jobs_total Jobs.
# TYPE jobs_total counter
jobs_total{outcome="done",queue="a,b"} 3
jobs_total{outcome="failed",queue="say \"x\" \\ \n"} 1.5e+01
# TYPE wait_seconds histogram
wait_seconds_bucket{le="+Inf"} 7
wait_seconds_sum 0.5
wait_seconds_count 7

up 1
empty{reason=""} 2
`

func TestReadMetrics(t *testing.T) {
	m := ReadMetrics(t, strings.NewReader(scrape))
	for _, tc := range []struct {
		name   string
		labels map[string]string
		sum    float64
		series int
	}{
		{"jobs_total", nil, 18, 2},
		{"jobs_total", map[string]string{"outcome": "done"}, 3, 1},
		{"jobs_total", map[string]string{"outcome": "done", "queue": "a,b"}, 3, 1},
		{"jobs_total", map[string]string{"queue": "say \"x\" \\ \n"}, 15, 1},
		{"jobs_total", map[string]string{"outcome": "done", "queue": "c"}, 0, 0},
		{"wait_seconds", nil, 7, 1},
		{"up", nil, 1, 1},
		{"up", map[string]string{"queue": ""}, 0, 0},
		{"empty", map[string]string{"reason": ""}, 2, 1},
		{"absent", nil, 0, 0},
	} {
		if sum, series := m.Sum(tc.name, tc.labels); sum != tc.sum || series != tc.series {
			t.Errorf("%s%v is %v in %d series, want %v in %d", tc.name, tc.labels, sum, series, tc.sum, tc.series)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	for _, bad := range []string{"x", "x one", "x 1 2", "1x 1", `x{a="b} 1`, `x{a=b} 1`, `x{a="b" 1`, "# EOF", "# TYPE x info", `x{a="b";c="d"} 1`} {
		if m, err := parseMetrics(strings.NewReader("up 1\n" + bad + "\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v, %v, want an error that names line 2", bad, m, err)
		}
	}
}
