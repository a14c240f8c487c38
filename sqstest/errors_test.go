package sqstest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sqsonce/sqsonce/sqstest"
)

// The client takes an error's type from its name in the JSON protocol and the code from its name in
// the Query protocol. A fault may give either.
func TestErrorsHaveBothNames(t *testing.T) {
	for _, c := range []struct {
		json, query string
		status      int
		is          func(error) bool
	}{
		{"KmsAccessDenied", "KMS.AccessDeniedException", 400, is[*types.KmsAccessDenied]},
		{"KmsDisabled", "KMS.DisabledException", 400, is[*types.KmsDisabled]},
		{"KmsInvalidKeyUsage", "KMS.InvalidKeyUsageException", 400, is[*types.KmsInvalidKeyUsage]},
		{"KmsInvalidState", "KMS.InvalidStateException", 400, is[*types.KmsInvalidState]},
		{"KmsNotFound", "KMS.NotFoundException", 400, is[*types.KmsNotFound]},
		{"KmsOptInRequired", "KMS.OptInRequired", 403, is[*types.KmsOptInRequired]},
		{"KmsThrottled", "KMS.ThrottlingException", 400, is[*types.KmsThrottled]},
		{"OverLimit", "OverLimit", 403, is[*types.OverLimit]},
		{"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400, is[*types.QueueDoesNotExist]},
		{"ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404, is[*types.ReceiptHandleIsInvalid]},
		{"RequestThrottled", "RequestThrottled", 403, is[*types.RequestThrottled]},
	} {
		for _, given := range []string{c.json, c.query} {
			t.Run(given, func(t *testing.T) {
				b := newBench(t)
				url := b.create("q")
				b.failOnce("SendMessage", sqstest.Fault{Error: &sqstest.Error{Code: given, SenderFault: true}})
				_, err := b.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")},
					func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
				if !c.is(err) {
					t.Errorf("error %v, want the type of %s", err, c.json)
				}
				if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != c.query {
					t.Errorf("error %v, want code %s", err, c.query)
				}
				if e, ok := errors.AsType[*smithyhttp.ResponseError](err); !ok || e.HTTPStatusCode() != c.status {
					t.Errorf("error %v, want status %d", err, c.status)
				}
			})
		}
	}
}

func TestErrors(t *testing.T) {
	t.Run("errors of the framework have their own namespace", testErrorsOfTheFrameworkHaveTheirOwnNamespace)
}

// Recorded: test_posting_to_fifo_requires_deduplicationid_group_id.
func testErrorsOfTheFrameworkHaveTheirOwnNamespace(t *testing.T) {
	for code, wire := range map[string]string{
		"MissingParameter":      `{"__type":"com.amazon.coral.service#MissingRequiredParameterException"`,
		"InvalidParameterValue": `{"__type":"com.amazon.coral.service#InvalidParameterValueException"`,
	} {
		s := sqstest.New(sqstest.Config{})
		s.Control(func(context.Context, sqstest.Call) sqstest.Fault {
			return sqstest.Fault{Error: &sqstest.Error{Code: code, SenderFault: true}}
		})
		body := post(t, s, "ListQueues", http.StatusBadRequest, code+";Sender")
		if !strings.HasPrefix(body, wire) {
			t.Errorf("%s goes over the wire as %s, want %s", code, body, wire)
		}
	}
}

// post calls an operation without input and returns the body of its answer.
func post(t *testing.T, s *sqstest.Server, operation string, status int, queryError string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	out, err := s.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	if err := out.Write(&body); err != nil {
		t.Fatal(err)
	}
	if out.StatusCode != status || out.Header.Get("x-amzn-query-error") != queryError {
		t.Errorf("status %d, query error %q, want %d and %q", out.StatusCode, out.Header.Get("x-amzn-query-error"), status, queryError)
	}
	_, after, _ := strings.Cut(body.String(), "\r\n\r\n")
	return after
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
