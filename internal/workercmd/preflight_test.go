package workercmd

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// failsToStart runs the worker and returns its output and exit code.
func failsToStart(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	code := run(t.Context(), append([]string{"--admin-addr", "127.0.0.1:0", "--log-format", "json"}, handled(args)...), &out, &out, nil)
	return out.String(), code
}

func expectIn(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

func TestPreflightCases(t *testing.T) {
	t.Run("everything that is missing is said at once", testEverythingThatIsMissingIsSaidAtOnce)
	t.Run("table that does not fit is refused", testTableThatDoesNotFitIsRefused)
	t.Run("missing time to live is a warning", testMissingTimeToLiveIsAWarning)
	t.Run("time to live on another attribute", testTimeToLiveOnAnotherAttribute)
	t.Run("times that do not agree are warned about with figures", testTimesThatDoNotAgreeAreWarnedAboutWithFigures)
	t.Run("queue without a dead letter queue is warned about", testQueueWithoutADeadLetterQueueIsWarnedAbout)
	t.Run("settings that fit are not warned about", testSettingsThatFitAreNotWarnedAbout)
	t.Run("denied access is said to be that", testDeniedAccessIsSaidToBeThat)
	t.Run("each permission is tried and nothing is changed by that", testEachPermissionIsTriedAndNothingIsChangedByThat)
	t.Run("create is refused on AWS itself", testCreateIsRefusedOnAWSItself)
}

func testEverythingThatIsMissingIsSaidAtOnce(t *testing.T) {
	o := newOutside(t)
	text, code := failsToStart(t, "--queue-url", o.queueURL+"-none", "--table", "none")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	expectIn(t, text, "queue "+o.queueURL+"-none: does not exist", "table none: ")
}

func testTableThatDoesNotFitIsRefused(t *testing.T) {
	o := newOutside(t)
	if _, err := o.dynamo.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &o.table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
	}); err != nil {
		t.Fatal(err)
	}
	text, code := failsToStart(t, "--queue-url", o.queueURL, "--table", o.table)
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	expectIn(t, text, o.table, "wrong key", `"id"`)
}

func testMissingTimeToLiveIsAWarning(t *testing.T) {
	o := newOutside(t)
	if _, err := o.dynamo.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &o.table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	}); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--queue-url", o.queueURL, "--table", o.table)
	p.logged(t, "no time to live on expires_at", 1)
	send(t, o.sqs, o.queueURL, body("a"))
	waitCounts(t, o.sqs, o.queueURL, "0", "0")
}

func testTimeToLiveOnAnotherAttribute(t *testing.T) {
	o := newOutside(t)
	cfg := dynamo.Config{Table: o.table, TTLAttribute: "expiration"}
	if err := cfg.CreateTable(t.Context(), o.dynamo); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--queue-url", o.queueURL, "--table", o.table, "--ttl-attribute", "expiration")
	send(t, o.sqs, o.queueURL, body("a"))
	waitCounts(t, o.sqs, o.queueURL, "0", "0")
	out, err := o.dynamo.Scan(t.Context(), &dynamodb.ScanInput{TableName: &o.table})
	if err != nil || len(out.Items) != 1 || out.Items[0]["expiration"] == nil || out.Items[0][dynamo.AttrTTL] != nil {
		t.Errorf("items %v, %v", out, err)
	}
	if strings.Contains(p.stderr.String(), "time to live") {
		t.Errorf("warned:\n%s", p.stderr.String())
	}
}

func testTimesThatDoNotAgreeAreWarnedAboutWithFigures(t *testing.T) {
	o := newOutside(t)
	if err := dynamo.CreateTable(t.Context(), o.dynamo, o.table); err != nil {
		t.Fatal(err)
	}
	if _, err := o.sqs.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &o.queueURL, Attributes: map[string]string{
		"MessageRetentionPeriod": "345600",
		"RedrivePolicy":          `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:jobs-dlq","maxReceiveCount":1}`,
	}}); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--queue-url", o.queueURL, "--table", o.table, "--window", "240h")
	p.logged(t, `"level":"WARN"`, 3)
	expectIn(t, p.stderr.String(),
		"--window 240h0m0s", "the queue keeps messages for 96h0m0s and its dead-letter queue for 336h0m0s, 432h0m0s together",
		"maxReceiveCount 1 is less than --max-attempts 5",
		"--drain-timeout 25s is at least 50s")
}

func testQueueWithoutADeadLetterQueueIsWarnedAbout(t *testing.T) {
	o := newOutside(t)
	if err := dynamo.CreateTable(t.Context(), o.dynamo, o.table); err != nil {
		t.Fatal(err)
	}
	out, err := o.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("lonely")})
	if err != nil {
		t.Fatal(err)
	}
	start(t, "--queue-url", *out.QueueUrl, "--table", o.table).logged(t, "no dead-letter queue", 1)
}

func testSettingsThatFitAreNotWarnedAbout(t *testing.T) {
	o := newOutside(t)
	p := start(t, o.args()...)
	p.printed(t, `worker on (\S+)`)
	if strings.Contains(p.stderr.String(), `"level":"WARN"`) {
		t.Errorf("warned:\n%s", p.stderr.String())
	}
}

// denying forwards requests to a server, and denies an operation; all if it is empty.
func denying(t *testing.T, server, operation string) string {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), operation) {
			pass.ServeHTTP(w, r)
			return
		}
		const text = `{"__type":"com.amazonaws.sqs#AccessDeniedException","message":"no"}`
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(text))))
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

func testDeniedAccessIsSaidToBeThat(t *testing.T) {
	o := newOutside(t)
	t.Setenv("AWS_ENDPOINT_URL_SQS", denying(t, os.Getenv("AWS_ENDPOINT_URL_SQS"), ""))
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", denying(t, emulators.DynamoDB(t), ""))
	text, code := failsToStart(t, "--queue-url", o.queueURL, "--table", "t")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	expectIn(t, text, "queue "+o.queueURL+": access denied", "table t: ", "denied")
}

func testEachPermissionIsTriedAndNothingIsChangedByThat(t *testing.T) {
	for operation, want := range map[string]string{
		"DeleteMessageBatch": "needs sqs:DeleteMessage", "ChangeMessageVisibilityBatch": "needs sqs:ChangeMessageVisibility",
		"SendMessageBatch": "jobs-dlq: access denied; the worker needs sqs:SendMessage", "PutItem": "records cannot be written",
		"GetItem": "records cannot be read", "DescribeTable": "access denied",
	} {
		t.Run(operation, func(t *testing.T) {
			o := newOutside(t)
			if err := dynamo.CreateTable(t.Context(), o.dynamo, o.table); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AWS_ENDPOINT_URL_SQS", denying(t, os.Getenv("AWS_ENDPOINT_URL_SQS"), operation))
			t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", denying(t, emulators.DynamoDB(t), operation))
			text, code := failsToStart(t, "--queue-url", o.queueURL, "--table", o.table)
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			expectIn(t, text, want)
			out, err := o.dynamo.Scan(t.Context(), &dynamodb.ScanInput{TableName: &o.table})
			if err != nil || len(out.Items) != 0 {
				t.Errorf("the table has %v, %v", out.Items, err)
			}
			for _, queue := range []string{o.queueURL, o.dlqURL} {
				if visible, inFlight := counts(t, o.sqs, queue); visible != "0" || inFlight != "0" {
					t.Errorf("%s has %s visible and %s in flight", queue, visible, inFlight)
				}
			}
		})
	}
}

func testCreateIsRefusedOnAWSItself(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_ENDPOINT_URL_SQS", "")
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", "")
	text, code := failsToStart(t, "--queue-url", "https://sqs.us-east-1.amazonaws.com/1/q", "--table", "t", "--create")
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	expectIn(t, text, "--create: refused")
}

func TestPreflight(t *testing.T) {
	t.Run("dead-letter queue takes smaller messages", func(t *testing.T) {
		o := newOutside(t)
		if err := dynamo.CreateTable(t.Context(), o.dynamo, o.table); err != nil {
			t.Fatal(err)
		}
		if _, err := o.sqs.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
			QueueUrl: &o.dlqURL, Attributes: map[string]string{"MaximumMessageSize": "262144"},
		}); err != nil {
			t.Fatal(err)
		}
		start(t, o.args()...).logged(t, "MaximumMessageSize of the dead-letter queue is 262144 bytes, of the queue 1048576", 1)
	})
	t.Run("Region of the queue is another", func(t *testing.T) {
		for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_DYNAMODB"} {
			t.Setenv(name, "")
		}
		t.Setenv("AWS_REGION", "us-west-2")
		text, code := failsToStart(t, "--table", "t",
			"--queue-url", "https://sqs.us-east-2.amazonaws.com/123456789012/orders",
			"--dlq-url", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dlq")
		if code != 2 {
			t.Errorf("exit code %d", code)
		}
		expectIn(t, text, "--queue-url https://sqs.us-east-2.amazonaws.com/123456789012/orders is in Region us-east-2",
			"--dlq-url https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dlq is in Region eu-west-1", "us-west-2")
	})
}
