package dynamo_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

func TestStore(t *testing.T) {
	t.Run("close waits for calls and the store goes on working", testCloseWaitsForCallsAndTheStoreGoesOnWorking)
	t.Run("caller does not wait for the item of its conflict", testACallerDoesNotWaitForTheItemOfItsConflict)
	t.Run("table given by its ARN is written by single calls", testATableGivenByItsARNIsWrittenBySingleCalls)
	t.Run("attributes of others are dropped by a single write and left by a batch", testAttributesOfOthersAreDroppedByASingleWriteAndLeftByABatch)
}

func testCloseWaitsForCallsAndTheStoreGoesOnWorking(t *testing.T) {
	w := &wire{}
	inBubble(t, w, func(wr *writer) {
		var errs []*error
		for _, name := range []string{"a", "b"} {
			errs = append(errs, wr.swap(0, record(name, 5)))
		}
		wr.store.Close()
		wr.settle()
		for i, err := range errs {
			if *err != nil {
				t.Errorf("write %d, when the store is closed: %v", i, *err)
			}
		}
		for _, name := range []string{"c", "d", "e"} {
			errs = append(errs, wr.swap(0, record(name, 5)))
		}
		if _, err := wr.store.Get(wr.t.Context(), "test#c"); err != nil {
			t.Error(err)
		}
		wr.wait()
		for i, err := range errs {
			if *err != nil {
				t.Errorf("write %d: %v", i, *err)
			}
		}
	})
	w.expectOps(t, "PutItem", batchOp, "PutItem", "PutItem", "PutItem", "GetItem")
}

// A caller that gives up while a conflict's item is read back is not held.
func testACallerDoesNotWaitForTheItemOfItsConflict(t *testing.T) {
	w := &wire{hook: onlyFirst(batchOp, func(c call) (*http.Response, error) {
		return statementErrors(c, map[int]string{1: "DuplicateItem"}), nil
	})}
	inBubble(t, w, func(wr *writer) {
		ctx, cancel := context.WithTimeout(wr.t.Context(), 2*latency+latency/2) // the read is out by then
		defer cancel()
		one, other := wr.swap(0, record("a", 5)), wr.swapUnder(ctx, 0, record("b", 5))
		start := time.Now()
		wr.wait()
		if took := time.Since(start); *one != nil || took != 2*latency+latency/2 {
			t.Errorf("%v after %s", *one, took)
		}
		if _, lost := errors.AsType[*dedupe.ConflictError](*other); lost || *other == nil {
			t.Errorf("got %v", *other)
		}
	})
}

func testATableGivenByItsARNIsWrittenBySingleCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{delay: latency}
		s := newStore(t, w.client(), dynamo.Config{Table: "arn:aws:dynamodb:eu-central-1:123456789012:table/t"})
		if err := errors.Join(swapAll(t, s, many("a", 10, 1))...); err != nil {
			t.Error(err)
		}
		for _, op := range w.ops() {
			if op != "PutItem" {
				t.Errorf("called %s", op)
			}
		}
	})
}

// The documentation describes this. Programs should not rely on it.
func testAttributesOfOthersAreDroppedByASingleWriteAndLeftByABatch(t *testing.T) {
	inBothModes(t, func(t *testing.T, w *wire, s *dynamo.Store) {
		records := many("a", 25, 1)
		if err := errors.Join(swapAll(t, s, records)...); err != nil {
			t.Fatal(err)
		}
		_, client := wired(t)
		table := tableOf(t, w)
		for _, r := range records {
			_, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: &table, Key: map[string]types.AttributeValue{dynamo.AttrID: &types.AttributeValueMemberS{Value: r.ID}},
				UpdateExpression:          aws.String("SET theirs = :x"),
				ExpressionAttributeValues: map[string]types.AttributeValue{":x": &types.AttributeValueMemberS{Value: "x"}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		w.calls = nil
		finish := held(t, w, s)
		for i := range records {
			records[i].Version = 2
		}
		if err := errors.Join(swapAll(t, s, records)...); err != nil {
			t.Fatal(err)
		}
		finish()
		batched := len(w.carried(batchOp)) > 0
		for _, r := range records {
			out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
				TableName: &table, Key: map[string]types.AttributeValue{dynamo.AttrID: &types.AttributeValueMemberS{Value: r.ID}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, left := out.Item["theirs"]; left != batched {
				t.Errorf("%s: left %v, batched %v", r.ID, left, batched)
			}
		}
	})
}

// tableOf returns the table that a wire has last written to.
func tableOf(t *testing.T, w *wire) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(w.calls[len(w.calls)-1].body), "sqsonce-test-")
	if !ok {
		t.Fatal("the last call names no table")
	}
	return "sqsonce-test-" + rest[:26]
}
