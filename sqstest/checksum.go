package sqstest

import (
	"crypto/md5" //nolint:gosec // what SQS's clients check; guards nothing
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

func bodyMD5(body string) string {
	sum := md5.Sum([]byte(body)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// attributesMD5 returns the digest that clients compare with their own. It is over the attributes
// in the order of their names: name, data type and value, each with its length in front, and a 1
// (text) or 2 (binary) before the value. It is empty for a message without attributes.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func attributesMD5(attributes map[string]attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var buf []byte
	part := func(s string) {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(s)))
		buf = append(buf, s...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		part(name)
		part(a.DataType)
		if strings.HasPrefix(a.DataType, "Binary") {
			buf = append(buf, 2)
			part(string(a.BinaryValue))
		} else {
			buf = append(buf, 1)
			part(a.text())
		}
	}
	sum := md5.Sum(buf) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}
