package sqstest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/sqstest"
)

// Messages of quiet groups go first while a group has many in flight, and the noisy group
// goes on where there are none.
func TestFairQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := sqs.NewFromConfig(sqstest.New(sqstest.Config{}).AWSConfig())
		queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("tenants")})
		if err != nil {
			t.Fatal(err)
		}
		send := func(group string, n int) {
			for i := range n {
				in := &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String(fmt.Sprint(group, i)), MessageGroupId: aws.String(group)}
				if group == "" {
					in.MessageGroupId = nil
				}
				if _, err := client.SendMessage(t.Context(), in); err != nil {
					t.Fatal(err)
				}
			}
		}
		var handles []string
		receive := func(n int32) string {
			out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: n})
			if err != nil {
				t.Fatal(err)
			}
			var bodies []string
			for _, m := range out.Messages {
				bodies, handles = append(bodies, *m.Body), append(handles, *m.ReceiptHandle)
			}
			return strings.Join(bodies, " ")
		}
		send("loud", 60)
		send("quiet", 2)
		send("", 1)
		for range 3 {
			receive(10) // in the order of sending: nothing is known yet
		}
		if got, want := receive(6), "quiet0 quiet1 0 loud30 loud31 loud32"; got != want {
			t.Errorf("with 30 in flight: %s, want %s", got, want)
		}
		for _, handle := range handles {
			if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: queue.QueueUrl, ReceiptHandle: &handle}); err != nil {
				t.Fatal(err)
			}
		}
		send("quiet", 1)
		if got, want := receive(2), "loud33 loud34"; got != want {
			t.Errorf("once the group is quiet: %s, want %s", got, want)
		}
	})
}
