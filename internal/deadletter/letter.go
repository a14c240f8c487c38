package deadletter

import (
	"cmp"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	attr "github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/names"
)

// MovedBySQS is the reason of a letter that SQS itself has moved after too many receives.
const MovedBySQS = "moved by SQS"

// Letter is a message of the dead-letter queue.
type Letter struct {
	ID         string // of the message
	OriginalID string // message ID of the original; the letter's own if SQS has moved it
	Name       string // by the workers' rules; empty if it has none
	Unnamed    string // reason why it has no name
	Reason     string // at most 256 bytes; [MovedBySQS] if no worker has given one
	Error      string
	Attempts   int // 0 if not given
	Sent       time.Time
	Receives   int
	Group      string // message group
	Body       string // may be cut, see [Query]
	Bytes      int    // size of the whole body

	fingerprint protocol.Fingerprint
	message     types.Message // as received; not kept by a listing
	read        names.Message // source of its name; kept by a listing while pointer is set
	pointer     string        // location of its payload in S3 that was not fetched; empty if there is none
	keepsName   bool          // a worker finds the same name in the payload under any message ID
}

// maxReason bounds a reason, in bytes, because letters are grouped by it.
const maxReason = 256

// packed matches the fields that a worker appends to the reason of a copy without room for more
// attributes, as far as they are used here.
var packed = regexp.MustCompile(`^(.*?) \((?:name: (.*?); )?(?:original-id: ([^;]*?)(?:; |\)$))?(?:attempts: (\d+)(?:; |\)$))?(?:error: (.*)\)$)?`)

// letterOf converts a received message.
func letterOf(m types.Message, keys *names.Extractor) Letter {
	text := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
	system := func(name types.MessageSystemAttributeName) string { return m.Attributes[string(name)] }
	l := Letter{
		ID: aws.ToString(m.MessageId), OriginalID: text(attr.OriginalID), Reason: text(consumer.AttrReason),
		Error: text(consumer.AttrError), Body: aws.ToString(m.Body), Bytes: len(aws.ToString(m.Body)),
		Group: system(types.MessageSystemAttributeNameMessageGroupId), message: m,
	}
	attempts, packedName := text(attr.Attempts), ""
	if p := packed.FindStringSubmatch(l.Reason); p != nil && strings.Join(p[2:], "") != "" {
		l.Reason, packedName = p[1], p[2]
		l.OriginalID, attempts, l.Error = cmp.Or(l.OriginalID, p[3]), cmp.Or(attempts, p[4]), cmp.Or(l.Error, p[5])
	}
	l.Reason, l.OriginalID = cmp.Or(cut(l.Reason, maxReason), MovedBySQS), cmp.Or(l.OriginalID, l.ID)
	l.Attempts, _ = strconv.Atoi(attempts) // 0 if not given
	l.Receives, _ = strconv.Atoi(system(types.MessageSystemAttributeNameApproximateReceiveCount))
	if ms, err := strconv.ParseInt(system(types.MessageSystemAttributeNameSentTimestamp), 10, 64); err == nil {
		l.Sent = time.UnixMilli(ms).UTC()
	}
	given := nameable(m.MessageAttributes)
	if _, there := given[names.NameAttribute]; !there && packedName != "" {
		given[names.NameAttribute] = names.Text(packedName)
	}
	l.read = names.Message{
		ID: l.OriginalID, Body: l.Body, Attributes: given, DedupID: system(types.MessageSystemAttributeNameMessageDeduplicationId),
	}
	l.setName(keys, l.read)
	return l
}

// setName extracts the letter's name by the workers' rules.
func (l *Letter) setName(keys *names.Extractor, read names.Message) {
	named, err := keys.Extract(read)
	switch bad, _ := errors.AsType[*names.FieldError](err); {
	case bad != nil:
		l.Unnamed = bad.Error()
	case err != nil:
		l.Unnamed = err.Error()
	case named.Ignored != "":
		l.Unnamed = "it is no work"
	default:
		l.Name, l.fingerprint = named.Name, protocol.Fingerprint(named.Fingerprint)
	}
	if read.Fetch != nil {
		return
	}
	l.pointer = payloadOf(read, keys)
	if l.pointer != "" && (l.Name == "" || named.Unnamed) {
		l.Name, l.fingerprint = "", protocol.Fingerprint{} // workers that fetch the payload may find another name
		l.Unnamed = "its payload " + l.pointer + " is in S3 and was not fetched; to see its name: --s3-payloads, or " +
			"worker try --s3-payloads --from-queue 1, with the URL of the dead-letter queue"
	}
}

// payloadOf returns the location of a message's payload in S3, if it has one there. The name may be
// in that payload, which is not fetched here.
func payloadOf(m names.Message, keys *names.Extractor) (at string) {
	m.Fetch = func(p names.Pointer) (string, error) {
		at = p.String()
		return "", errors.New("not fetched")
	}
	_, _ = keys.Extract(m) // only the pointer is needed
	return at
}

// nameable converts a message's attributes for package names.
func nameable(attributes map[string]types.MessageAttributeValue) map[string]names.Attribute {
	all := make(map[string]names.Attribute, len(attributes)+1)
	for name, v := range attributes {
		a := names.Attribute{Type: aws.ToString(v.DataType), Value: aws.ToString(v.StringValue)}
		if a.Binary() {
			a.Value = string(v.BinaryValue)
		}
		all[name] = a
	}
	return all
}
