package dynamo_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

// A handler that books an order in a table of its own: the stock goes down by
// one exactly once for each name, crash or no crash, because it is written in
// one transaction with "completed".
func Example() {
	client := exampleClient() // dynamodb.NewFromConfig(cfg)
	store, err := dynamo.New(client, dynamo.Config{Table: "sqsonce"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	guard, err := dedupe.New[string](store, dedupe.Config{Scope: "orders", Now: store.Now})
	if err != nil {
		fmt.Println(err)
		return
	}

	result, err := guard.Do(context.Background(), dedupe.Key{Name: "order-17"}, func(ctx context.Context) (string, error) {
		err := dynamo.Update(ctx, types.Update{
			TableName:           aws.String("stock"),
			Key:                 map[string]types.AttributeValue{"sku": &types.AttributeValueMemberS{Value: "teapot"}},
			UpdateExpression:    aws.String("ADD pieces :minus"),
			ConditionExpression: aws.String("pieces > :none"), // else: a *dedupe.EffectError
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":minus": &types.AttributeValueMemberN{Value: "-1"},
				":none":  &types.AttributeValueMemberN{Value: "0"},
			},
		})
		return "booked", err // nothing is written before this returns
	})
	fmt.Println(result.Value, err)
	// Output: booked <nil>
}

// exampleClient returns a client of a server that finds nothing wrong.
func exampleClient() dynamo.API { return (&wire{}).client() }
