// Command library shows the two packages at work in a Go program: a worker
// pool, and a guard that lets each name run once. The queue and the store are
// in memory, so it needs nothing; with AWS they are an sqs.Client of a loaded
// configuration and a dynamo.Store.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

// receipt is what becomes of an order; it is kept with the order's name, and
// every later delivery of the order gets it instead of running again.
type receipt struct {
	Total   int
	Attempt int
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run sends two orders, one of them three times, and stops when all five
// deliveries are done with.
func run(ctx context.Context, out io.Writer) error {
	client := sqs.NewFromConfig(sqstest.New(sqstest.Config{}).AWSConfig())
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	guard, err := dedupe.New[receipt](memstore.New(), dedupe.Config{Scope: "orders"})
	if err != nil {
		return err
	}
	extractor, err := names.New(names.Config{Key: "order"})
	if err != nil {
		return err
	}
	keyOf := func(m consumer.Message) (dedupe.Key, error) {
		name, fingerprint, err := extractor.Extract(names.Source{Body: m.Body, Attribute: m.Attribute})
		return dedupe.Key{
			Name: name, Fingerprint: fingerprint, MessageID: m.ID,
			LastDelivery: m.LastReceive, SeenBefore: m.ReceiveCount > 1,
		}, err
	}
	charge := func(ctx context.Context, m consumer.Message) (receipt, error) {
		var order struct{ Total int }
		if err := json.Unmarshal([]byte(m.Body), &order); err != nil {
			return receipt{}, err
		}
		// The name is the key for whoever is called from here; the fence lets
		// them refuse an attempt that somebody else has overtaken.
		attempt, _ := dedupe.AttemptFrom(ctx)
		_, err := fmt.Fprintf(out, "charging %d for %s\n", order.Total, attempt.Name)
		return receipt{Total: order.Total, Attempt: attempt.Number}, err
	}

	bodies := []string{
		`{"order":"17","total":30}`, `{"order":"17","total":30}`, `{"total":30,"order":"17"}`,
		`{"order":"18","total":12}`, `{"order":"17","total":30}`,
	}
	var done atomic.Int32
	pool, err := consumer.New(client, dedupe.Wrap(guard, keyOf, charge), consumer.Config{
		QueueURL:    *queue.QueueUrl,
		Concurrency: 1, // so that the lines come in order
		Hooks: consumer.Hooks{Ended: func(consumer.Message, consumer.Disposition) {
			if int(done.Add(1)) == len(bodies) {
				stop()
			}
		}},
	})
	if err != nil {
		return err
	}
	for _, body := range bodies {
		if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: &body}); err != nil {
			return err
		}
	}
	if err := pool.Run(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d deliveries done\n", done.Load())
	return err
}
