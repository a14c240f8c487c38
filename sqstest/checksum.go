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

// attributesMD5 is the digest that clients compare with their own: names in
// order, every part with its length in front, a 1 or a 2 before string and
// binary values. It is empty when there are no attributes.
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
