// Command payment charges a card once, and books the charge in the transaction that
// records it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

// answer is the outcome of a payment. A declined payment is no error: the answer is recorded, and a
// repeat gets the same answer.
type answer struct {
	Charge   string `json:"charge,omitempty"`
	Declined string `json:"declined,omitempty"`
}

var errDeclined = errors.New("declined")

// bank charges a card, or returns an error. It knows a charge by its key: a second charge
// with the key of an earlier one returns that one.
type bank func(ctx context.Context, key string, amount int) (charge string, err error)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	store, err := dynamo.New(dynamodb.NewFromConfig(cfg), dynamo.Config{Table: os.Getenv("TABLE")})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	// Wait: a second caller gets the answer of the first.
	guard, err := dedupe.New[answer](store, dedupe.Config{Scope: "payments", Now: store.Now, Wait: true})
	if err != nil {
		log.Fatal(err)
	}
	demo := func(_ context.Context, key string, _ int) (string, error) { return "charge of " + key, nil }
	for range 2 {
		a, err := pay(ctx, guard, demo, os.Getenv("TABLE"), "order-17", 30)
		fmt.Println(a, err)
	}
}

// pay charges an order, unless it is charged or declined already. The charge itself is an
// effect outside the transaction: it can be asked for twice, if the process dies after
// it. So the bank gets the name of the order as its key.
func pay(ctx context.Context, guard *dedupe.Guard[answer], charge bank, ledger, order string, amount int) (answer, error) {
	res, err := guard.Do(ctx, dedupe.Key{Name: order}, func(ctx context.Context) (answer, error) {
		id, err := charge(ctx, order, amount)
		switch {
		case errors.Is(err, errDeclined):
			return answer{Declined: err.Error()}, nil
		case err != nil:
			return answer{}, err // tried again
		}
		// Written if, and only if, the answer is recorded.
		return answer{Charge: id}, dynamo.Put(ctx, types.Put{
			TableName: &ledger,
			Item: map[string]types.AttributeValue{
				"id":     &types.AttributeValueMemberS{Value: "ledger/" + order},
				"charge": &types.AttributeValueMemberS{Value: id},
				"amount": &types.AttributeValueMemberN{Value: strconv.Itoa(amount)},
			},
		})
	})
	return res.Value, err
}
