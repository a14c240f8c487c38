package awsenv

import (
	"testing"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

func TestServer(t *testing.T) {
	t.Run("queues are created once on a server", testQueuesAreCreatedOnceOnAServer)
}

func testQueuesAreCreatedOnceOnAServer(t *testing.T) {
	client := emulators.SQSClient(t)
	for _, name := range []string{"awsenv-created", "awsenv-created.fifo"} {
		t.Run(name, func(t *testing.T) {
			firstURL, firstDLQ, err := CreateQueue(t.Context(), client, name)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := QueueName(firstURL); got != name {
				t.Errorf("created %q, %v", got, err)
			}
			if got, err := QueueName(firstDLQ); got != deadLetterName(name) {
				t.Errorf("created dead-letter queue %q, %v", got, err)
			}
			queueURL, dlqURL, err := CreateQueue(t.Context(), client, firstURL)
			if err != nil || queueURL != firstURL || dlqURL != firstDLQ {
				t.Errorf("second time: %q, %q, %v; want %q, %q", queueURL, dlqURL, err, firstURL, firstDLQ)
			}
		})
	}
}
