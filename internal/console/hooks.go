package console

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go/middleware"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
)

// ConsumerHooks returns hooks for the pool that call h and then next. nameOf names messages without
// a verdict of the guard; it may be nil.
func (h *History) ConsumerHooks(nameOf func(consumer.Message) (string, bool), next consumer.Hooks) consumer.Hooks {
	name := func(m consumer.Message) (name string) {
		if nameOf != nil {
			name, _ = nameOf(m)
		}
		return name
	}
	next.Received = then2(func(n int, _ time.Duration) { h.received(n) }, next.Received)
	next.Handled = then3(func(m consumer.Message, d consumer.Disposition, took time.Duration) { h.handled(m, d, took, name) }, next.Handled)
	next.Ended = then2(func(m consumer.Message, _ consumer.Disposition) { h.ended(m.ID) }, next.Ended)
	return next
}

// DedupeHooks returns hooks for the guard that call h and then next.
func (h *History) DedupeHooks(next dedupe.Hooks) dedupe.Hooks {
	next.Claimed = then1(h.claimed, next.Claimed)
	next.TookOver = then1(func(a dedupe.Attempt) { h.happened(a.Name, "took over", "") }, next.TookOver)
	next.Replayed = then2(h.suppressed, next.Replayed)
	next.Deferred = then2(func(a dedupe.Attempt, _ time.Duration) { h.suppressed(a, "deferred") }, next.Deferred)
	next.Refused = then2(h.refused, next.Refused)
	next.Renewed = then2(func(a dedupe.Attempt, err error) {
		if err == nil {
			h.renewed(a)
		}
	}, next.Renewed)
	next.LeaseLost = then1(func(a dedupe.Attempt) { h.happened(a.Name, "lease lost", "") }, next.LeaseLost)
	next.CompletedLate = then1(func(a dedupe.Attempt) { h.happened(a.Name, "completed late", "") }, next.CompletedLate)
	settled := next.Settled
	next.Settled = func(a dedupe.Attempt, outcome string, took time.Duration, err error) {
		h.settled(a, outcome, took, err)
		if settled != nil {
			settled(a, outcome, took, err)
		}
	}
	next.OwnWrite = then2(func(a dedupe.Attempt, op string) { h.happened(a.Name, "own write recognised", op) }, next.OwnWrite)
	next.StoreFailed = then3(func(a dedupe.Attempt, op string, err error) { h.happened(a.Name, "store failed", op+": "+err.Error()) }, next.StoreFailed)
	return next
}

// then1 returns a func that calls both; next may be nil.
func then1[A any](first, next func(A)) func(A) {
	if next == nil {
		return first
	}
	return func(a A) { first(a); next(a) }
}

func then2[A, B any](first, next func(A, B)) func(A, B) {
	if next == nil {
		return first
	}
	return func(a A, b B) { first(a, b); next(a, b) }
}

func then3[A, B, C any](first, next func(A, B, C)) func(A, B, C) {
	if next == nil {
		return first
	}
	return func(a A, b B, c C) { first(a, b, c); next(a, b, c) }
}

// oursKey marks the console's own calls.
type oursKey struct{}

// ours marks calls with the returned context as the console's own, which do not count as calls for
// messages.
func ours(ctx context.Context) context.Context { return context.WithValue(ctx, oursKey{}, true) }

// CountCalls makes an AWS client count its calls in h, including retries. Add it to the APIOptions
// of the clients' configuration.
func (h *History) CountCalls(stack *middleware.Stack) error {
	// After the retry middleware, so that every try counts.
	return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("sqsonce.console.count",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
			middleware.FinalizeOutput, middleware.Metadata, error,
		) {
			if ctx.Value(oursKey{}) == nil {
				h.called()
			}
			return next.HandleFinalize(ctx, in)
		}), middleware.After)
}

// WatchPool returns c as a [Pool].
func WatchPool(c *consumer.Consumer) Pool { return pool{c} }

type pool struct{ *consumer.Consumer }

// Snapshot implements [Pool].
func (p pool) Snapshot(limit int) Snapshot {
	stats := p.Stats()
	s := Snapshot{
		State: string(stats.State), Slots: stats.Slots, Running: stats.Running, Queued: stats.Queued, Limited: stats.Limited, Parked: stats.Parked,
		Polls: stats.Polls, Acks: stats.Acks, Down: stats.Down, LastPoll: stats.LastPoll,
	}
	flights := p.Flights(limit)
	s.Flights = make([]Flight, len(flights))
	for i, f := range flights {
		s.Flights[i] = Flight{
			ID: f.ID, Name: f.Name, ReceiveCount: f.ReceiveCount, LastReceive: f.LastReceive,
			Phase: f.Phase, Received: f.Received, VisibleAt: f.VisibleAt,
		}
	}
	return s
}

// TaskID returns the id of this ECS task from the value of ECS_CONTAINER_METADATA_URI_V4, or "". On
// Fargate its last part holds the ids of the task and the container:
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html
func TaskID(metadataURI string) string {
	id, _, ok := strings.Cut(lastPart(metadataURI), "-")
	if _, err := hex.DecodeString(id); !ok || err != nil || len(id) != 32 {
		return ""
	}
	return id
}

// Settings returns settings sorted by name.
func Settings(all map[string]any) []Setting {
	settings := make([]Setting, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value := fmt.Sprint(all[name])
		if value == "[]" { // an empty list is not set and needs no mask
			value = ""
		}
		settings = append(settings, Setting{Name: name, Value: value})
	}
	return settings
}
