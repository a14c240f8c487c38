package telemetry

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// tally is a counter of what happens with every message. It counts by itself and
// is read when somebody looks: an instrument sorts its labels anew each time,
// which takes ten times as long. Safe for concurrent use.
type tally struct {
	labels *labels
	keys   [2]attribute.Key // of the values; an empty one is not used

	mu     sync.RWMutex
	counts map[[2]string]*count // guarded by mu; by the values, which must be few
}

type count struct {
	n      atomic.Int64
	labels metric.MeasurementOption
}

// newTally returns a tally that m reads. It is counted by the values of at most
// two keys, beside the labels that all have.
func newTally(m metric.Meter, all *labels, name, unit, help string, keys ...attribute.Key) (*tally, error) {
	t := &tally{labels: all, counts: make(map[[2]string]*count)}
	copy(t.keys[:], keys)
	_, err := m.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(help),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			t.mu.RLock()
			defer t.mu.RUnlock()
			for _, c := range t.counts {
				o.Observe(c.n.Load(), c.labels)
			}
			return nil
		}))
	if err != nil {
		return nil, fmt.Errorf("tally: %w", err)
	}
	return t, nil
}

// add counts one for the values of the tally's keys.
func (t *tally) add(values ...string) {
	var key [2]string
	copy(key[:], values)
	t.mu.RLock()
	c := t.counts[key]
	t.mu.RUnlock()
	if c == nil {
		c = t.fresh(key)
	}
	c.n.Add(1)
}

func (t *tally) fresh(values [2]string) *count {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.counts[values]; c != nil {
		return c
	}
	var with []attribute.KeyValue
	for i, key := range t.keys {
		if key != "" {
			with = append(with, key.String(values[i]))
		}
	}
	c := &count{labels: t.labels.with(with...)}
	t.counts[values] = c
	return c
}
