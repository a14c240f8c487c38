package redrive

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const arn = "arn:aws:sqs:eu-central-1:123456789012:orders-dlq"

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		attribute string
		want      Policy
		fails     bool
	}{
		"none":            {"", Policy{}, false},
		"count as number": {`{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":5}`, Policy{5, arn}, false},
		"count as string": {`{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":"5"}`, Policy{5, arn}, false},
		"no JSON":         {`{`, Policy{}, true},
		"no target":       {`{"maxReceiveCount":5}`, Policy{}, true},
		"no count":        {`{"deadLetterTargetArn":"` + arn + `"}`, Policy{}, true},
		"count of zero":   {`{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":0}`, Policy{}, true},
		"broken count":    {`{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":1.5}`, Policy{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tc.attribute)
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("Parse(%q) = %+v, %v; want %+v", tc.attribute, got, err, tc.want)
			}
			if err != nil && !strings.Contains(err.Error(), strconv.Quote(tc.attribute)) {
				t.Errorf("the error does not show the policy: %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":5}`)
	f.Add(`{"deadLetterTargetArn":":","maxReceiveCount":"1"}`)
	f.Fuzz(func(t *testing.T, attribute string) {
		p, err := Parse(attribute)
		if usable := p.MaxReceives >= 1 && p.TargetARN != ""; usable != (err == nil && attribute != "") {
			t.Errorf("Parse(%q) = %+v, %v", attribute, p, err)
		}
		p.account()
	})
}

// queues is a [Queue] with queues of several accounts.
type queues struct {
	policy string
	asked  *sqs.GetQueueUrlInput
	err    error
}

func (q *queues) GetQueueAttributes(
	context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options),
) (*sqs.GetQueueAttributesOutput, error) {
	return &sqs.GetQueueAttributesOutput{Attributes: map[string]string{"RedrivePolicy": q.policy}}, q.err
}

func (q *queues) GetQueueUrl(_ context.Context, in *sqs.GetQueueUrlInput, _ ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) {
	q.asked = in
	return &sqs.GetQueueUrlOutput{QueueUrl: aws.String("https://sqs/" + aws.ToString(in.QueueName))}, q.err
}

func TestTargetURL(t *testing.T) {
	for name, tc := range map[string]struct{ target, account, url string }{
		"no policy":          {"", "", ""},
		"with the account":   {arn, "123456789012", "https://sqs/orders-dlq"},
		"of another form":    {"local:orders-dlq", "", "https://sqs/orders-dlq"},
		"without an account": {"arn:aws:sqs:eu-central-1::orders-dlq", "", "https://sqs/orders-dlq"},
	} {
		t.Run(name, func(t *testing.T) {
			q := &queues{}
			got, err := Policy{MaxReceives: 1, TargetARN: tc.target}.TargetURL(t.Context(), q)
			if err != nil || got != tc.url {
				t.Errorf("URL is %q, %v; want %q", got, err, tc.url)
			}
			if q.asked != nil && aws.ToString(q.asked.QueueOwnerAWSAccountId) != tc.account {
				t.Errorf("asked for account %q, want %q", aws.ToString(q.asked.QueueOwnerAWSAccountId), tc.account)
			}
		})
	}
}

func TestRead(t *testing.T) {
	p, err := Read(t.Context(), &queues{policy: `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":"3"}`}, "https://sqs/orders")
	if err != nil || p != (Policy{3, arn}) {
		t.Errorf("policy is %+v, %v", p, err)
	}
	if _, err := Read(t.Context(), &queues{policy: "{"}, "https://sqs/orders"); err == nil || !strings.Contains(err.Error(), "https://sqs/orders") {
		t.Errorf("error of an unreadable policy: %v", err)
	}
	missing := &types.QueueDoesNotExist{}
	if _, err := Read(t.Context(), &queues{err: missing}, "https://sqs/orders"); !errors.Is(err, missing) {
		t.Errorf("error of a missing queue: %v", err)
	}
	if _, err := (Policy{1, arn}).TargetURL(t.Context(), &queues{err: missing}); !errors.Is(err, missing) || !strings.Contains(err.Error(), arn) {
		t.Errorf("error of a missing dead-letter queue: %v", err)
	}
}
