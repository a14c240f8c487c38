package names_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/names"
)

const (
	javaPointer = `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k/1"}]`
	object      = `{"s3BucketName":"b","s3Key":"k/1"}`
)

func sized(name string) map[string]names.Attribute {
	return map[string]names.Attribute{name: {Type: "Number", Value: "17"}, "tenant": names.Text("t-1")}
}

// inSNS returns the notification of a topic without raw delivery that holds a pointer.
func inSNS(t *testing.T, pointer string) string {
	return fmt.Sprintf(`{"Type":"Notification","TopicArn":"arn:aws:sns:us-west-2:123456789012:t","Message":%s,
		"MessageAttributes":{"ExtendedPayloadSize":{"Type":"Number","Value":"17"}}}`, quoted(t, pointer))
}

func TestPointer(t *testing.T) {
	for name, tc := range map[string]struct {
		body       string
		attributes map[string]names.Attribute
		size       int64 // -1: no pointer
		envelope   string
	}{
		"java":                   {javaPointer, sized("ExtendedPayloadSize"), 17, "s3"},
		"java, spaced":           {" [ \"software.amazon.payloadoffloading.PayloadS3Pointer\" ,\n {\"s3Key\":\"k/1\" , \"s3BucketName\":\"b\"} ]", nil, 0, "s3"},
		"java, old":              {`["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"b","s3Key":"k/1"}]`, sized("SQSLargePayloadSize"), 17, "s3"},
		"java, repackaged":       {`["awsv2.repackaged.software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k/1"}]`, nil, 0, "s3"},
		"java, no attribute":     {javaPointer, nil, 0, "s3"},
		"java, after a mark":     {"\ufeff" + javaPointer, nil, 0, "s3"},
		"dotnet":                 {object, sized("SQSLargePayloadSize"), 17, "s3"},
		"node":                   {"k/1", map[string]names.Attribute{"S3MessageBodyKey": names.Text("(b)k/1")}, 0, "s3"},
		"in sns":                 {inSNS(t, javaPointer), nil, 17, "sns,s3"},
		"an object, no size":     {object, nil, -1, ""},
		"another class":          {`["com.example.Pointer",{"s3BucketName":"b","s3Key":"k/1"}]`, nil, -1, ""},
		"no class":               {`[17,{"s3BucketName":"b","s3Key":"k/1"}]`, nil, -1, ""},
		"three members":          {`["a.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k/1"},1]`, nil, -1, ""},
		"other types":            {`["a.PayloadS3Pointer",{"s3BucketName":1,"s3Key":"k/1"}]`, nil, -1, ""},
		"no key":                 {`["a.PayloadS3Pointer",{"s3BucketName":"b"}]`, nil, -1, ""},
		"a size that is no size": {javaPointer, map[string]names.Attribute{"ExtendedPayloadSize": names.Text("-5")}, 0, "s3"},
		"broken off":             {javaPointer[:40], nil, -1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := names.New(names.Config{Key: "id", Unwrap: "sns", Unnamed: "ignore"})
			if err != nil {
				t.Fatal(err)
			}
			var asked []names.Pointer
			named, err := x.Extract(names.Message{Body: tc.body, Attributes: tc.attributes, Fetch: func(p names.Pointer) (string, error) {
				asked = append(asked, p)
				return `{"id":17}`, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			if tc.size < 0 {
				if len(asked) > 0 || named.Ignored == "" {
					t.Errorf("asked for %v, named %+v", asked, named)
				}
				return
			}
			if len(asked) != 1 || asked[0] != (names.Pointer{Bucket: "b", Key: "k/1", Size: tc.size}) {
				t.Errorf("asked for %v", asked)
			}
			if named.Name != "17" || named.Body != `{"id":17}` || named.Headers["X-Sqsonce-Envelope"] != tc.envelope ||
				named.Headers["X-Sqsonce-S3-Bucket"] != "b" || named.Headers["X-Sqsonce-S3-Key"] != "k/1" {
				t.Errorf("named %+v", named)
			}
			for name := range named.Attributes {
				if name != "tenant" {
					t.Errorf("attribute %q of the pointer is left", name)
				}
			}
		})
	}
}

// A payload in S3 has the fingerprint of a message with the payload as its body.
func TestPointerFingerprint(t *testing.T) {
	x, err := names.New(names.Config{Key: "id"})
	if err != nil {
		t.Fatal(err)
	}
	payload := `{"id":17,"text":"` + strings.Repeat("x", 2<<20) + `"}`
	small, err := x.Extract(names.Message{Body: payload})
	if err != nil {
		t.Fatal(err)
	}
	large, err := x.Extract(names.Message{Body: javaPointer, Fetch: func(names.Pointer) (string, error) { return payload, nil }})
	if err != nil || large.Fingerprint != small.Fingerprint || large.Name != "17" {
		t.Errorf("name %q, error %v, fingerprints alike: %t", large.Name, err, large.Fingerprint == small.Fingerprint)
	}
}

func TestPointerErrors(t *testing.T) {
	x, err := names.New(names.Config{Key: "id"})
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	for name, tc := range map[string]struct {
		m    names.Message
		want string
	}{
		"not fetched":  {names.Message{Body: javaPointer}, "id: is missing; the body is a pointer to the payload s3://b/k/1: fetch it with --s3-payloads"},
		"fetch fails":  {names.Message{Body: javaPointer, Fetch: func(names.Pointer) (string, error) { return "", gone }}, "payload s3://b/k/1: gone"},
		"empty bucket": {names.Message{Body: strings.Replace(javaPointer, `"b"`, `""`, 1), Fetch: func(names.Pointer) (string, error) { return "", nil }}, "body: is a pointer to S3 without a bucket or without a key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := x.Extract(tc.m)
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
	_, err = x.Extract(names.Message{Body: javaPointer, Fetch: func(names.Pointer) (string, error) { return "", gone }})
	if !errors.Is(err, gone) {
		t.Errorf("error %v does not wrap that of Fetch", err)
	}
}
