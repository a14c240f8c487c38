// Command example is the program of docs/lambda.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/dedupe"
	sqsoncelambda "github.com/sqsonce/sqsonce/lambda"
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
	// Pass attempt.Name on as the idempotency key of the payment, and heed ctx: it ends
	// before the invocation does.
	fmt.Printf("charging %d for order %s\n", order.Total, attempt.Name)
	if order.Total <= 0 {
		return receipt{}, sqsonce.Reject(errors.New("the total is not positive"))
	}
	return receipt{Charged: order.Total}, nil // any other error: tried again
}

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(sqsoncelambda.Handler(cfg, sqsoncelambda.Config{
		Table: os.Getenv("TABLE"),
		Names: names.Config{Key: "order_id"},
	}, charge))
}
