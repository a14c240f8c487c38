package sqstest_test

import (
	"context"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/sqstest"
)

// query sends a GET of the Query protocol and returns the status and the body.
func (b *bench) query(target string, pairs ...string) (status int, body string) {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	if len(form) > 0 {
		target += "?" + form.Encode()
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w.Code, w.Body.String()
}

// expectXML checks that an answer of the Query protocol contains the parts.
func expectXML(t *testing.T, status int, body string, want int, parts ...string) {
	t.Helper()
	if status != want {
		t.Errorf("status %d, want %d: %s", status, want, body)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			t.Errorf("%s lacks %s", body, part)
		}
	}
}

// LocalStack recorded SQS's answers to GETs: class TestSqsQueryApi of
// tests/aws/services/sqs/test_sqs.py (Apache-2.0). Its cases with several Regions are left out,
// because this server has one Region.
func TestQueryAnswersAsRecorded(t *testing.T) {
	for _, tc := range []struct {
		name   string
		args   []string // of a GET at the address of the queue q
		status int
		parts  []string // of the answer
	}{
		{
			"test_get_queue_attributes_all", []string{"Action", "GetQueueAttributes", "AttributeName.1", "All"}, 200,
			[]string{
				"<GetQueueAttributesResponse", "<Attribute><Name>QueueArn</Name><Value>arn:aws:sqs:",
				"<Attribute><Name>VisibilityTimeout</Name><Value>30", ":q</Value>",
			},
		},
		{
			"test_get_queue_attributes_with_invalid_arg_returns_error", []string{"Action", "GetQueueAttributes", "AttributeName.1", "Foobar"}, 400,
			[]string{"<Type>Sender</Type>", "<Code>InvalidAttributeName</Code>", "<Message>Unknown Attribute Foobar.</Message>"},
		},
		{
			"test_invalid_action_raises_exception", []string{"Action", "FooBar", "Version", "2012-11-05"}, 400,
			[]string{"<Code>InvalidAction</Code>", "<Type>Sender</Type>", "<Message>The action FooBar is not valid for this endpoint.</Message>"},
		},
		{
			"test_valid_action_with_missing_parameter_raises_exception", []string{"Action", "SendMessage"}, 400,
			[]string{"<Code>MissingParameter</Code>", "<Type>Sender</Type>", "<Message>The request must contain the parameter MessageBody.</Message>"},
		},
		{"test_get_without_query_returns_unknown_operation", nil, 404, []string{"<UnknownOperationException"}},
		{
			"test_get_create_queue_fails", []string{"Action", "CreateQueue", "QueueName", "other"}, 400,
			[]string{"<Code>InvalidAction</Code>", "<Message>The action CreateQueue is not valid for this endpoint"},
		},
		{
			"test_get_list_queues_fails", []string{"Action", "ListQueues"}, 400,
			[]string{"<Code>InvalidAction</Code>", "<Message>The action ListQueues is not valid for this endpoint"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			status, body := b.query(b.create("q"), tc.args...)
			expectXML(t, status, body, tc.status, tc.parts...)
		})
	}
	for name, run := range recordedTalks() {
		t.Run(name, func(t *testing.T) { run(t, newBench(t)) })
	}
}

// recordedTalks lists the cases with several queues or requests, and those whose answer must lack
// something.
func recordedTalks() map[string]func(t *testing.T, b *bench) {
	return map[string]func(t *testing.T, b *bench){
		"test_get_queue_attributes_with_query_args": func(t *testing.T, b *bench) {
			status, body := b.query(b.create("q"), "Action", "GetQueueAttributes", "AttributeName.1", "QueueArn")
			expectXML(t, status, body, 200, "<Attribute><Name>QueueArn</Name><Value>arn:aws:sqs:")
			if strings.Contains(body, "<Name>VisibilityTimeout") {
				t.Errorf("%s has more than was asked for", body)
			}
		},
		"test_get_queue_attributes_of_fifo_queue": func(t *testing.T, b *bench) {
			status, body := b.query(b.createFIFO("q.fifo"), "Action", "GetQueueAttributes", "AttributeName.1", "All")
			expectXML(t, status, body, 200, "<Name>FifoQueue</Name><Value>true</Value>", "q.fifo")
		},
		"test_overwrite_queue_url_in_params": func(t *testing.T, b *bench) {
			status, body := b.query(b.create("first"), "Action", "GetQueueAttributes", "QueueUrl", b.create("second"), "AttributeName.1", "QueueArn")
			expectXML(t, status, body, 200, ":second</Value>")
		},
		"test_get_delete_queue": func(t *testing.T, b *bench) {
			q := b.create("q")
			status, body := b.query(q, "Action", "DeleteQueue")
			expectXML(t, status, body, 200, "<DeleteQueueResponse ")
			_, err := b.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
			expectError[*types.QueueDoesNotExist](t, err)
		},
		"test_get_send_and_receive_messages": func(t *testing.T, b *bench) {
			first, second := b.create("first"), b.create("second")
			status, body := b.query(first, "Action", "SendMessage", "MessageBody", "foobar")
			expectXML(t, status, body, 200, "<MessageId>")
			status, body = b.query(second, "Action", "ReceiveMessage")
			expectXML(t, status, body, 200, "<ReceiveMessageResult/>")
			status, body = b.query(first, "Action", "ReceiveMessage")
			expectXML(t, status, body, 200, "<Body>foobar</Body>", "<MD5OfBody>")
		},
		"test_get_on_deleted_queue_fails": func(t *testing.T, b *bench) {
			q := b.create("q")
			if _, err := b.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &q}); err != nil {
				t.Fatal(err)
			}
			status, body := b.query(q, "Action", "GetQueueAttributes", "AttributeName.1", "QueueArn")
			expectXML(t, status, body, 400, "<Code>AWS.SimpleQueueService.NonExistentQueue</Code>",
				"<Message>The specified queue does not exist for this wsdl version")
		},
		"test_get_queue_url_works_for_same_queue": func(t *testing.T, b *bench) {
			q := b.create("q")
			status, body := b.query(q, "Action", "GetQueueUrl", "QueueName", "q", "QueueOwnerAWSAccountId", "000000000000")
			expectXML(t, status, body, 200, "<QueueUrl>"+q+"</QueueUrl>")
		},
		"test_get_queue_url_work_for_different_queue": func(t *testing.T, b *bench) {
			first, second := b.create("first"), b.create("second")
			status, body := b.query(first, "Action", "GetQueueUrl", "QueueName", "second")
			expectXML(t, status, body, 200, "<QueueUrl>"+second+"</QueueUrl>")
		},
	}
}

func TestQuery(t *testing.T) {
	t.Run("query meets the same queues", testQueryMeetsTheSameQueues)
}

// Both protocols work on the same queues.
func testQueryMeetsTheSameQueues(t *testing.T) {
	b := newBench(t)
	q := b.create("q", "VisibilityTimeout", "0")
	body := "<a>&\r\n\t\"ä\U0001F600"
	status, answer := b.query(q, "Action", "SendMessageBatch",
		"SendMessageBatchRequestEntry.1.Id", "one", "SendMessageBatchRequestEntry.1.MessageBody", body,
		"SendMessageBatchRequestEntry.1.MessageAttribute.1.Name", "a", "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType", "Binary",
		"SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.BinaryValue", "AAH/",
		"SendMessageBatchRequestEntry.2.Id", "two", "SendMessageBatchRequestEntry.2.MessageBody", "\x01")
	expectXML(t, status, answer, 200, "<SendMessageBatchResultEntry><Id>one</Id>",
		"<BatchResultErrorEntry><Code>InvalidMessageContents</Code><Id>two</Id>", "<SenderFault>true</SenderFault>")
	m := b.one(q)
	if *m.Body != body || string(m.MessageAttributes["a"].BinaryValue) != "\x00\x01\xff" {
		t.Errorf("received %q with %v", *m.Body, m.MessageAttributes)
	}
	status, answer = b.query(q, "Action", "ReceiveMessage", "AttributeName.1", "ApproximateReceiveCount", "MessageAttributeName.1", "All", "VisibilityTimeout", "0")
	expectXML(t, status, answer, 200, "<Body>&lt;a&gt;&amp;&#xD;&#xA;&#x9;&#34;ä\U0001F600</Body>",
		"<Attribute><Name>ApproximateReceiveCount</Name><Value>2</Value></Attribute>",
		"<MessageAttribute><Name>a</Name><Value><BinaryValue>AAH/</BinaryValue><DataType>Binary</DataType></Value></MessageAttribute>")
	for _, pairs := range [][]string{
		{"VisibilityTimeout", "soon"}, {"MaxNumberOfMessages", "1.5"}, {"AttributeName.x", "All"}, {"VisibilityTimeout", "-1"},
	} {
		status, answer := b.query(q, append([]string{"Action", "ReceiveMessage"}, pairs...)...)
		expectXML(t, status, answer, 400, "<Code>InvalidParameterValue</Code>", strings.Split(pairs[0], ".")[0])
	}
	// Each part of a parameter's name would take stack, until the process ends.
	status, answer = b.query(q, "Action", "ReceiveMessage", strings.Repeat("a.", 4<<20)+"a", "1")
	expectXML(t, status, answer, 400, "<Code>InvalidParameterValue</Code>", "at most 10 parts")
}

// Faults apply to calls of either protocol.
func TestQueryCallsMeetFaults(t *testing.T) {
	b := newBench(t)
	q := b.create("q")
	b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		if c.Operation != "SendMessage" || c.Queue != "q" || c.Entries != 1 {
			t.Errorf("the hook was asked about %+v", c)
		}
		return sqstest.Fault{Error: &sqstest.Error{Code: "KmsThrottled", Message: "slow down", SenderFault: true}}
	})
	status, body := b.query(q, "Action", "SendMessage", "MessageBody", "x")
	expectXML(t, status, body, 400, "<Error><Type>Sender</Type><Code>KMS.ThrottlingException</Code><Message>slow down</Message><Detail/></Error>")
}

// The answer to every form is XML, and the server stays up.
func FuzzQuery(f *testing.F) {
	for _, form := range []string{
		"Action=ListQueues", "Action=CreateQueue&QueueName=q&Attribute.1.Name=DelaySeconds&Attribute.1.Value=1&Tag.1.Key=a", "Action=ReceiveMessage&QueueUrl=q&AttributeName=All",
		"Action=SendMessageBatch&QueueUrl=q&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=b",
		"Action=SendMessage&QueueUrl=q&MessageBody=x&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=Binary&MessageAttribute.1.Value.BinaryValue=AA==",
		"Action=TagQueue&QueueUrl=q&Tag.Key=a&Tag.Value=b", "Action=UntagQueue&QueueUrl=q&TagKey.1=a", "Action=DeleteMessageBatch&QueueUrl=q&Entries=",
	} {
		f.Add(form)
	}
	b := &bench{server: sqstest.New(sqstest.Config{}), t: f}
	b.Client = b.server.Client()
	b.create("q")
	f.Fuzz(func(t *testing.T, form string) {
		if strings.Contains(form, "WaitTimeSeconds") || strings.Contains(form, "DeleteQueue") || strings.Contains(form, "PurgeQueue") {
			return // a long poll, or the end of the queue
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		b.server.ServeHTTP(w, r)
		if w.Code >= 500 || xml.Unmarshal(w.Body.Bytes(), new(struct{})) != nil {
			t.Errorf("%q: %d %q", form, w.Code, w.Body)
		}
	})
}
