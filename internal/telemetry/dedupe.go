package telemetry

import (
	"context"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
)

// BatchRefused counts an operation on DynamoDB that the store gives up, because
// the server refuses batches: see dynamo.Config.
func (t *Telemetry) BatchRefused(operation string, _ error) {
	t.is.batchRefused.Add(context.Background(), 1, t.labels.with(keyOperation.String(operation)))
}

// DedupeHooks count what a guard does.
func (t *Telemetry) DedupeHooks() dedupe.Hooks {
	ctx, queue := context.Background(), t.labels
	return dedupe.Hooks{
		TookOver: func(dedupe.Attempt) { t.is.takeovers.Add(ctx, 1, queue.with()) },
		Replayed: func(_ dedupe.Attempt, kind string) {
			if kind == "recorded" {
				kind = "replayed" // as opposed to cached and joined
			}
			t.is.duplicates.add(kind)
		},
		Deferred: func(dedupe.Attempt, time.Duration) { t.is.duplicates.add("deferred") },
		Refused: func(_ dedupe.Attempt, why string) {
			t.is.refused.Add(ctx, 1, queue.with(keyReason.String(why)))
		},
		LeaseLost:     func(dedupe.Attempt) { t.is.lost.Add(ctx, 1, queue.with()) },
		CompletedLate: func(dedupe.Attempt) { t.is.late.Add(ctx, 1, queue.with()) },
		Settled: func(_ dedupe.Attempt, outcome string, _ time.Duration, _ error) {
			t.is.settled.add(outcome)
		},
		OwnWrite: func(_ dedupe.Attempt, op string) {
			t.is.recovered.Add(ctx, 1, queue.with(keyOperation.String(op)))
		},
		StoreFailed: func(_ dedupe.Attempt, op string, _ error) {
			t.is.storeErrors.Add(ctx, 1, queue.with(keyOperation.String(op)))
		},
	}
}
