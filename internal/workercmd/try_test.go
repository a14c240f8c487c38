package workercmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/sqstest"
)

// trying parses the command line of "worker try".
func trying(t *testing.T, args ...string) trial {
	t.Helper()
	var out bytes.Buffer
	got, err := parse(append([]string{"try"}, args...), &out, &out)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	s, ok := got.(trial)
	if !ok {
		t.Fatalf("%q: settings are a %T", args, got)
	}
	return s
}

const receivedDocument = `{"Messages":[
	{"MessageId":"m-1","ReceiptHandle":"r","MD5OfBody":"x","Body":"{\"order\":17}",
	 "Attributes":{"SenderId":"AIDA","SentTimestamp":"1681757235364","ApproximateReceiveCount":"3","MessageGroupId":"g-1"},
	 "MessageAttributes":{"tenant":{"StringValue":"t-1","DataType":"String"},"raw":{"BinaryValue":"AQI=","DataType":"Binary"}}},
	{"MessageId":"m-2","ReceiptHandle":"r","Body":"{\"order\":\"a\\u001b[31m\"}"}]}`

func TestTry(t *testing.T) {
	sns := `{"Type":"Notification","TopicArn":"arn:aws:sns:us-west-2:123456789012:t","Message":"{\"order\":17}","MessageId":"m"}`
	for name, tc := range map[string]struct {
		args  []string
		stdin string
		code  int
		want  []string // printed texts, in this order
		none  string   // text that is not printed
	}{
		"a body": {
			[]string{"--key", "order", "--target-url", "http://u:p@h/work?t=1", "--queue-url", "http://h/1/orders"}, `{"order":17}` + "\n", 0,
			[]string{
				"(made up)", "envelope     none opened", "name         17\n", "scope        orders\n", "fingerprint  0100000000", "over the whole body\n", "group        none\n",
				"target       POST http://h/work?t=xxxxx\n", "  Authorization: ***\n", "  Content-Type: application/json\n", "  Idempotency-Key: \"17\"\n", "body         12 bytes\n" + `{"order":17}` + "\n",
			}, "dTpw",
		},
		"a document": {
			[]string{"--key", "order", "--scope", "mine", "--sqsd", "--target-url", "http://h/", "--fingerprint", "order"}, receivedDocument, 2,
			[]string{
				"message      m-1\n", "name         17\n", "scope        mine\n", ", over order\n", "group        g-1\n", "  User-Agent: aws-sqsd/3.0 (sqsonce/", "  X-Aws-Sqsd-Attr-raw: AQI=\n",
				"  X-Aws-Sqsd-Attr-tenant: t-1\n", "  X-Aws-Sqsd-Receive-Count: 3\n", "  X-Aws-Sqsd-Sender-Id: AIDA\n", "message      m-2\n", `error        order: "a\x1b[31m" has a control character at byte 1`,
			}, "\x1b",
		},
		"one message of a document": {[]string{"--key", "order"}, `{"MessageId":"m-1","ReceiptHandle":"r","Body":"{\"order\":17}"}`, 0, []string{"message      m-1\n", "name         17\n", "target       none: --target-url is not set\n", `{"order":17}`}, "made up"},
		"a body like a document":    {[]string{"--key", "MessageId"}, `{"MessageId":"m-1","Body":"x"}`, 0, []string{"(made up)", "name         m-1\n"}, "m-1\nenvelope"},
		"messages without bodies":   {[]string{"--key", "Messages[0].id"}, `{"Messages":[{"id":"m-1"}]}`, 0, []string{"(made up)", "name         m-1\n"}, "\nmessage"},
		"an envelope":               {[]string{"--key", "order", "--unwrap", "sns"}, sns, 0, []string{"envelope     sns\n", "name         17\n", `{"order":17}`}, "Notification\""},
		"an envelope left closed":   {[]string{"--key", "MessageId"}, sns, 0, []string{"envelope     none opened; the body is an SNS notification: unwrap it with --unwrap sns\n", "name         m\n"}, "error"},
		"no name":                   {[]string{"--key", "order"}, sns, 2, []string{"error        order: is missing; the body is an SNS notification: unwrap it with --unwrap sns\n"}, "target"},
		"a pointer":                 {nil, pointerTo("k"), 2, []string{"the body is a pointer to the payload s3://b/k: fetch it with --s3-payloads"}, "target"},
		"no work":                   {[]string{"--ignore", "type == 'test'"}, `{"type":"test"}`, 0, []string{"ignored      deleted and counted, by --ignore type == 'test'\n"}, "name   "},
		"unnamed, ignored":          {[]string{"--unnamed", "ignore"}, `{"type":"test"}`, 2, []string{"ignored      deleted and counted, because it has no name (--unnamed ignore)\n"}, "target"},
		"unnamed, run":              {[]string{"--unnamed", "run"}, `{"type":"test"}`, 0, []string{"name         00000000-0000-0000-0000-000000000000\n"}, "error"},
		"nothing compared":          {[]string{"--on-mismatch", "suppress"}, `{"name":"a"}`, 0, []string{"fingerprint  none: payloads are not compared\n"}, "error"},
		"limits":                    {[]string{"--unwrap", "sns", "--key", "order", "--group-by", "order", "--group-concurrency", "5", "--group-rate", "0.5"}, sns, 0, []string{"group        none\nlimits       5 at a time and 0.5 a second of group \"17\"\n"}, "error"},
		"limits of a message group": {[]string{"--key", "order", "--group-rate", "2"}, receivedDocument, 2, []string{"group        g-1\nlimits       2 a second of group \"g-1\"\n"}, "at a time"},
		"no limits":                 {[]string{"--group-by", "tenant", "--group-concurrency", "5"}, `{"name":"a"}`, 0, []string{"limits       none: the message has no group at tenant\n"}, "at a time"},
		"not comparable":            {[]string{"--key", "@message-id", "--fingerprint", "total"}, `paid`, 2, []string{"error        body: not JSON"}, "target"},
		"not JSON":                  {[]string{"--key", "@message-id"}, "paid\r\n", 0, []string{"body         4 bytes\npaid\n"}, "error"},
		"a long body":               {[]string{"--key", "@message-id"}, strings.Repeat("x", 70000), 0, []string{"body         70000 bytes\n", "… and 4464 more bytes\n"}, "error"},
		"nothing":                   {nil, "\n", 1, nil, "message"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := runTry(t.Context(), trying(t, tc.args...), strings.NewReader(tc.stdin), &out)
			if got := exitCode(err); got != tc.code {
				t.Errorf("exit code %d, want %d: %v", got, tc.code, err)
			}
			rest := out.String()
			for _, want := range tc.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("%q is not, or not in its place, in\n%s", want, out.String())
				}
				rest = after
			}
			if strings.Contains(out.String(), tc.none) {
				t.Errorf("%q is in\n%s", tc.none, out.String())
			}
		})
	}
}

func TestTryErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"too many":      {[]string{"--from-queue", "11", "--queue-url", "http://h/1/q"}, "--from-queue 11: must be from 1 to 10"},
		"no queue":      {[]string{"--from-queue", "1"}, "--queue-url (SQSONCE_QUEUE_URL) is missing"},
		"no queue's":    {[]string{"--queue-url", "http://h/"}, "--queue-url"},
		"a bad key":     {[]string{"--key", "a["}, `key "a["`},
		"a bad target":  {[]string{"--target-url", "ftp://h"}, "target URL"},
		"a bad size":    {[]string{"--s3-max", "1"}, "--s3-max 1"},
		"contradiction": {[]string{"--on-mismatch", "suppress", "--fingerprint", "a"}, "compares nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, stderr bytes.Buffer
			if code := run(t.Context(), append([]string{"try"}, tc.args...), &out, &stderr, nil); code != 2 || !strings.Contains(stderr.String(), tc.want) {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
		})
	}
	broken := errors.New("broken")
	if err := runTry(t.Context(), trying(t), iotest.ErrReader(broken), io.Discard); !errors.Is(err, broken) || exitCode(err) != 1 {
		t.Errorf("error %v", err)
	}
}

// Messages of a queue are visible again at once, also after errors.
func TestTryFromQueue(t *testing.T) { synctest.Test(t, testTryFromQueue) }

func testTryFromQueue(t *testing.T) {
	server := sqstest.New(sqstest.Config{})
	client := sqs.NewFromConfig(server.AWSConfig())
	queueURL, _, err := awsenv.CreateQueue(t.Context(), client, "orders")
	if err != nil {
		t.Fatal(err)
	}
	s := trying(t, "--from-queue", "5", "--queue-url", queueURL, "--key", "name")
	if _, err := s.messages(t.Context(), client, nil); err == nil || !strings.Contains(err.Error(), "got no message") {
		t.Errorf("an empty queue: %v", err)
	}
	send(t, client, queueURL, body("a"), body("b"), body("c"))
	messages, err := s.messages(t.Context(), client, nil)
	if err != nil || len(messages) != 3 {
		t.Fatalf("%d messages, error %v", len(messages), err)
	}
	if visible, hidden := counts(t, client, queueURL); visible != "3" || hidden != "0" {
		t.Errorf("%s visible, %s hidden", visible, hidden)
	}
	var out bytes.Buffer
	if err := s.explain(t.Context(), messages, nil, &out); err != nil || strings.Count(out.String(), "scope        orders\n") != 3 {
		t.Errorf("error %v:\n%s", err, out.String())
	}

	fail := func(operation string) {
		server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation != operation {
				return sqstest.Fault{}
			}
			return sqstest.Fault{Error: &sqstest.Error{Code: "InvalidParameterValue", Status: http.StatusBadRequest}}
		})
	}
	fail("ChangeMessageVisibilityBatch")
	if _, err := s.messages(t.Context(), client, nil); err == nil || !strings.Contains(err.Error(), "messages could not be returned and stay invisible for 30 seconds") {
		t.Errorf("not given back: %v", err)
	}
	fail("ReceiveMessage")
	if _, err := s.messages(t.Context(), client, nil); err == nil || !strings.Contains(err.Error(), "receive from "+queueURL) {
		t.Errorf("not received: %v", err)
	}
}

// The payload of a pointer is fetched and printed.
func TestTryPayload(t *testing.T) {
	store := &fakeS3{objects: map[string]string{"b/k": body("o-1")}, gets: make(map[string]int)}
	server := newPipedTarget(store.ServeHTTP)
	defer server.close()
	s := trying(t, "--s3-payloads")
	fetching := s.newPayloads(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("http://s3.invalid"), Credentials: testutil.Credentials("any", "any"),
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: server.dial, DisableKeepAlives: true}},
	}, nil)
	for key, code := range map[string]int{"k": 0, "gone": 1} {
		messages, err := readMessages([]byte(pointerTo(key)))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err = s.explain(t.Context(), messages, fetching, &out)
		if exitCode(err) != code {
			t.Errorf("%s: error %v", key, err)
		}
		want := "envelope     s3\nname         o-1\n"
		if code != 0 {
			want = fmt.Sprintf("error        payload s3://b/%s:", key)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
