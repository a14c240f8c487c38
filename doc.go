// Package sqsonce handles every named message of an SQS queue once.
//
// SQS delivers at least once. In sqsonce a message has a business key, its name. One DynamoDB
// record per name holds the lock while an attempt runs, and the outcome afterwards:
//
//   - One attempt at a time holds a name. After a completion is recorded no attempt starts. Every
//     later delivery gets the recorded outcome.
//   - A message is deleted only after its outcome is recorded, except messages that are no work
//     according to Config.Names. A rejected message goes to the dead-letter queue with the reason.
//     A message that is redriven from there runs again.
//   - DynamoDB writes added with [dedupe.AddEffect] commit in one transaction with the outcome.
//     They happen exactly once.
//   - Any other effect can repeat if the process dies between the effect and its record. Pass the
//     name on as an idempotency key (see [dedupe.AttemptFrom]), or set [dedupe.Config.Hold].
//
// # A whole program
//
//	package main
//
//	import (
//		"context"
//		"encoding/json"
//		"errors"
//		"fmt"
//		"log"
//		"os"
//		"os/signal"
//		"syscall"
//
//		"github.com/aws/aws-sdk-go-v2/config"
//
//		"github.com/sqsonce/sqsonce"
//		"github.com/sqsonce/sqsonce/dedupe"
//		"github.com/sqsonce/sqsonce/names"
//	)
//
//	// receipt is the recorded outcome of an order.
//	type receipt struct{ Charged int }
//
//	func charge(ctx context.Context, m sqsonce.Message) (receipt, error) {
//		var order struct{ Total int }
//		if err := json.Unmarshal([]byte(m.Body), &order); err != nil {
//			return receipt{}, sqsonce.Reject(err) // no retry can cure it
//		}
//		attempt, _ := dedupe.AttemptFrom(ctx)
//		// Pass attempt.Name on as the idempotency key of the payment.
//		fmt.Printf("charging %d for order %s\n", order.Total, attempt.Name)
//		if order.Total <= 0 {
//			return receipt{}, sqsonce.Reject(errors.New("the total is not positive"))
//		}
//		return receipt{Charged: order.Total}, nil // any other error: tried again
//	}
//
//	func main() {
//		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//		defer stop()
//		if err := run(ctx, os.Getenv("QUEUE_URL"), "sqsonce"); err != nil {
//			log.Fatal(err)
//		}
//	}
//
//	func run(ctx context.Context, queueURL, table string) error {
//		cfg, err := config.LoadDefaultConfig(ctx)
//		if err != nil {
//			return err
//		}
//		if err := sqsonce.CreateTable(ctx, cfg, table); err != nil {
//			return err
//		}
//		worker, err := sqsonce.New(cfg, sqsonce.Config{
//			QueueURL: queueURL,
//			Table:    table,
//			Names:    names.Config{Key: "order_id"},
//		}, charge)
//		if err != nil {
//			return err
//		}
//		return worker.Run(ctx) // until ctx ends and the work under way is settled
//	}
//
// # Parts
//
// The parts are packages: [consumer] is the pool, [dedupe] the guard, and [names] extracts names
// and fingerprints from messages.
package sqsonce
