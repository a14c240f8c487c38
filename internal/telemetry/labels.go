package telemetry

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// labels are the sets that measurements are labelled with: all begin with the
// same labels. Each set is made once, because making one costs more than counting.
// They are kept for good, so the values of a label must be few.
type labels struct {
	fixed []attribute.KeyValue

	mu   sync.RWMutex
	sets map[added]set // guarded by mu
}

// added are the labels of a set beside the fixed ones; the rest is zero.
type added [3]struct {
	key   attribute.Key
	value string
}

func newLabels(fixed ...attribute.KeyValue) *labels {
	return &labels{fixed: fixed, sets: make(map[added]set)}
}

// set is one set of labels, as the options of each kind of instrument.
type set struct {
	add     []metric.AddOption
	record  []metric.RecordOption
	observe metric.ObserveOption
}

// with returns the set that has the given labels too. Only sets of at most three
// more, all of them texts, are kept. Call it directly: through a func value, more is allocated.
func (l *labels) with(more ...attribute.KeyValue) set {
	var key added
	for i, label := range more {
		if i == len(key) || label.Value.Type() != attribute.STRING {
			return l.fresh(slices.Clone(more)) // so that more itself can stay on its stack
		}
		key[i].key, key[i].value = label.Key, label.Value.AsString()
	}
	l.mu.RLock()
	s, known := l.sets[key]
	l.mu.RUnlock()
	if known {
		return s
	}
	s = l.fresh(slices.Clone(more))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sets[key] = s
	return s
}

// fresh makes a set that is not kept.
func (l *labels) fresh(more []attribute.KeyValue) set {
	option := metric.WithAttributeSet(attribute.NewSet(slices.Concat(l.fixed, more)...))
	return set{[]metric.AddOption{option}, []metric.RecordOption{option}, option}
}
