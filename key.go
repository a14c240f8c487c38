package sqsonce

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

// Handler returns a handler for your own pool. It calls work once per name, under guard g. If namer
// has opened an envelope, work gets the message inside it. An error of namer becomes the handler's
// error.
func Handler[R any](g *dedupe.Guard[R], namer Namer, work func(context.Context, Message) (R, error)) consumer.Handler {
	return HandlerBy(g, Naming{Namer: namer}, work)
}

// Naming configures [HandlerBy].
type Naming struct {
	Namer    Namer                 // required
	Payloads Payloads              // see [Config]; nil: pointers are not followed
	Ignored  func(Message, string) // called for messages that are no work, see [Config]; may be nil
	Earlier  Earlier               // see [Config]; nil: no work was done before
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
			if by.Earlier != nil {
				if result, done, err := earlier[R](ctx, by.Earlier, m); done || err != nil {
					return result, err
				}
			}
			return work(context.WithValue(ctx, namedKey{}, named), inner)
		})
		return err
	}
}

// earlier asks for an earlier outcome before the first attempt of a name. A result that is no R is
// left out: the work is done, and must not run again because of its form.
func earlier[R any](ctx context.Context, by Earlier, m Message) (result R, done bool, err error) {
	if a, ok := dedupe.AttemptFrom(ctx); ok && a.Number > 1 {
		return result, false, nil
	}
	data, done, err := by.Earlier(ctx, m)
	if err != nil || !done {
		return result, false, err
	}
	if p, ok := any(&result).(*dedupe.Payload); ok {
		p.Data = data
		return result, true, nil
	}
	if err := json.Unmarshal(data, &result); err != nil {
		var none R
		return none, true, nil //nolint:nilerr // as said above
	}
	return result, true, nil
}

// Open calls namer, and returns the message inside the envelope and the namer's result. If payloads
// is not nil, the payload of a pointer is fetched. Unless there is an error, call release after the
// last use of both. An error is that of namer, which wraps that of payloads.
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

// NamedFrom returns the namer's result for the message of ctx, the context of the work. It returns
// false for other contexts.
func NamedFrom(ctx context.Context) (names.Named, bool) {
	named, ok := ctx.Value(namedKey{}).(names.Named)
	return named, ok
}

// opened returns m with the body and the attributes in named.
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

// keyOf returns the guard's key for a delivery.
func keyOf(m Message, named names.Named) dedupe.Key {
	_, deadLettered := m.Attribute(consumer.AttrReason)
	return dedupe.Key{
		Name: named.Name, Fingerprint: protocol.Fingerprint(named.Fingerprint), MessageID: m.ID,
		Compared: named.Compared, RedriveOrder: deadLettered, LastDelivery: m.LastReceive, SeenBefore: m.ReceiveCount > 1,
	}
}

// NameOf returns a func for [consumer.Config.Name], the name of a message in logs and dead letters.
func NameOf(namer Namer) func(Message) (string, bool) {
	return func(m Message) (string, bool) {
		named, err := namer.Extract(nameable(m))
		return named.Name, err == nil && named.Ignored == ""
	}
}

// GroupBy returns a [consumer.Config.GroupBy] that takes the group from where key says, as
// the Key of [names.Config] does, after the envelopes of unwrap are opened. A message without
// such a value has no group. The error names what is wrong with key or unwrap.
func GroupBy(key, unwrap string) (func(Message) string, error) {
	x, err := names.New(names.Config{Key: key, Unwrap: unwrap, Fingerprint: names.Off})
	if err != nil {
		return nil, err
	}
	return func(m Message) string {
		group, err := x.Value(nameable(m))
		if err != nil {
			return ""
		}
		return group
	}, nil
}

// nameable returns the input of a [Namer] for m.
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
