package deadletter

import (
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	attr "github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/names"
)

// Bounds of a message in SQS.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	maxAttributes   = 10
	maxMessageBytes = 1 << 20
)

// decision is how a redrive treats a letter.
type decision struct {
	move       bool
	reopen     bool                                   // reopen its name first, because the worker would refuse it
	attributes map[string]types.MessageAttributeValue // attributes of the message to send
	why        string                                 // reason why it is not moved
	unknown    bool                                   // not moved: unknown outcome without ReopenUnknown
	next       protocol.Record                        // record after the worker has received it
}

// decide decides about a letter. r is the record of its name, zero for none. The decision is the
// worker's own, because [protocol.Step] gets the claim that the letter would make. An attempt whose
// lease has lapsed has an unknown outcome.
func decide(l Letter, r protocol.Record, keys *names.Extractor, reopenUnknown bool, now time.Time, skew time.Duration) decision {
	if l.Name == "" {
		return decision{why: "a worker cannot name it: " + l.Unnamed}
	}
	d := decision{attributes: attributesOf(l, keys)}
	if d.attributes == nil {
		return decision{why: "its name is not in the message itself, and it has no room for the attribute that would keep it"}
	}
	_, order := d.attributes[consumer.AttrReason]
	terms := protocol.Terms{Lease: time.Minute, Skew: skew, Window: time.Hour, MaxAttempts: math.MaxInt, Hold: true}
	claim := protocol.Claim{
		Now: now, Owner: protocol.Token{1}, Terms: terms, ID: r.ID, Name: l.Name, Fingerprint: l.fingerprint,
		MessageID: "redrive of " + l.ID, RedriveOrder: order,
	}
	next, verdict := protocol.Step(r, claim)
	if verdict == protocol.VerdictRejected || verdict == protocol.VerdictUnknown && reopenUnknown {
		open, opened := protocol.Step(r, protocol.Reopen{Now: now, Terms: terms})
		if opened == protocol.VerdictApply {
			d.reopen = true
			next, verdict = protocol.Step(open, claim)
		}
	}
	d.next = next
	if d.next.OwnedBy(claim.Owner) {
		d.next.Owner = protocol.Token{2} // the next letter of the name makes an attempt of its own
	}
	switch verdict {
	case protocol.VerdictApply, protocol.VerdictWait, protocol.VerdictReplay:
		d.move = true
	case protocol.VerdictUnknown:
		d.why, d.unknown = "the outcome of its work is unknown", true
	case protocol.VerdictMismatch:
		d.why = fmt.Sprintf("its name is %s with another payload: the worker would return it", r.Status)
		if l.pointer != "" {
			d.why = fmt.Sprintf("its name is %s, perhaps with another payload: that is in S3, and only --s3-payloads compares it", r.Status)
		}
	case protocol.VerdictUnreadable:
		d.why = "its record was written by a newer release"
	default:
		d.why = fmt.Sprintf("its name is %s: the worker would return it", r.Status)
	}
	return d
}

// attributesOf returns the attributes with which a letter is sent. It has the letter's own
// attributes and, if needed, an attribute that keeps its name. The reason serves as the redrive
// order for a rejected name. If there is no room for these, other attributes that a worker has
// written on the copy are removed. It returns nil if the letter would get another name.
func attributesOf(l Letter, keys *names.Extractor) map[string]types.MessageAttributeValue {
	attributes := maps.Clone(l.message.MessageAttributes)
	if attributes == nil {
		attributes = make(map[string]types.MessageAttributeValue, 2)
	}
	add := func(name, value string) {
		if _, there := attributes[name]; there {
			return
		}
		v := types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
		for _, other := range []string{consumer.AttrError, attr.Attempts, attr.OriginalID} {
			if fits(l.Bytes, attributes, name, v) {
				break
			}
			delete(attributes, other)
		}
		if fits(l.Bytes, attributes, name, v) {
			attributes[name] = v
		}
	}
	if !keepsName(l, attributes, keys) {
		add(names.NameAttribute, l.Name)
	}
	add(consumer.AttrReason, MovedBySQS)
	if !keepsName(l, attributes, keys) {
		return nil
	}
	return attributes
}

// keepsName reports whether a worker extracts the letter's name from a message with another message
// ID and deduplication ID.
func keepsName(l Letter, attributes map[string]types.MessageAttributeValue, keys *names.Extractor) bool {
	if l.keepsName {
		return true
	}
	named, err := keys.Extract(names.Message{ID: "another", DedupID: "another", Body: l.Body, Attributes: nameable(attributes)})
	return err == nil && named.Name == l.Name
}

// fits reports whether a message has room for another attribute.
func fits(body int, attributes map[string]types.MessageAttributeValue, name string, v types.MessageAttributeValue) bool {
	bytes := body + attributeBytes(name, v)
	for name, v := range attributes {
		bytes += attributeBytes(name, v)
	}
	return len(attributes) < maxAttributes && bytes <= maxMessageBytes
}

func attributeBytes(name string, v types.MessageAttributeValue) int {
	return len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
}
