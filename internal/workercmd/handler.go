package workercmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/ecs"
	"github.com/sqsonce/sqsonce/internal/mirror"
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
	q.store = &storeWatch{report: tell, log: q.log}

	guarding := c.guardConfig(cmp.Or(c.Scope, queueName), q.log)
	guarding.Now = q.back.now
	guarding.Hooks = q.history.DedupeHooks(q.store.hooks(q.telemetry.DedupeHooks()))
	keys, err := names.New(c.keyConfig())
	if err != nil {
		return err
	}
	do := named
	if c.Handler == logHandler {
		do = logged(q.log)
	}
	if c.TargetURL != "" {
		if err := q.aim(queueName, tell); err != nil {
			return err
		}
		do = posted(q.judge, q.telemetry.Traceparent, c.PathPrefix, c.Result)
		if c.TargetBatch > 0 {
			if do, err = batchPosted(q.judge, q.telemetry.Traceparent, c.batchConfig()); err != nil {
				return err
			}
		}
	}
	pooling := c.poolConfig(q.back, q.log)
	pooling.Name = sqsonce.NameOf(keys)
	if c.GroupBy != "" {
		if pooling.GroupBy, err = sqsonce.GroupBy(c.GroupBy, c.Unwrap); err != nil {
			return err
		}
	}
	pooling.Hooks = q.history.ConsumerHooks(pooling.Name, q.telemetry.ConsumerHooks())
	var before sqsonce.Earlier
	if q.back.earlier != nil {
		before = q.back.earlier
	}
	var fetching sqsonce.Payloads
	if q.back.payloads != nil {
		fetching = q.back.payloads
	}
	front, err := sqsonce.New(aws.Config{}, sqsonce.Config{
		QueueURL: q.back.queueURL, Queue: q.back.queue, Store: q.back.store, Namer: keys, Guard: guarding, Pool: pooling, Payloads: fetching, Earlier: before,
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
	if q.health != nil {
		q.health.close()
	}
	return nil
}

// aim makes the target, and what judges it.
func (q *queueWorker) aim(queueName string, tell report) error {
	c := q.settings
	aiming := c.targetConfig(queueName)
	aiming.Dial = q.dial
	aim, err := target.New(aiming)
	if err != nil {
		return err
	}
	outage := &targetWatch{report: tell, believe: q.believeCall(), log: q.log}
	judging := target.JudgeConfig{
		SuspectAfter: c.SuspectAfter, Hold: c.OnUnknown == "hold", Changed: outage.changed,
		Stopping: q.stopping, BrokenByStop: q.brokenByStop,
	}
	if c.TargetHealth != "" {
		judging.Health = func(ctx context.Context) error { return aim.Healthy(ctx, c.TargetHealth) }
		q.health = newHealthGate(judging.Health, func() { q.judge.Recovered() }, tell, q.log)
		outage.health = q.health
	}
	q.judge = target.NewJudge(aim, judging)
	return nil
}

// brokenByStop tells of requests that a stop of the target has cut off, and how such stops
// are ordered.
func (q *queueWorker) brokenByStop(err *target.UnknownOutcomeError) {
	became := "their attempts do not count, and their messages come back once --target-timeout has passed"
	if q.settings.OnUnknown == "hold" {
		became = "their names are UNKNOWN, because of --on-unknown hold, until producer resolve says what became of them"
	}
	q.log.Warn("the target ended before this worker had stopped: requests that had gone out have no answer; "+became+
		"; let the platform stop the worker first, and the target when the worker has ended (docs/worker.md, Stopping)",
		"queue", q.settings.queueName(), "error", err)
}

// believeCall is the call of the admin server by which an operator says that the
// target's answers are true.
func (q *queueWorker) believeCall() string {
	return fmt.Sprintf("POST http://%s/believe?queue=%s", q.admin.Addr(), url.QueryEscape(q.settings.queueName()))
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

// logHandler is the --handler that logs each message and does nothing else.
const logHandler = "log"

// loggedBody is how many bytes of a body [logged] logs. A line with the longest one stays below
// the 256 KiB of an event of CloudWatch Logs, with every byte escaped.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
const loggedBody = 8 << 10

// logged logs each message at INFO: where nothing else is done with it, the line is all that is
// left of it.
func logged(log *slog.Logger) work {
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		attempt, _ := dedupe.AttemptFrom(ctx)
		log.InfoContext(ctx, "message", "name", attempt.Name, "message_id", m.ID,
			"bytes", len(m.Body), "body", m.Body[:min(len(m.Body), loggedBody)])
		return named(ctx, m)
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

// posted hands the message to the HTTP target. One that carries a request may choose
// its path below prefixes. Of its answer is recorded what kept, the value of --result, says.
func posted(t *target.Judge, traceparent func(context.Context) string, prefixes []string, kept string) work {
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		attempt, _ := dedupe.AttemptFrom(ctx)
		message, _ := sqsonce.NamedFrom(ctx)
		r, err := targetRequest(m, message, prefixes)
		if err != nil {
			return dedupe.Payload{}, err
		}
		r.Name, r.Fence, r.Attempt, r.TraceParent = attempt.Name, int64(attempt.Fence), attempt.Number, traceparent(ctx)
		resp, err := t.Post(ctx, r)
		if err != nil {
			return dedupe.Payload{}, err
		}
		return payload(resp, kept), nil
	}
}

// batchPosted hands several messages to the HTTP target in one request. Its answer has no
// results.
func batchPosted(t *target.Judge, traceparent func(context.Context) string, cfg consumer.BatchConfig) (work, error) {
	batched, err := consumer.Batch(func(ctx context.Context, batch []consumer.Message) ([]dedupe.Payload, []error, error) {
		requests := make([]target.Request, len(batch))
		for i, m := range batch {
			attempt, _ := dedupe.AttemptFrom(m.Context())
			message, _ := sqsonce.NamedFrom(m.Context())
			r, err := targetRequest(m, message, nil)
			if err != nil {
				return nil, nil, err
			}
			r.Name, r.Fence, r.Attempt, r.TraceParent = attempt.Name, int64(attempt.Fence), attempt.Number, traceparent(m.Context())
			requests[i] = r
		}
		failed, err := t.PostBatch(ctx, requests)
		return nil, failed, err
	}, cfg)
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		message, _ := sqsonce.NamedFrom(ctx)
		if _, err := targetRequest(m, message, nil); err != nil {
			return dedupe.Payload{}, err // it carries a request of its own, and is in no batch
		}
		return batched(ctx, m)
	}, err
}

// targetRequest is what the target gets of a message, apart from the attempt. The error is
// that of a request that the message carries.
func targetRequest(m consumer.Message, named names.Named, prefixes []string) (target.Request, error) {
	r := target.Request{
		Name: named.Name, Body: m.Body, MessageID: m.ID, FirstReceived: m.FirstReceived, ReceiveCount: m.ReceiveCount,
		SentAt: m.SentAt, SenderID: m.SenderID, Headers: named.Headers,
		Attributes: make(map[string]string, len(m.Attributes)), Binary: make(map[string][]byte),
	}
	for name, v := range m.Attributes {
		if v.StringValue != nil {
			r.Attributes[name] = *v.StringValue
		} else if v.BinaryValue != nil {
			r.Binary[name] = v.BinaryValue
		}
	}
	var err error
	r.Mirror, err = carriedRequest(r.Attributes, prefixes)
	return r, err
}

// carriedRequest takes the request that a message carries, if it does, out of its
// attributes. One that is not allowed never will be.
func carriedRequest(attributes map[string]string, prefixes []string) (*mirror.Request, error) {
	r, found, err := mirror.Read(attributes, prefixes)
	switch {
	case err != nil:
		return nil, consumer.Permanent(fmt.Errorf("the request that the message carries: %w", err))
	case !found:
		return nil, nil
	}
	for _, name := range []string{mirror.AttrMethod, mirror.AttrPath, mirror.AttrHeaders} {
		delete(attributes, name) // they are the request itself
	}
	return &r, nil
}

// payload is the target's answer as a result, as --result wants it: JSON as it is,
// anything else with its type. One that is not kept whole is stood for by the guard's own
// marker.
func payload(r target.Response, kept string) dedupe.Payload {
	switch {
	case kept == resultNone || kept == resultFull && r.Size == 0:
		return dedupe.Payload{}
	case kept == resultHash:
		return omitted("--result hash", r)
	case r.Size > int64(len(r.Body)):
		return omitted(fmt.Sprintf("larger than %d bytes", len(r.Body)), r)
	case json.Valid(r.Body):
		return dedupe.Payload{Data: r.Body}
	default:
		return dedupe.Payload{Data: r.Body, Type: cmp.Or(r.ContentType, "application/octet-stream")}
	}
}

// Values of --result.
const (
	resultFull = "full" // the default
	resultHash = "hash"
	resultNone = "none"
)

// omitted is the marker for an answer that is not recorded; see [protocol.OmittedType].
func omitted(why string, r target.Response) dedupe.Payload {
	return dedupe.Payload{
		Type: protocol.OmittedType,
		Data: fmt.Appendf(nil, `{"omitted":%q,"size":%d,"sha256":"%x"}`, why, r.Size, r.SHA256),
	}
}
