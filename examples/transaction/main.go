// Command transaction shows writes that happen exactly once: a handler hands
// its DynamoDB writes to the guard, which commits them in one transaction with
// the record that says "completed". A crash before it leaves neither, a crash
// after it leaves both, and no second attempt can come between.
//
//	AWS_REGION=... transaction TABLE
//
// The orders are kept in the table of the records, for brevity.
package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

func main() {
	if err := start(context.Background(), os.Args, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("usage: transaction TABLE")
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	return run(ctx, dynamodb.NewFromConfig(cfg), args[1], out)
}

// run books one order three times, as three deliveries of its message would.
func run(ctx context.Context, client *dynamodb.Client, table string, out io.Writer) error {
	store, err := dynamo.New(client, dynamo.Config{Table: table})
	if err != nil {
		return err
	}
	defer store.Close()
	guard, err := dedupe.New[int](store, dedupe.Config{Scope: "orders", Now: store.Now})
	if err != nil {
		return err
	}
	for range 3 {
		result, err := guard.Do(ctx, dedupe.Key{Name: "17"}, func(ctx context.Context) (int, error) {
			return 30, book(ctx, table, 30)
		})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "booked %d, replayed %t\n", result.Value, result.Replayed); err != nil {
			return err
		}
	}
	return nil
}

// dayParts is over how many items the day's total is spread. An item takes part in one
// transaction at a time: the orders of a busy day would wait for each other at a single
// one. The total is the sum of all parts.
const dayParts = 16

// dayPart returns the key of the part of the day's total that an order is added to.
func dayPart(order string) string {
	return fmt.Sprintf("day/today/%d", crc32.ChecksumIEEE([]byte(order))%dayParts)
}

// book adds the total to the day's, and puts the order down. Neither write
// happens before the transaction; each could be refused by a condition of its
// own, and then none of them happens.
func book(ctx context.Context, table string, total int) error {
	attempt, _ := dedupe.AttemptFrom(ctx)
	return errors.Join(
		dynamo.Put(ctx, types.Put{
			TableName: &table,
			Item: map[string]types.AttributeValue{
				"id":    &types.AttributeValueMemberS{Value: "order/" + attempt.Name},
				"total": &types.AttributeValueMemberN{Value: strconv.Itoa(total)},
			},
		}),
		dynamo.Update(ctx, types.Update{
			TableName:                 &table,
			Key:                       map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: dayPart(attempt.Name)}},
			UpdateExpression:          aws.String("ADD #t :t"),
			ExpressionAttributeNames:  map[string]string{"#t": "total"},
			ExpressionAttributeValues: map[string]types.AttributeValue{":t": &types.AttributeValueMemberN{Value: strconv.Itoa(total)}},
		}),
	)
}
