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

// MovedBySQS stands for the reason of a letter that no worker has copied: SQS has
// moved it, after too many receives.
const MovedBySQS = "moved by SQS"

// Letter is a message of the dead-letter queue.
type Letter struct {
	ID         string // of the message
	OriginalID string // of the message that it is a copy of; its own where SQS has moved it
	Name       string // by the workers' rules; empty: it has none
	Unnamed    string // why it has no name
	Reason     string // at most 256 bytes; [MovedBySQS] where no worker has said one
	Error      string
	Attempts   int // 0: not said
	Sent       time.Time
	Receives   int
	Group      string // message group
	Body       string // may be cut, see [Query]
	Bytes      int    // of the whole body

	fingerprint protocol.Fingerprint
	message     types.Message // as received; not kept by a listing
	read        names.Message // by which it is named; kept by a listing while pointer is set
	pointer     string        // where in S3 its payload is, which was not fetched; empty: nowhere
	keepsName   bool          // a worker finds the same name in the payload, whatever the message's id
}

// maxReason bounds a reason, in bytes: letters are grouped by it.
const maxReason = 256

// packed is what a worker appends to the reason of a copy that has no room for more
// attributes, as far as it is needed here.
var packed = regexp.MustCompile(`^(.*?) \((?:name: (.*?); )?(?:original-id: ([^;]*?)(?:; |\)$))?(?:attempts: (\d+)(?:; |\)$))?(?:error: (.*)\)$)?`)

// letterOf reads a message.
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
	l.Attempts, _ = strconv.Atoi(attempts) // 0: not said
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

// setName names the letter by the workers' rules.
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

// payloadOf says where in S3 the payload of a message is, if it is there. The name may
// be in the payload, which is not fetched here.
func payloadOf(m names.Message, keys *names.Extractor) (at string) {
	m.Fetch = func(p names.Pointer) (string, error) {
		at = p.String()
		return "", errors.New("not fetched")
	}
	_, _ = keys.Extract(m) // only where it points is of interest
	return at
}

// nameable are a message's attributes as package names takes them.
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
