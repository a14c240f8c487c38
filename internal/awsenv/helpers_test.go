package awsenv

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

const fakeBase = "http://127.0.0.1:1/000000000000/"

// fakeSQS answers the three calls that creating a queue takes.
type fakeSQS struct {
	t      *testing.T
	queues map[string]map[string]string // attributes by name
	calls  []string
	refuse string // action that is answered with an error

	beforeCreate func() // runs between the lookup and the creation of a queue
}

func newFakeSQS(t *testing.T) (*fakeSQS, *sqs.Client) {
	f := &fakeSQS{t: t, queues: make(map[string]map[string]string)}
	return f, sqs.NewFromConfig(aws.Config{
		Region:       "eu-central-1",
		Credentials:  testutil.Credentials("id", "secret"),
		BaseEndpoint: new("http://127.0.0.1:1"),
		HTTPClient:   f,
	}, func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
}

// Do implements aws.HTTPClient.
func (f *fakeSQS) Do(req *http.Request) (*http.Response, error) {
	action := strings.TrimPrefix(req.Header.Get("X-Amz-Target"), "AmazonSQS.")
	var in struct {
		QueueName, QueueUrl string
		Attributes          map[string]string
		AttributeNames      []string
	}
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
		f.t.Errorf("request body of %s: %v", action, err)
	}
	name := in.QueueName
	if name == "" {
		name = path.Base(in.QueueUrl)
	}
	f.calls = append(f.calls, action+" "+name)
	if action == f.refuse {
		return reply(http.StatusForbidden, map[string]any{"__type": "com.amazonaws.sqs#AccessDenied", "message": "no"}), nil
	}
	if action == "CreateQueue" {
		if f.beforeCreate != nil {
			f.beforeCreate()
		}
		if _, exists := f.queues[name]; exists {
			return reply(http.StatusBadRequest, map[string]any{"__type": "com.amazonaws.sqs#QueueNameExists"}), nil
		}
		if in.Attributes == nil {
			in.Attributes = make(map[string]string)
		}
		in.Attributes["QueueArn"] = "arn:aws:sqs:eu-central-1:000000000000:" + name
		f.queues[name] = in.Attributes
	}
	attributes, ok := f.queues[name]
	if !ok {
		return reply(http.StatusBadRequest, map[string]any{"__type": "com.amazonaws.sqs#QueueDoesNotExist"}), nil
	}
	if action == "GetQueueAttributes" {
		asked := make(map[string]string)
		for _, a := range in.AttributeNames {
			if v, ok := attributes[a]; ok {
				asked[a] = v
			}
		}
		return reply(http.StatusOK, map[string]any{"Attributes": asked}), nil
	}
	return reply(http.StatusOK, map[string]any{"QueueUrl": fakeBase + name}), nil
}

func reply(status int, body any) *http.Response {
	data, _ := json.Marshal(body)
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body:       io.NopCloser(bytes.NewReader(data)),
	}
}
