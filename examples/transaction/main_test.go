package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

func TestMain(t *testing.T) {
	t.Run("writes of an order happen once", testWritesOfAnOrderHappenOnce)
	t.Run("table has to be named", testTableHasToBeNamed)
}

func testWritesOfAnOrderHappenOnce(t *testing.T) {
	client := emulators.DynamoDBClient(t)
	table := fmt.Sprint("transaction-", time.Now().UnixNano())
	if err := dynamo.CreateTable(t.Context(), client, table); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), client, table, &out); err != nil {
		t.Fatal(err)
	}
	const want = "booked 30, replayed false\nbooked 30, replayed true\nbooked 30, replayed true\n"
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
	for _, id := range []string{"order/17", dayPart("17")} {
		got, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
			TableName: &table, ConsistentRead: aws.Bool(true),
			Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if total, ok := got.Item["total"].(*types.AttributeValueMemberN); !ok || total.Value != "30" {
			t.Errorf("%s is %v", id, got.Item)
		}
	}
}

// The orders of a day do not all meet at one item.
func TestDayIsSpread(t *testing.T) {
	parts := map[string]int{}
	for order := range 1000 {
		parts[dayPart(fmt.Sprint(order))]++
	}
	for part, orders := range parts {
		if orders > 2*1000/dayParts {
			t.Errorf("%s takes %d of 1,000 orders", part, orders)
		}
	}
	if len(parts) != dayParts {
		t.Errorf("%d parts are used, want %d", len(parts), dayParts)
	}
}

func testTableHasToBeNamed(t *testing.T) {
	if err := start(t.Context(), []string{"transaction"}, &bytes.Buffer{}); err == nil {
		t.Error("started without a table")
	}
}
