package sqsonce_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/sqstest"
)

// Several messages are booked at a time. Each keeps its own outcome.
func ExampleNewBatch() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server := sqstest.New(sqstest.Config{}) // with AWS: the queue and table of the aws.Config
	client := sqs.NewFromConfig(server.AWSConfig())
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"order-1", "order-2", "order-2", "order-3"} {
		in := &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String(fmt.Sprintf(`{"name":%q}`, name))}
		if _, err := client.SendMessage(ctx, in); err != nil {
			fmt.Println(err)
			return
		}
	}
	log := slog.New(slog.DiscardHandler)
	worker, err := sqsonce.NewBatch(aws.Config{}, sqsonce.Config{
		QueueURL: *queue.QueueUrl, Queue: client, Store: memstore.New(),
		Guard: dedupe.Config{Logger: log}, Pool: consumer.Config{Logger: log, PollWait: time.Second},
	}, consumer.BatchConfig{Size: 3}, func(_ context.Context, batch []sqsonce.Message) (receipts []string, failed []error, err error) {
		defer stop() // usually a signal does this
		for _, m := range batch {
			attempt, _ := dedupe.AttemptFrom(m.Context())
			if !strings.HasPrefix(attempt.Name, "order-") {
				receipts, failed = append(receipts, ""), append(failed, sqsonce.Reject(errors.New("no order")))
				continue
			}
			receipts, failed = append(receipts, "receipt of "+attempt.Name), append(failed, nil)
		}
		fmt.Println("booked", len(batch), "orders in one call") // the duplicate is none of them
		return receipts, failed, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ended with", worker.Run(ctx))
	// Output:
	// booked 3 orders in one call
	// ended with <nil>
}
