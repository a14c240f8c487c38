package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/ecs"
	"github.com/sqsonce/sqsonce/internal/target"
	"github.com/sqsonce/sqsonce/internal/telemetry"
	"github.com/sqsonce/sqsonce/names"
)

// newPool builds the way of a message: consumer, telemetry, guard, handler.
func (q *queueWorker) newPool() error {
	c := q.settings
	queueName, err := awsenv.QueueName(q.back.queueURL)
	if err != nil {
		return err
	}
	// The pool has to be told of outages by what it calls.
	tell := func(dependency string, is consumer.Condition) { q.pool.Report(dependency, is) }
	store := storeWatch{report: tell, log: q.log}

	guarding := c.guardConfig(cmp.Or(c.Scope, queueName), q.log)
	guarding.Now = q.back.now
	guarding.Hooks = q.history.DedupeHooks(store.hooks(q.telemetry.DedupeHooks()))
	keys, err := names.New(c.keyConfig())
	if err != nil {
		return err
	}
	do := named
	var aim *target.Target
	outage := &targetWatch{report: tell, log: q.log}
	if c.TargetURL != "" {
		aiming := c.targetConfig(queueName)
		aiming.Dial = q.dial
		if aim, err = target.New(aiming); err != nil {
			return err
		}
		hold := c.OnUnknown == "hold"
		do = posted(target.NewBreaker(aim, hold, outage.changed), q.telemetry.Traceparent)
		if !hold {
			do = satOut(do)
		}
	}
	pooling := c.poolConfig(q.back, q.log)
	pooling.Name = sqsonce.NameOf(keys)
	pooling.Hooks = q.history.ConsumerHooks(pooling.Name, q.telemetry.ConsumerHooks())
	front, err := sqsonce.New(aws.Config{}, sqsonce.Config{
		QueueURL: q.back.queueURL, Queue: q.back.queue, Store: q.back.store, Namer: keys, Guard: guarding, Pool: pooling,
		Ignored: func(m consumer.Message, why string) {
			q.telemetry.Ignored(why)
			q.log.Debug("ignored", "message_id", m.ID, "why", why)
		},
		Middleware: []consumer.Middleware{q.telemetry.Middleware(), protected(q.protector)},
	}, noted(q.telemetry, q.log, do))
	if err != nil {
		return err
	}
	q.pool = front.Pool
	if aim != nil && c.TargetHealth != "" {
		check := func(ctx context.Context) error { return aim.Healthy(ctx, c.TargetHealth) }
		q.health = newHealthGate(check, tell, q.log)
		outage.health = q.health
	}
	return q.telemetry.Watch(q.pool.Stats, targetDown, targetHealth, storeDown, "handler")
}

// protected keeps the task from being scaled in while a message is handled.
func protected(p *ecs.Protector) consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, m consumer.Message) error {
			defer p.Begin()()
			return next(ctx, m)
		}
	}
}

// work is what is done with a message, once per name.
type work = func(context.Context, consumer.Message) (dedupe.Payload, error)

// noted passes the attempt to telemetry, and logs its success. The pool logs
// failures, with what it decided.
func noted(tele *telemetry.Queue, log *slog.Logger, do work) work {
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		attempt, _ := dedupe.AttemptFrom(ctx)
		tele.Attempt(ctx, attempt)
		start := time.Now()
		result, err := do(ctx, m)
		if err == nil && log.Enabled(ctx, slog.LevelDebug) {
			log.DebugContext(ctx, "handled", "name", attempt.Name, "message_id", m.ID,
				"bytes", len(m.Body), "took", time.Since(start))
		}
		return result, err
	}
}

// named is the built-in handler: it answers with the name.
func named(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
	attempt, _ := dedupe.AttemptFrom(ctx)
	data, err := json.Marshal(struct {
		Name string `json:"name"`
	}{attempt.Name})
	return dedupe.Payload{Data: data}, err
}

// posted hands the message to the HTTP target.
func posted(t *target.Breaker, traceparent func(context.Context) string) work {
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		attempt, _ := dedupe.AttemptFrom(ctx)
		attributes := make(map[string]string, len(m.Attributes))
		for name := range m.Attributes {
			if v, ok := m.Attribute(name); ok {
				attributes[name] = v
			}
		}
		message, _ := sqsonce.NamedFrom(ctx)
		resp, err := t.Post(ctx, target.Request{
			Name: attempt.Name, Fence: int64(attempt.Fence), Attempt: attempt.Number,
			Body: m.Body, MessageID: m.ID, FirstReceived: m.FirstReceived, ReceiveCount: m.ReceiveCount,
			Attributes: attributes, Headers: message.Headers, TraceParent: traceparent(ctx),
		})
		if err != nil {
			return dedupe.Payload{}, err
		}
		return payload(resp), nil
	}
}

// satOut ends an attempt of unknown outcome no earlier than the target's time for
// it: until then it holds the name, so that no duplicate meets the target still at
// work. What ends ctx ends the wait; the error says what is left.
func satOut(do work) work {
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		result, err := do(ctx, m)
		if unknown, ok := errors.AsType[*target.UnknownOutcomeError](err); ok {
			_ = backoff.Sleep(ctx, unknown.RetryAfter()) // err says what is left
		}
		return result, err
	}
}

// payload is the target's answer as a result: JSON as it is, anything else
// with its type. One that was not kept is stood for by the guard's own marker.
func payload(r target.Response) dedupe.Payload {
	switch {
	case r.Size > int64(len(r.Body)):
		return dedupe.Payload{Type: dedupe.OmittedType, Data: fmt.Appendf(nil,
			`{"omitted":"larger than %d bytes","size":%d,"sha256":"%x"}`, len(r.Body), r.Size, r.SHA256)}
	case len(r.Body) == 0:
		return dedupe.Payload{}
	case json.Valid(r.Body):
		return dedupe.Payload{Data: r.Body}
	case r.ContentType == "":
		return dedupe.Payload{Data: r.Body, Type: "application/octet-stream"}
	default:
		return dedupe.Payload{Data: r.Body, Type: r.ContentType}
	}
}
