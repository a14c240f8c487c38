package telemetry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sqsonce/sqsonce/consumer"
)

// ConsumerHooks returns hooks that count the events of a consumer.
func (q *Queue) ConsumerHooks() consumer.Hooks {
	ctx := context.Background()
	return consumer.Hooks{
		Received: func(n int, _ time.Duration) {
			q.is.received.Add(ctx, int64(n), q.labels.with(semconv.MessagingOperationName("receive")).add...)
			q.is.receives.Record(ctx, int64(n), q.labels.with().record...)
		},
		Handled: func(_ consumer.Message, d consumer.Disposition, _ time.Duration) {
			q.is.handled.Add(ctx, 1, q.labels.with(keyOutcome.String(d.Action.String()), reason(d.Reason)).add...)
		},
		DeadLettered: func(_ consumer.Message, d consumer.Disposition) {
			q.is.deadLetters.Add(ctx, 1, q.labels.with(reason(d.Reason)).add...)
		},
		CopyFailed: func(_ consumer.Message, d consumer.Disposition, _ error) {
			q.is.copiesFailed.Add(ctx, 1, q.labels.with(reason(d.Reason)).add...)
		},
		Answered: func(operation string, n, _ int, _ time.Duration) {
			q.is.acks.Record(ctx, int64(n), q.labels.with(keyOperation.String(operation)).record...)
		},
	}
}

// Watch registers gauges of a consumer's numbers, which are read at each scrape. dependencies are
// the names that may be reported as not Up. It must be called once for each queue.
func (q *Queue) Watch(stats func() consumer.Stats, dependencies ...string) error {
	meter := q.is.meter
	gauge := func(name, unit, help string) (metric.Int64ObservableGauge, error) {
		return meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(help))
	}
	numbers := []struct {
		name, unit, help string
		of               func(consumer.Stats) int
	}{
		{"sqsonce.slots", "{slot}", "Messages that can be handled at a time.", func(s consumer.Stats) int { return s.Slots }},
		{"sqsonce.slots.taken", "{slot}", "Taken slots, which is the number of running handlers.", func(s consumer.Stats) int { return s.Running }},
		{"sqsonce.held", "{message}", "Messages that wait in the worker, without a slot, for the end of an outage.", func(s consumer.Stats) int { return s.Held }},
		{"sqsonce.limited", "{message}", "Messages that wait in the worker, without a slot, for the bound of their group.", func(s consumer.Stats) int { return s.Limited }},
		{"sqsonce.parked", "{message}", "Other messages in the worker without a slot: parked, refused, or behind a FIFO head.", func(s consumer.Stats) int { return s.Parked }},
		{"sqsonce.acks.unanswered", "{message}", "Messages that are being settled, without an answer from SQS yet.", func(s consumer.Stats) int { return s.Acks }},
		{"sqsonce.polls", "{call}", "Open receives.", func(s consumer.Stats) int { return s.Polls }},
	}
	observables := make([]metric.Observable, 0, len(numbers)+2)
	gauges := make([]metric.Int64ObservableGauge, len(numbers))
	for i, n := range numbers {
		g, err := gauge(n.name, n.unit, n.help)
		if err != nil {
			return fmt.Errorf("telemetry of %s: %w", n.name, err)
		}
		gauges[i], observables = g, append(observables, g)
	}
	down, err := gauge("sqsonce.down", "", "1 for a dependency that is not up, else 0.")
	if err != nil {
		return fmt.Errorf("telemetry of dependencies: %w", err)
	}
	state, err := gauge("sqsonce.state", "", "1 for the current state of the worker, 0 for all others.")
	if err != nil {
		return fmt.Errorf("telemetry of the state: %w", err)
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := stats()
		for i, n := range numbers {
			o.ObserveInt64(gauges[i], int64(n.of(s)), q.labels.with().observe)
		}
		for _, name := range dependencies {
			o.ObserveInt64(down, one(slices.Contains(s.Down, name)), q.labels.with(attribute.String("dependency", name)).observe)
		}
		for _, is := range states {
			o.ObserveInt64(state, one(s.State == is), q.labels.with(attribute.String("state", string(is))).observe)
		}
		return nil
	}, append(observables, down, state)...)
	if err != nil {
		return fmt.Errorf("telemetry of the consumer: %w", err)
	}
	return nil
}

var states = []consumer.State{
	consumer.Starting, consumer.Running, consumer.Paused, consumer.Held, consumer.Draining, consumer.Stopped,
}

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}
