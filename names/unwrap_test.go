package names_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/names"
)

// An SNS notification as SQS gets it without raw delivery, from
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html,
// with another message.
const notification = `{
  "Type" : "Notification",
  "MessageId" : "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
  "TopicArn" : "arn:aws:sns:us-west-2:123456789012:MyTopic",
  "Subject" : "My First Message",
  "Message" : "{\"order_id\":820982911946154508,\"total\":1.50}",
  "Timestamp" : "2012-05-02T00:54:06.655Z",
  "SignatureVersion" : "1",
  "Signature" : "EXAMPLEw6JRN...",
  "SigningCertURL" : "https://sns.us-west-2.amazonaws.com/SimpleNotificationService.pem",
  "UnsubscribeURL" : "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
  "MessageAttributes" : {
    "tenant" : {"Type":"String","Value":"t-1"},
    "raw" : {"Type":"Binary","Value":"AQI="}
  }
}`

// An event as EventBridge sends it, from
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html.
const event = `{
  "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": "EC2 Instance State-change Notification",
  "source": "aws.ec2", "account": "111122223333", "time": "2017-12-22T18:43:48Z", "region": "us-west-1",
  "resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"],
  "detail": { "instance-id": "i-1234567890abcdef0", "n": 1.50 }
}`

func quoted(t *testing.T, text string) string {
	t.Helper()
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// unwrapped is a body, and its name, its inner body and its envelopes.
type unwrapped struct {
	cfg              names.Config
	body             string
	name, inner, env string
}

func TestUnwrap(t *testing.T) {
	nested := strings.Replace(notification, `"{\"order_id\":820982911946154508,\"total\":1.50}"`, quoted(t, event), 1)
	for name, tc := range map[string]unwrapped{
		"sns":                    {names.Config{Key: "order_id", Unwrap: "sns"}, notification, "820982911946154508", `{"order_id":820982911946154508,"total":1.50}`, "sns"},
		"sns after a mark":       {names.Config{Key: "order_id", Unwrap: "sns"}, "\ufeff" + notification, "820982911946154508", `{"order_id":820982911946154508,"total":1.50}`, "sns"},
		"sns attribute":          {names.Config{Key: "@attribute:tenant", Unwrap: "sns"}, notification, "t-1", `{"order_id":820982911946154508,"total":1.50}`, "sns"},
		"sns by auto":            {names.Config{Key: "order_id", Unwrap: "auto"}, notification, "820982911946154508", `{"order_id":820982911946154508,"total":1.50}`, "sns"},
		"sns delivered raw":      {names.Config{Key: "order_id", Unwrap: "sns"}, `{"order_id":17}`, "17", `{"order_id":17}`, ""},
		"eventbridge":            {names.Config{Key: `"instance-id"`, Unwrap: "eventbridge"}, event, "i-1234567890abcdef0", `{ "instance-id": "i-1234567890abcdef0", "n": 1.50 }`, "eventbridge"},
		"eventbridge in sns":     {names.Config{Key: `"instance-id"`, Unwrap: "auto"}, nested, "i-1234567890abcdef0", `{ "instance-id": "i-1234567890abcdef0", "n": 1.50 }`, "sns,eventbridge"},
		"only the wanted":        {names.Config{Key: "detail.\"instance-id\"", Unwrap: "sns"}, event, "i-1234567890abcdef0", event, ""},
		"none":                   {names.Config{Key: "MessageId"}, notification, "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", notification, ""},
		"a type of the sender's": {names.Config{Key: "name", Unwrap: "auto"}, `{"Type":"Notification","Message":"x","name":"n"}`, "n", `{"Type":"Notification","Message":"x","name":"n"}`, ""},
		"base64":                 {names.Config{Key: "id", Unwrap: "base64"}, " eyJpZCI6IDE3fQ==\n", "17", `{"id": 17}`, "base64"},
		"base64 of a gzip":       {names.Config{Key: "id", Unwrap: "base64"}, zipped(t, `{"id":17}`), "17", `{"id":17}`, "base64"},
		"base64 in sns":          {names.Config{Key: "id", Unwrap: "auto"}, strings.Replace(notification, `"{\"order_id\":820982911946154508,\"total\":1.50}"`, `"eyJpZCI6IDE3fQ=="`, 1), "17", `{"id": 17}`, "sns,base64"},
		"base64 of a text":       {names.Config{Key: "@message-id", Unwrap: "auto"}, "cGFpZA==", "m", "cGFpZA==", ""},
		"base64 of a list":       {names.Config{Key: "@message-id", Unwrap: "base64"}, "WzFd", "m", "WzFd", ""},
		"base64 of broken JSON":  {names.Config{Key: "@message-id", Unwrap: "base64"}, "eyJpZCI6", "m", "eyJpZCI6", ""},
		"base64 of half a gzip":  {names.Config{Key: "@message-id", Unwrap: "base64"}, zipped(t, `{"id":17}`)[:16], "m", zipped(t, `{"id":17}`)[:16], ""},
		"no base64":              {names.Config{Key: "id", Unwrap: "base64"}, `{"id":17}`, "17", `{"id":17}`, ""},
		"text in sns":            {names.Config{Key: "@attribute:tenant", Unwrap: "sns"}, strings.Replace(notification, `"{\"order_id\":820982911946154508,\"total\":1.50}"`, `"hello"`, 1), "t-1", "hello", "sns"},
	} {
		t.Run(name, tc.check)
	}
	t.Run("headers and attributes", func(t *testing.T) {
		named, err := extractor(t, names.Config{Key: "order_id", Unwrap: "sns"}).Extract(names.Message{
			Body: notification, Attributes: map[string]names.Attribute{"own": names.Text("o"), "tenant": names.Text("mine")},
		})
		if err != nil {
			t.Fatal(err)
		}
		for header, want := range map[string]string{
			"X-Amz-Sns-Message-Type": "Notification", "X-Amz-Sns-Message-Id": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
			"X-Amz-Sns-Topic-Arn": "arn:aws:sns:us-west-2:123456789012:MyTopic", "X-Amz-Sns-Subject": "My First Message",
			"X-Amz-Sns-Timestamp": "2012-05-02T00:54:06.655Z",
		} {
			if named.Headers[header] != want {
				t.Errorf("%s: %q", header, named.Headers[header])
			}
		}
		for name, want := range map[string]string{"own": "o", "tenant": "mine", "raw": "\x01\x02"} {
			if got := named.Attributes[name].Value; got != want {
				t.Errorf("attribute %s: %q, want %q", name, got, want)
			}
		}
	})
	t.Run("retried publish is a duplicate", func(t *testing.T) {
		x := extractor(t, names.Config{Key: "order_id", Unwrap: "sns"})
		a, _ := x.Extract(names.Message{Body: notification})
		b, err := x.Extract(names.Message{Body: strings.Replace(notification, "22b80b92", "33b80b92", 1)})
		if err != nil || a.Fingerprint != b.Fingerprint {
			t.Errorf("%x and %x, %v", a.Fingerprint, b.Fingerprint, err)
		}
	})
	t.Run("hint", testUnwrapHint)
	if _, err := names.New(names.Config{Unwrap: "sqs"}); err == nil || !strings.Contains(err.Error(), `unwrap "sqs"`) {
		t.Error(err)
	}
}

func testUnwrapHint(t *testing.T) {
	for body, want := range map[string]string{notification: "is an SNS notification: unwrap it with --unwrap sns", event: "is an EventBridge event: unwrap it with --unwrap eventbridge"} {
		for _, key := range []string{"order_id", "lower(order_id || name)", "@attribute:order_id"} {
			_, err := extractor(t, names.Config{Key: key}).Extract(names.Message{Body: body})
			if bad, ok := errors.AsType[*names.FieldError](err); !ok || !strings.Contains(bad.Problem, want) {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
	if _, err := extractor(t, names.Config{}).Extract(names.Message{Body: "eyJpZCI6IDE3fQ=="}); err == nil || !strings.Contains(err.Error(), "the body is base64 of a JSON document: unwrap it with --unwrap base64") {
		t.Error(err)
	}
	if _, err := extractor(t, names.Config{}).Extract(names.Message{Body: `{}`}); err == nil || strings.Contains(err.Error(), "--unwrap") {
		t.Error(err)
	}
}

func (tc unwrapped) check(t *testing.T) {
	named, err := extractor(t, tc.cfg).Extract(names.Message{ID: "m", Body: tc.body})
	if err != nil || named.Name != tc.name || named.Body != tc.inner || named.Headers["X-Sqsonce-Envelope"] != tc.env {
		t.Errorf("%+v, %v", named, err)
	}
}

func FuzzUnwrap(f *testing.F) {
	f.Add(notification)
	f.Add(event)
	f.Add("eyJpZCI6IDE3fQ==")
	f.Add(javaPointer)
	f.Add(`{"Type":"Notification","TopicArn":"a","Message":"{\"detail-type\":\"d\",\"source\":\"s\",\"detail\":{}}"}`)
	f.Fuzz(func(t *testing.T, body string) {
		x := extractor(t, names.Config{Key: "@message-id", Unwrap: "auto"})
		named, err := x.Extract(names.Message{ID: "m", Body: body})
		if err != nil {
			t.Fatal(err)
		}
		if len(named.Headers) == 0 && named.Body != body {
			t.Fatalf("no envelope, and the body is %q", named.Body)
		}
	})
}
