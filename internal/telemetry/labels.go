package telemetry

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// labels are the sets that measurements are labelled with: all begin with the
// same labels. Each set is made once, for that costs more than the counting.
// They are kept for good, so the values of a label must be few.
type labels struct {
	fixed []attribute.KeyValue

	mu   sync.RWMutex
	sets map[added]metric.MeasurementOption // guarded by mu
}

// added are the labels of a set beside the fixed ones; the rest is zero.
type added [3]struct {
	key   attribute.Key
	value string
}

func newLabels(fixed ...attribute.KeyValue) *labels {
	return &labels{fixed: fixed, sets: make(map[added]metric.MeasurementOption)}
}

// with returns the set that has the given labels too. Only sets of at most three
// more, all of them texts, are kept.
func (l *labels) with(more ...attribute.KeyValue) metric.MeasurementOption {
	var key added
	for i, label := range more {
		if i == len(key) || label.Value.Type() != attribute.STRING {
			return l.fresh(slices.Clone(more)) // so that more itself can stay on its stack
		}
		key[i].key, key[i].value = label.Key, label.Value.AsString()
	}
	l.mu.RLock()
	set, known := l.sets[key]
	l.mu.RUnlock()
	if known {
		return set
	}
	set = l.fresh(slices.Clone(more))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sets[key] = set
	return set
}

// fresh makes a set that is not kept.
func (l *labels) fresh(more []attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(slices.Concat(l.fixed, more)...))
}
