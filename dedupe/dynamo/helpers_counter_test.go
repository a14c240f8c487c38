package dynamo_test

import (
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/storetest"
)

// counters are items that a handler writes, in a table of their own or in that
// of the records.
type counters struct {
	client *dynamodb.Client
	table  string
}

func (c counters) key(name string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{dynamo.AttrID: &types.AttributeValueMemberS{Value: "counter/" + name}}
}

func (c counters) increment(name string) types.Update {
	return types.Update{
		TableName:                 &c.table,
		Key:                       c.key(name),
		UpdateExpression:          aws.String("ADD n :one"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": &types.AttributeValueMemberN{Value: "1"}},
	}
}

func (c counters) require(name string, want int) types.ConditionCheck {
	return types.ConditionCheck{
		TableName:                 &c.table,
		Key:                       c.key(name),
		ConditionExpression:       aws.String("n = :want"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":want": &types.AttributeValueMemberN{Value: strconv.Itoa(want)}},
	}
}

func (c counters) count(t *testing.T, name string) int {
	t.Helper()
	out, err := c.client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &c.table, Key: c.key(name), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	n, ok := out.Item["n"].(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	count, err := strconv.Atoi(n.Value)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func (c counters) effects() storetest.Effects {
	return storetest.Effects{
		Increment: func(key string) any {
			u := c.increment(key)
			return types.TransactWriteItem{Update: &u}
		},
		Require: func(key string, want int) any {
			check := c.require(key, want)
			return types.TransactWriteItem{ConditionCheck: &check}
		},
		Count: c.count,
	}
}

func updateItem(u types.Update) *dynamodb.UpdateItemInput {
	return &dynamodb.UpdateItemInput{
		TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression,
		ExpressionAttributeValues: u.ExpressionAttributeValues,
	}
}
