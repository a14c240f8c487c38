package telemetry

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// labels holds the label sets of measurements, which all begin with the same labels. Each set is
// made once, because making one costs more than counting. Sets are kept for good, so the values of
// a label must be few.
type labels struct {
	fixed []attribute.KeyValue

	mu   sync.RWMutex
	sets map[added]set // guarded by mu
}

// added are the labels of a set without the fixed ones. The rest is zero.
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

// with returns the set with the given labels added. Only sets of at most three added text labels
// are kept. It should be called directly, because a call through a func value allocates more.
func (l *labels) with(more ...attribute.KeyValue) set {
	var key added
	for i, label := range more {
		if i == len(key) || label.Value.Type() != attribute.STRING {
			return l.fresh(slices.Clone(more)) // a clone, so that more itself stays on the stack
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

// fresh returns a set that is not kept.
func (l *labels) fresh(more []attribute.KeyValue) set {
	option := metric.WithAttributeSet(attribute.NewSet(slices.Concat(l.fixed, more)...))
	return set{[]metric.AddOption{option}, []metric.RecordOption{option}, option}
}
