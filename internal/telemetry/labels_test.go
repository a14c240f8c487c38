package telemetry

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

func TestLabels(t *testing.T) {
	t.Run("set of labels is found by its values", testASetOfLabelsIsTheOneThatIsAskedFor)
}

func testASetOfLabelsIsTheOneThatIsAskedFor(t *testing.T) {
	a, b := attribute.String("a", "1"), attribute.String("b", "2")
	l := newLabels(attribute.String("queue", "q"))
	for _, more := range [][]attribute.KeyValue{
		nil, {a}, {b}, {a, b}, {a, attribute.String("b", "3")}, {a, b, attribute.String("c", "3")},
		{attribute.Int("a", 1)}, {a, b, attribute.String("c", "3"), attribute.String("d", "4")}, // not kept
	} {
		want := attribute.NewSet(append([]attribute.KeyValue{attribute.String("queue", "q")}, more...)...)
		for range 2 { // made, and kept
			s := l.with(more...)
			added, recorded := metric.NewAddConfig(s.add).Attributes(), metric.NewRecordConfig(s.record).Attributes()
			observed := metric.NewObserveConfig([]metric.ObserveOption{s.observe}).Attributes()
			if added != want || recorded != want || observed != want {
				t.Errorf("%v: %v, %v, %v", more, added.ToSlice(), recorded.ToSlice(), observed.ToSlice())
			}
		}
	}
	if len(l.sets) != 6 {
		t.Errorf("%d sets are kept", len(l.sets))
	}
}
