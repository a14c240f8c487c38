package telemetry

import (
	"context"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
)

// BatchRefused counts a DynamoDB batch operation that the store no longer uses, because the server
// refuses it; see dynamo.Config.
func (q *Queue) BatchRefused(operation string, _ error) {
	q.is.batchRefused.Add(context.Background(), 1, q.labels.with(keyOperation.String(operation)).add...)
}

// Ignored counts a message that was deleted without work, by reason.
func (q *Queue) Ignored(why string) {
	q.is.ignored.Add(context.Background(), 1, q.labels.with(keyReason.String(why)).add...)
}

// DedupeHooks returns hooks that count the events of a guard.
func (q *Queue) DedupeHooks() dedupe.Hooks {
	ctx := context.Background()
	return dedupe.Hooks{
		TookOver: func(dedupe.Attempt) { q.is.takeovers.Add(ctx, 1, q.labels.with().add...) },
		Replayed: func(_ dedupe.Attempt, kind string) {
			if kind == "recorded" {
				kind = "replayed" // as opposed to cached and joined
			}
			q.is.duplicates.Add(ctx, 1, q.labels.with(keyKind.String(kind)).add...)
		},
		Deferred: func(dedupe.Attempt, time.Duration) {
			q.is.duplicates.Add(ctx, 1, q.labels.with(keyKind.String("deferred")).add...)
		},
		Refused: func(_ dedupe.Attempt, why string) {
			q.is.refused.Add(ctx, 1, q.labels.with(keyReason.String(why)).add...)
		},
		LeaseLost:     func(dedupe.Attempt) { q.is.lost.Add(ctx, 1, q.labels.with().add...) },
		CompletedLate: func(dedupe.Attempt) { q.is.late.Add(ctx, 1, q.labels.with().add...) },
		Settled: func(_ dedupe.Attempt, outcome string, _ time.Duration, _ error) {
			q.is.settled.Add(ctx, 1, q.labels.with(keyOutcome.String(outcome)).add...)
		},
		OwnWrite: func(_ dedupe.Attempt, op string) {
			q.is.recovered.Add(ctx, 1, q.labels.with(keyOperation.String(op)).add...)
		},
		StoreFailed: func(_ dedupe.Attempt, op string, _ error) {
			q.is.storeErrors.Add(ctx, 1, q.labels.with(keyOperation.String(op)).add...)
		},
	}
}
