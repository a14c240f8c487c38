// Command library charges each order of a queue once.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/names"
)

// receipt is the recorded outcome of an order.
type receipt struct{ Charged int }

func charge(ctx context.Context, m sqsonce.Message) (receipt, error) {
	var order struct{ Total int }
	if err := json.Unmarshal([]byte(m.Body), &order); err != nil {
		return receipt{}, sqsonce.Reject(err) // no retry can cure it
	}
	attempt, _ := dedupe.AttemptFrom(ctx)
	// Pass attempt.Name on as the idempotency key of the payment.
	fmt.Printf("charging %d for order %s\n", order.Total, attempt.Name)
	if order.Total <= 0 {
		return receipt{}, sqsonce.Reject(errors.New("the total is not positive"))
	}
	return receipt{Charged: order.Total}, nil // any other error: tried again
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv("QUEUE_URL"), "sqsonce"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, queueURL, table string) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	if err := sqsonce.CreateTable(ctx, cfg, table); err != nil {
		return err
	}
	worker, err := sqsonce.New(cfg, sqsonce.Config{
		QueueURL: queueURL,
		Table:    table,
		Names:    names.Config{Key: "order_id"},
	}, charge)
	if err != nil {
		return err
	}
	return worker.Run(ctx) // until ctx ends and the work under way is settled
}
