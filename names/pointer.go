package names

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// Pointer is the S3 object that holds the payload of a message too large for SQS.
type Pointer struct {
	Bucket, Key string
	Size        int64 // bytes of the payload, as declared by the sender; 0: unknown
}

// String returns the pointer as an S3 URI.
func (p Pointer) String() string { return "s3://" + p.Bucket + "/" + p.Key }

// Message attributes that the extended client libraries set beside a pointer: the payload's size,
// under its new and its old name, and the pointer itself.
//
// https://github.com/awslabs/amazon-sqs-java-extended-client-lib (Java; Python alike)
// https://github.com/dvla/sqs-extended-client (Node)
const (
	attrSize    = "ExtendedPayloadSize"
	attrOldSize = "SQSLargePayloadSize"
	attrPointer = "S3MessageBodyKey"
)

// pointerIn returns the pointer that a message consists of, and whether it is one. It knows three
// forms: a list of a Java class name and an object (Java, Python, Go, Rust; only the end of the
// class name is checked, because its package has changed), the object alone with a size attribute
// (.NET), and an attribute (Node).
func pointerIn(m Message) (Pointer, bool) {
	p := Pointer{Size: sizeIn(m.Attributes)}
	if a, ok := m.Attributes[attrPointer]; ok && strings.HasPrefix(a.Value, "(") {
		if bucket, key, ok := strings.Cut(a.Value[1:], ")"); ok {
			p.Bucket, p.Key = bucket, key
			return p, true
		}
	}
	object := []byte(strings.TrimLeft(strings.TrimPrefix(m.Body, byteOrderMark), " \t\r\n"))
	if len(object) > maxPointer {
		return Pointer{}, false
	}
	switch {
	case len(object) > 0 && object[0] == '[':
		var pair []json.RawMessage
		var class string
		if json.Unmarshal(object, &pair) != nil || len(pair) != 2 || json.Unmarshal(pair[0], &class) != nil || !isPointerClass(class) {
			return Pointer{}, false
		}
		object = pair[1]
	case p.Size == 0:
		return Pointer{}, false
	}
	var in struct {
		Bucket *string `json:"s3BucketName"`
		Key    *string `json:"s3Key"`
	}
	if json.Unmarshal(object, &in) != nil || in.Bucket == nil || in.Key == nil {
		return Pointer{}, false
	}
	p.Bucket, p.Key = *in.Bucket, *in.Key
	return p, true
}

// maxPointer bounds a pointer in bytes. A key has at most 1,024 bytes, and JSON escapes need up to
// six bytes for each.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const maxPointer = 8 << 10

func isPointerClass(name string) bool {
	return strings.HasSuffix(name, ".PayloadS3Pointer") || strings.HasSuffix(name, ".MessageS3Pointer")
}

func sizeIn(attributes map[string]Attribute) int64 {
	for _, name := range []string{attrSize, attrOldSize} {
		if n, err := strconv.ParseInt(attributes[name].Value, 10, 64); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// follow returns the message with the payload in S3 as its body and without the pointer's
// attributes, and the pointer as HTTP headers.
func (m Message) follow(p Pointer) (Message, map[string]string, error) {
	if p.Bucket == "" || p.Key == "" {
		return m, nil, &FieldError{Field: "body", Problem: "is a pointer to S3 without a bucket or without a key"}
	}
	body, err := m.Fetch(p)
	if err != nil {
		return m, nil, fmt.Errorf("payload %s: %w", p, err)
	}
	m.Body, m.Fetch = body, nil
	m.Attributes = maps.Clone(m.Attributes)
	for _, name := range []string{attrSize, attrOldSize, attrPointer} {
		delete(m.Attributes, name)
	}
	return m, map[string]string{"X-Sqsonce-S3-Bucket": p.Bucket, "X-Sqsonce-S3-Key": p.Key}, nil
}
