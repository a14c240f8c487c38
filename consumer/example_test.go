package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/sqstest"
)

// exampleQueue is a queue in memory with one message; with AWS it would be
// sqs.NewFromConfig(cfg) and the URL of a queue.
func exampleQueue(ctx context.Context, body string) (*sqs.Client, string) {
	client := sqs.NewFromConfig(sqstest.New(sqstest.Config{}).AWSConfig())
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	if err != nil {
		panic(err)
	}
	if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: &body}); err != nil {
		panic(err)
	}
	return client, *queue.QueueUrl
}

func ExampleConsumer_Run() {
	ctx, stop := context.WithCancel(context.Background())
	client, url := exampleQueue(ctx, "hello")

	pool, err := consumer.New(client, func(_ context.Context, m consumer.Message) error {
		fmt.Println("got", m.Body)
		stop() // usually a signal does this
		return nil
	}, consumer.Config{
		QueueURL: url,
		PollWait: time.Second, // a stop waits for the poll that is out
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ended with", pool.Run(ctx))
	// Output:
	// got hello
	// ended with <nil>
}

// The first signal lets handlers finish for Config.DrainTimeout, a second one
// cancels them at once.
func Example_gracefulStop() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, url := exampleQueue(ctx, "long job")

	started := make(chan struct{})
	pool, err := consumer.New(client, func(ctx context.Context, _ consumer.Message) error {
		close(started)
		<-ctx.Done() // a handler that obeys; its message is visible again at once
		fmt.Println(context.Cause(ctx))
		return ctx.Err()
	}, consumer.Config{QueueURL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { // stands for the operator
		<-started
		stop()
		again, stopAgain := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stopAgain()
		select {
		case <-again.Done():
		case <-time.After(10 * time.Millisecond): // impatient
		}
		pool.Abort()
	}()
	if err := pool.Run(ctx); errors.Is(err, consumer.ErrAbandoned) {
		fmt.Println("handlers were left behind:", err)
	}
	fmt.Println(pool.Stats().State)
	// Output:
	// consumer: stopped, drain time is over
	// stopped
}

func ExampleChain() {
	logged := func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, m consumer.Message) error {
			err := next(ctx, m)
			fmt.Printf("%s: %v\n", m.ID, err)
			return err
		}
	}
	timed := func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, m consumer.Message) error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			return next(ctx, m)
		}
	}
	handler := consumer.Chain(func(ctx context.Context, _ consumer.Message) error {
		_, limited := ctx.Deadline()
		return fmt.Errorf("limited: %v", limited)
	}, logged, timed)

	_ = handler(context.Background(), consumer.Message{ID: "m-1"})
	// Output: m-1: limited: true
}

func ExampleJSON() {
	type order struct {
		Number int    `json:"number"`
		Item   string `json:"item"`
	}
	handler := consumer.JSON(func(_ context.Context, _ consumer.Message, o order) error {
		fmt.Printf("order %d: %s\n", o.Number, o.Item)
		return nil
	})

	ctx := context.Background()
	fmt.Println(handler(ctx, consumer.Message{Body: `{"number": 17, "item": "tea"}`}))

	err := handler(ctx, consumer.Message{Body: "no JSON"})
	d := consumer.Decide(err, consumer.Message{ReceiveCount: 1}, consumer.Limits{})
	fmt.Println(d.Action, "-", d.Reason)
	// Output:
	// order 17: tea
	// <nil>
	// dead-letter - bad message
}
