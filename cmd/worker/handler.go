package main

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/jsonkey"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/target"
)

// newPool builds the way of a message: consumer, guard, handler.
func newPool(c config, back backend, log *slog.Logger) (*consumer.Consumer, error) {
	queueName, err := awsenv.QueueName(back.queueURL)
	if err != nil {
		return nil, err
	}
	guard, err := dedupe.New[dedupe.Payload](back.store, c.guardConfig(cmp.Or(c.Scope, queueName), log))
	if err != nil {
		return nil, err
	}
	keys, err := jsonkey.New(c.keyConfig())
	if err != nil {
		return nil, err
	}
	work := logged(log)
	if c.TargetURL != "" {
		t, err := target.New(c.targetConfig(queueName))
		if err != nil {
			return nil, err
		}
		work = posted(t)
	}
	return consumer.New(back.queue, dedupe.Wrap(guard, keyOf(keys), work), c.poolConfig(back, log))
}

// work is what is done with a message, once per name.
type work = func(context.Context, consumer.Message) (dedupe.Payload, error)

// keyOf says which name a message stands for.
func keyOf(keys *jsonkey.Extractor) func(consumer.Message) (dedupe.Key, error) {
	return func(m consumer.Message) (dedupe.Key, error) {
		name, fingerprint, err := keys.Extract(jsonkey.Source{
			Body: m.Body, Attribute: m.Attribute, MessageID: m.ID, DedupID: m.DedupID,
		})
		if err != nil {
			return dedupe.Key{}, err
		}
		_, deadLettered := m.Attribute(consumer.AttrReason)
		return dedupe.Key{
			Name: name, Fingerprint: fingerprint, MessageID: m.ID,
			RedriveOrder: deadLettered, LastDelivery: m.LastReceive, SeenBefore: m.ReceiveCount > 1,
		}, nil
	}
}

// logged is the built-in handler: it logs the message and answers with its name.
func logged(log *slog.Logger) work {
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		attempt, _ := dedupe.AttemptFrom(ctx)
		log.DebugContext(ctx, "handled", "name", attempt.Name, "message_id", m.ID,
			"attempt", attempt.Number, "fence", attempt.Fence, "bytes", len(m.Body))
		data, err := json.Marshal(map[string]string{"name": attempt.Name})
		return dedupe.Payload{Data: data}, err
	}
}

// posted hands the message to the HTTP target.
func posted(t *target.Target) work {
	return func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		attempt, _ := dedupe.AttemptFrom(ctx)
		attributes := make(map[string]string, len(m.Attributes))
		for name := range m.Attributes {
			if v, ok := m.Attribute(name); ok {
				attributes[name] = v
			}
		}
		resp, err := t.Post(ctx, target.Request{
			Name: attempt.Name, Fence: int64(attempt.Fence), Attempt: attempt.Number,
			Body: m.Body, MessageID: m.ID, FirstReceived: m.FirstReceived, ReceiveCount: m.ReceiveCount,
			Attributes: attributes, TraceParent: attributes["traceparent"],
		})
		if err != nil {
			return dedupe.Payload{}, err
		}
		return payload(resp), nil
	}
}

// payload is the target's answer as a result: JSON as it is, anything else
// with its type.
func payload(r target.Response) dedupe.Payload {
	switch {
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
