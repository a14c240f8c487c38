package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

func TestPay(t *testing.T) {
	client := emulators.DynamoDBClient(t)
	table := fmt.Sprint("payment-", time.Now().UnixNano())
	if err := dynamo.CreateTable(t.Context(), client, table); err != nil {
		t.Fatal(err)
	}
	store, err := dynamo.New(client, dynamo.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	guard, err := dedupe.New[answer](store, dedupe.Config{Scope: "payments", Now: store.Now, Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := map[string]int{}
	charge := func(_ context.Context, key string, amount int) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[key]++
		switch {
		case key == "flaky" && asked[key] == 1:
			return "", errors.New("no route to the bank")
		case amount > 1000:
			return "", fmt.Errorf("%w: insufficient funds", errDeclined)
		}
		return fmt.Sprint(key, " ", asked[key]), nil
	}
	for order, tc := range map[string]struct {
		amount int
		want   answer
		asked  int
	}{
		"paid":     {30, answer{Charge: "paid 1"}, 1},
		"declined": {5000, answer{Declined: "declined: insufficient funds"}, 1},
		"flaky":    {30, answer{Charge: "flaky 2"}, 2},
	} {
		if order == "flaky" {
			if _, err := pay(t.Context(), guard, charge, table, order, tc.amount); err == nil {
				t.Error("a failure of the bank is no error")
			}
		}
		var callers sync.WaitGroup
		for range 5 {
			callers.Go(func() {
				if got, err := pay(t.Context(), guard, charge, table, order, tc.amount); err != nil || got != tc.want {
					t.Errorf("%s: %+v, %v", order, got, err)
				}
			})
		}
		callers.Wait()
		if asked[order] != tc.asked {
			t.Errorf("%s: the bank was asked %d times", order, asked[order])
		}
		got, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
			TableName: &table, ConsistentRead: aws.Bool(true),
			Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "ledger/" + order}},
		})
		if err != nil {
			t.Fatal(err)
		}
		charged, _ := got.Item["charge"].(*types.AttributeValueMemberS)
		if tc.want.Charge == "" && got.Item != nil || tc.want.Charge != "" && (charged == nil || charged.Value != tc.want.Charge) {
			t.Errorf("%s: the ledger has %v", order, got.Item)
		}
	}
}
