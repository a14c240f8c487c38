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
	"github.com/sqsonce/sqsonce/failure"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/ecs"
	"github.com/sqsonce/sqsonce/internal/mirror"
	"github.com/sqsonce/sqsonce/internal/target"
	"github.com/sqsonce/sqsonce/internal/telemetry"
	"github.com/sqsonce/sqsonce/names"
)

// newPool builds the layers that a message passes: consumer, telemetry, guard, handler.
func (q *queueWorker) newPool() error {
	c := q.settings
	queueName, err := awsenv.QueueName(q.back.queueURL)
	if err != nil {
		return err
	}
	// The layers below report outages to the pool.
	tell := func(dependency string, is consumer.Condition) { q.pool.Report(dependency, is) }
	q.store = &storeWatch{report: tell, log: q.log}

	guarding := c.guardConfig(cmp.Or(c.Scope, queueName), q.log)
	guarding.Now = q.back.now
	guarding.Hooks = q.history.DedupeHooks(q.store.hooks(q.telemetry.DedupeHooks()))
	extractor, err := names.New(c.keyConfig())
	if err != nil {
		return err
	}
	keys := newFewAtATime(extractor)
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
			if do, err = batchPosted(q.judge, q.telemetry.Traceparent, c.batchConfig(), q.log); err != nil {
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
	}, observed(q.telemetry, q.log, do))
	if err != nil {
		return err
	}
	q.pool = front.Pool
	if q.health != nil {
		q.health.close()
	}
	return nil
}

// aim creates the target, its judge and its health gate.
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

// brokenByStop logs that the target ended before the worker and aborted requests, and the order in
// which they should stop.
func (q *queueWorker) brokenByStop(err *target.UnknownOutcomeError) {
	became := "their attempts do not count, and their messages come back after --target-timeout"
	if q.settings.OnUnknown == "hold" {
		became = "because of --on-unknown hold their names are UNKNOWN until they are settled with producer resolve"
	}
	q.log.Warn("the target ended before this worker had stopped: requests under way got no answer; "+became+
		"; let the platform stop the worker first, and the target after the worker has ended (docs/worker.md, Stopping)",
		"queue", q.settings.queueName(), "error", err)
}

// believeCall returns the admin call with which an operator ends a wrong suspicion: the target's
// answers then count against messages again.
func (q *queueWorker) believeCall() string {
	return fmt.Sprintf("POST http://%s/believe?queue=%s", q.admin.Addr(), url.QueryEscape(q.settings.queueName()))
}

// protected returns a middleware that protects the ECS task from scale-in while a message is
// handled.
func protected(p *ecs.Protector) consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, m consumer.Message) error {
			defer p.Begin()()
			return next(ctx, m)
		}
	}
}

// work handles a message, once per name, and returns the result to record.
type work = func(context.Context, consumer.Message) (dedupe.Payload, error)

// observed passes the attempt to telemetry, and logs its success. The pool logs failures, with its
// decision.
func observed(tele *telemetry.Queue, log *slog.Logger, do work) work {
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

// logHandler is the value of --handler that only logs each message.
const logHandler = "log"

// loggedBody bounds the bytes of a body that [logged] logs. Even with every byte escaped, the line
// is smaller than 256 KiB, the limit of an event of CloudWatch Logs.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
const loggedBody = 8 << 10

// logged returns the handler of --handler log. It logs at INFO, because the line is the only trace
// of the message.
func logged(log *slog.Logger) work {
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		attempt, _ := dedupe.AttemptFrom(ctx)
		log.InfoContext(ctx, "message", "name", attempt.Name, "message_id", m.ID,
			"bytes", len(m.Body), "body", m.Body[:min(len(m.Body), loggedBody)])
		return named(ctx, m)
	}
}

// named is the built-in handler. Its result is the name.
func named(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
	attempt, _ := dedupe.AttemptFrom(ctx)
	data, err := json.Marshal(struct {
		Name string `json:"name"`
	}{attempt.Name})
	return dedupe.Payload{Data: data}, err
}

// posted returns the handler that posts each message to the HTTP target. A message that carries its
// own request may choose a path below prefixes. kept is the value of --result.
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

// batchPosted returns the handler that posts several messages to the HTTP target in one request.
// The messages have no results. It logs a request that fails as a whole, because the pool counts no
// failure and would log none.
func batchPosted(t *target.Judge, traceparent func(context.Context) string, cfg consumer.BatchConfig, log *slog.Logger) (work, error) {
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
		if err != nil && len(batch) > 1 && ctx.Err() == nil && !failure.Is(err, failure.Down.Down) {
			log.WarnContext(ctx, "a batch failed as a whole: each of its messages is tried alone", "messages", len(batch), "error", err)
		}
		return nil, failed, err
	}, cfg)
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		message, _ := sqsonce.NamedFrom(ctx)
		if _, err := targetRequest(m, message, nil); err != nil {
			return dedupe.Payload{}, err // a message with its own request cannot be in a batch
		}
		return batched(ctx, m)
	}, err
}

// targetRequest returns the request to the target for a message, without the attempt. Its error is
// permanent: the message carries a request that is not allowed.
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

// carriedRequest removes the request that a message carries from attributes and returns it; nil if
// there is none. The error of a request that is not allowed is permanent.
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

// payload returns the target's answer as the result to record, according to --result: JSON as it
// is, other bodies with their type. A marker replaces an answer that is not recorded whole.
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

// omitted returns the marker for an answer that is not recorded; see [protocol.OmittedType].
func omitted(why string, r target.Response) dedupe.Payload {
	return dedupe.Payload{
		Type: protocol.OmittedType,
		Data: fmt.Appendf(nil, `{"omitted":%q,"size":%d,"sha256":"%x"}`, why, r.Size, r.SHA256),
	}
}
