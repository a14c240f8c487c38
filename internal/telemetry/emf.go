package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sqsonce/sqsonce/internal/backoff"
)

// EMFNamespace is the CloudWatch namespace of the metrics in EMF lines.
const EMFNamespace = "sqsonce"

// Dimensions of the metrics in EMF lines.
const (
	emfQueue   = "Queue"
	emfKind    = "Kind"
	emfOutcome = "Outcome"
)

// emfPeriod is the interval between two sets of lines. They are written at the beginning of each
// minute of the clock. So CloudWatch has one set per worker in each minute, and the sum of Workers
// is the number of workers.
const emfPeriod = time.Minute

// emfMetric is a metric in EMF lines. There are few, because CloudWatch charges for each pair of a
// name and a dimension value.
type emfMetric struct {
	of   string // name of the instrument
	name string
	unit string        // unit in CloudWatch
	by   attribute.Key // label that becomes a dimension; empty if none
	dim  string        // name of that dimension
}

var emfMetrics = []emfMetric{
	{"sqsonce.duplicates", "Duplicates", "Count", keyKind, emfKind},
	{"sqsonce.attempts", "Attempts", "Count", keyOutcome, emfOutcome},
	{"messaging.process.duration", "HandleTime", "Seconds", "", ""},
	{"sqsonce.dwell", "Dwell", "Seconds", "", ""},
	{"sqsonce.aws.calls", "AwsCalls", "Count", "", ""},
	{"messaging.client.consumed.messages", "Received", "Count", "", ""},
	{"sqsonce.takeovers", "Takeovers", "Count", "", ""},
	{"sqsonce.held", "Held", "Count", "", ""},
	{"sqsonce.down", "Down", "Count", "", ""},
	{"sqsonce.state", "Workers", "Count", "", ""}, // 1 for the current state, 0 for all others
}

// emf writes the metrics of a process as lines in CloudWatch's embedded metric format. CloudWatch
// Logs turns them into metrics, without an agent or a port.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type emf struct {
	reader *metric.ManualReader
	out    io.Writer // one Write per line
	stop   context.CancelFunc
	ended  chan struct{}
	err    error // of a failed write; read after ended is closed
}

// newEMF returns a writer. Its reader must be given to the meters before start.
func newEMF(out io.Writer) *emf {
	// Counts since the last line, because CloudWatch sums them.
	delta := func(metric.InstrumentKind) metricdata.Temporality { return metricdata.DeltaTemporality }
	return &emf{reader: metric.NewManualReader(metric.WithTemporalitySelector(delta)), out: out, ended: make(chan struct{})}
}

// start writes a set of lines per minute until close.
func (e *emf) start(ctx context.Context) {
	ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(e.ended)
		for {
			now := time.Now()
			if backoff.Sleep(ctx, now.Truncate(emfPeriod).Add(emfPeriod).Sub(now)) != nil {
				return
			}
			e.err = errors.Join(e.err, e.write(ctx, time.Now()))
		}
	}()
}

// close writes the last lines and ends them.
func (e *emf) close(ctx context.Context) error {
	e.stop()
	<-e.ended
	return errors.Join(e.err, e.write(ctx, time.Now()))
}

// write writes the changes since the last call.
func (e *emf) write(ctx context.Context, now time.Time) error {
	var collected metricdata.ResourceMetrics
	if err := e.reader.Collect(ctx, &collected); err != nil {
		return fmt.Errorf("telemetry in EMF: %w", err)
	}
	for _, line := range emfLines(collected, now) {
		data, err := json.Marshal(line)
		if err == nil {
			_, err = e.out.Write(append(data, '\n'))
		}
		if err != nil {
			return fmt.Errorf("telemetry in EMF: %w", err)
		}
	}
	return nil
}

// emfKey identifies a line: a queue, and the value of at most one more dimension.
type emfKey struct{ queue, dim, value string }

// emfLines returns the lines for collected metrics, in a fixed order.
func emfLines(collected metricdata.ResourceMetrics, now time.Time) []map[string]any {
	lines := make(map[emfKey]*emfLine)
	var order []emfKey
	for _, m := range emfMetrics {
		for _, p := range pointsOf(collected, m.of) {
			queue, named := p.labels.Value(semconv.MessagingDestinationNameKey)
			if !named {
				continue
			}
			key := emfKey{queue: queue.AsString()}
			if m.by != "" {
				label, _ := p.labels.Value(m.by)
				key.dim, key.value = m.dim, label.AsString()
			}
			if lines[key] == nil {
				lines[key] = &emfLine{values: make(map[string]any)}
				order = append(order, key)
			}
			lines[key].add(m, p)
		}
	}
	texts := make([]map[string]any, len(order))
	for i, key := range order {
		texts[i] = lines[key].text(key, now)
	}
	return texts
}

// emfLine holds the metrics of one line.
type emfLine struct {
	units  []map[string]string
	values map[string]any // each is a float64 or a *distribution
}

// add adds a point to its metric.
func (l *emfLine) add(m emfMetric, p point) {
	if _, there := l.values[m.name]; !there {
		l.units = append(l.units, map[string]string{"Name": m.name, "Unit": m.unit})
	}
	if p.buckets == nil {
		sum, _ := l.values[m.name].(float64)
		l.values[m.name] = sum + p.value
		return
	}
	d, ok := l.values[m.name].(*distribution)
	if !ok {
		d = &distribution{}
		l.values[m.name] = d
	}
	d.add(*p.buckets)
}

// text returns the line as an object in the format.
func (l *emfLine) text(key emfKey, now time.Time) map[string]any {
	dimensions := []string{emfQueue}
	text := map[string]any{emfQueue: key.queue}
	if key.dim != "" {
		dimensions = append(dimensions, key.dim)
		text[key.dim] = key.value
	}
	for name, value := range l.values {
		text[name] = value
	}
	text["_aws"] = map[string]any{
		"Timestamp": now.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": EMFNamespace, "Dimensions": [][]string{dimensions}, "Metrics": l.units,
		}},
	}
	return text
}

// distribution holds the values of a histogram, from which CloudWatch computes percentiles. This
// form is that of the exporter of the OpenTelemetry Collector. The specification itself only lists
// single values and lists of at most 100.
// https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/awsemfexporter
type distribution struct {
	Values []float64
	Counts []float64
	Max    float64
	Min    float64
	Count  uint64
	Sum    float64
}

// add adds a histogram. The middle of each bucket, within the measured range, stands for its
// values.
func (d *distribution) add(h metricdata.HistogramDataPoint[float64]) {
	least, _ := h.Min.Value()
	most, _ := h.Max.Value()
	if d.Count == 0 || least < d.Min {
		d.Min = least
	}
	d.Max = max(d.Max, most)
	d.Count += h.Count
	d.Sum += h.Sum
	for i, count := range h.BucketCounts {
		if count == 0 {
			continue
		}
		low, high := least, most
		if i > 0 {
			low = max(low, h.Bounds[i-1])
		}
		if i < len(h.Bounds) {
			high = min(high, h.Bounds[i])
		}
		d.Values = append(d.Values, (low+high)/2)
		d.Counts = append(d.Counts, float64(count))
	}
}

// point is one value of an instrument, or one histogram.
type point struct {
	labels  attribute.Set
	value   float64
	buckets *metricdata.HistogramDataPoint[float64]
}

// pointsOf returns the points of an instrument.
func pointsOf(collected metricdata.ResourceMetrics, instrument string) (found []point) {
	for _, s := range collected.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Name != instrument {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					found = append(found, point{labels: p.Attributes, value: float64(p.Value)})
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					found = append(found, point{labels: p.Attributes, value: float64(p.Value)})
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					if p.Count > 0 {
						found = append(found, point{labels: p.Attributes, buckets: &p})
					}
				}
			}
		}
	}
	return found
}
