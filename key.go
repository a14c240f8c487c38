package sqsonce

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

// Handler returns work as the handler of a pool that the caller makes: it is
// called once per name, under g.
func Handler[R any](g *dedupe.Guard[R], namer Namer, work func(context.Context, Message) (R, error)) consumer.Handler {
	return func(ctx context.Context, m Message) error {
		named, err := namer.Extract(nameable(m))
		if err != nil {
			return err
		}
		m.Body = named.Body
		_, err = g.Do(ctx, keyOf(m, named), func(ctx context.Context) (R, error) { return work(ctx, m) })
		return err
	}
}

// Keys returns the function from a message to its key, for [dedupe.Wrap].
func Keys(namer Namer) func(Message) (dedupe.Key, error) {
	return func(m Message) (dedupe.Key, error) {
		named, err := namer.Extract(nameable(m))
		if err != nil {
			return dedupe.Key{}, err
		}
		return keyOf(m, named), nil
	}
}

// keyOf returns the key with which a delivery asks the guard for its name.
func keyOf(m Message, named names.Named) dedupe.Key {
	_, deadLettered := m.Attribute(consumer.AttrReason)
	return dedupe.Key{
		Name: named.Name, Fingerprint: protocol.Fingerprint(named.Fingerprint), MessageID: m.ID,
		RedriveOrder: deadLettered, LastDelivery: m.LastReceive, SeenBefore: m.ReceiveCount > 1,
	}
}

// NameOf returns a [consumer.Config.Name]: the name of a message for logs and
// dead letters.
func NameOf(namer Namer) func(Message) (string, bool) {
	return func(m Message) (string, bool) {
		named, err := namer.Extract(nameable(m))
		return named.Name, err == nil
	}
}

// nameable is what package names looks at of a message.
func nameable(m Message) names.Message {
	named := names.Message{ID: m.ID, DedupID: m.DedupID, Body: m.Body}
	if len(m.Attributes) > 0 {
		named.Attributes = make(map[string]names.Attribute, len(m.Attributes))
	}
	for name, v := range m.Attributes {
		a := names.Attribute{Type: aws.ToString(v.DataType), Value: aws.ToString(v.StringValue)}
		if a.Binary() {
			a.Value = string(v.BinaryValue)
		}
		named.Attributes[name] = a
	}
	return named
}
