package sqsonce

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

// Handler returns work as the handler of a pool that the caller makes: it is
// called once per name, under g. The message that it gets has the body and the
// attributes that namer has found in an envelope, if it has opened one.
func Handler[R any](g *dedupe.Guard[R], namer Namer, work func(context.Context, Message) (R, error)) consumer.Handler {
	return HandlerBy(g, Naming{Namer: namer}, work)
}

// Naming is how messages are opened and named before the guard is asked.
type Naming struct {
	Namer    Namer                 // required
	Payloads Payloads              // fetches payloads, see [Config]; nil: pointers are not followed
	Ignored  func(Message, string) // called for messages that are no work, see [Config]; nil: not called
}

// HandlerBy is [Handler] with all of a [Naming].
func HandlerBy[R any](g *dedupe.Guard[R], by Naming, work func(context.Context, Message) (R, error)) consumer.Handler {
	return func(ctx context.Context, m Message) error {
		inner, named, release, err := Open(ctx, m, by.Namer, by.Payloads)
		if err != nil {
			return err
		}
		defer release()
		if named.Ignored != "" {
			if by.Ignored != nil {
				by.Ignored(m, named.Ignored)
			}
			return nil
		}
		if named.Body != m.Body {
			m.SetName(named.Name) // Config.Pool.Name fetches no payload
		}
		_, err = g.Do(ctx, keyOf(m, named), func(ctx context.Context) (R, error) {
			return work(context.WithValue(ctx, namedKey{}, named), inner)
		})
		return err
	}
}

// Open returns a message as the work gets it, without its envelope, and what namer has
// found out about it. If payloads is not nil, a message that is a pointer gets its payload.
// release is to be called once neither is used any more, unless there is an error.
func Open(ctx context.Context, m Message, namer Namer, payloads Payloads) (inner Message, named names.Named, release func(), err error) {
	given, done := nameable(m), func() {}
	if payloads != nil {
		given.Fetch = func(p names.Pointer) (string, error) {
			body, release, err := payloads.Fetch(ctx, p)
			if err == nil {
				done = release
			}
			return body, err
		}
	}
	named, err = namer.Extract(given)
	if err != nil {
		done()
		return m, named, nil, err
	}
	return opened(m, named), named, done, nil
}

type namedKey struct{}

// NamedFrom returns what the namer has found out about the message that ctx, the
// context of the work, belongs to.
func NamedFrom(ctx context.Context) (names.Named, bool) {
	named, ok := ctx.Value(namedKey{}).(names.Named)
	return named, ok
}

// opened returns the message without its envelope, or with its payload.
func opened(m Message, named names.Named) Message {
	m.Body = named.Body
	if named.Headers == nil {
		return m
	}
	m.Attributes = make(map[string]types.MessageAttributeValue, len(named.Attributes))
	for name, a := range named.Attributes {
		v := types.MessageAttributeValue{DataType: aws.String(a.Type)}
		if a.Binary() {
			v.BinaryValue = []byte(a.Value)
		} else {
			v.StringValue = aws.String(a.Value)
		}
		m.Attributes[name] = v
	}
	return m
}

// keyOf returns the key with which a delivery asks the guard for its name.
func keyOf(m Message, named names.Named) dedupe.Key {
	_, deadLettered := m.Attribute(consumer.AttrReason)
	return dedupe.Key{
		Name: named.Name, Fingerprint: protocol.Fingerprint(named.Fingerprint), MessageID: m.ID,
		Compared: named.Compared, RedriveOrder: deadLettered, LastDelivery: m.LastReceive, SeenBefore: m.ReceiveCount > 1,
	}
}

// NameOf returns a [consumer.Config.Name]: the name of a message for logs and
// dead letters.
func NameOf(namer Namer) func(Message) (string, bool) {
	return func(m Message) (string, bool) {
		named, err := namer.Extract(nameable(m))
		return named.Name, err == nil && named.Ignored == ""
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
