package dynamo_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/storetest"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

func TestTTLAttribute(t *testing.T) {
	t.Run("contract is kept", testContractUnderAnotherAttribute)
	t.Run("expiry is in it alone", testExpiryIsInItAlone)
	t.Run("earlier attribute is read", testEarlierAttributeIsRead)
	t.Run("names", testTTLAttributeNames)
}

// expiring returns the settings of a store on a new table with time to live on "expiration".
func expiring(t *testing.T, client *dynamodb.Client) dynamo.Config {
	t.Helper()
	cfg := dynamo.Config{Table: "sqsonce-test-" + rand.Text(), TTLAttribute: "expiration"}
	for range 2 { // a second time it is left as it is
		if err := cfg.CreateTable(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func testContractUnderAnotherAttribute(t *testing.T) {
	client := emulators.DynamoDBClient(t)
	for mode, batching := range modes {
		t.Run(mode, func(t *testing.T) {
			cfg := expiring(t, client)
			cfg.Batch = batching
			storetest.Run(t, storetest.Harness{
				Open: func(t *testing.T) dedupe.Store { t.Helper(); return newStore(t, client, cfg) },
				Silent: func(t *testing.T) dedupe.Store {
					t.Helper()
					return newStore(t, (&wire{delay: time.Hour}).client(), cfg)
				},
				Effects: counters{client, cfg.Table}.effects(),
			})
			out, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &cfg.Table})
			if err != nil || len(out.Items) == 0 {
				t.Fatal(len(out.Items), err)
			}
			for _, it := range out.Items {
				_, ours := it[dynamo.AttrTTL]
				_, record := it[dynamo.AttrVersion]
				if _, theirs := it["expiration"]; ours || record != theirs {
					t.Errorf("item %v has its expiry elsewhere", it)
				}
			}
		})
	}
}

func testExpiryIsInItAlone(t *testing.T) {
	client := emulators.DynamoDBClient(t)
	cfg := expiring(t, client)
	found, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &cfg.Table})
	if err != nil || aws.ToString(found.TimeToLiveDescription.AttributeName) != "expiration" {
		t.Errorf("time to live on %+v, %v", found.TimeToLiveDescription, err)
	}
	if err := cfg.CheckTable(t.Context(), client); err != nil {
		t.Error(err)
	}
	err = dynamo.CheckTable(t.Context(), client, cfg.Table)
	if !errors.Is(err, dynamo.ErrNoTTL) || !strings.Contains(err.Error(), `no time to live on expires_at: it is on "expiration"`) {
		t.Errorf("a store with the default attribute: %v", err)
	}
}

func testEarlierAttributeIsRead(t *testing.T) {
	client := emulators.DynamoDBClient(t)
	table := newTable(t, client)
	before := newStore(t, client, dynamo.Config{Table: table, Batch: dynamo.BatchOff})
	if err := before.Swap(t.Context(), 0, record("a", 1)); err != nil {
		t.Fatal(err)
	}
	after := newStore(t, client, dynamo.Config{Table: table, TTLAttribute: "expiration"})
	r, err := after.Get(t.Context(), record("a", 1).ID)
	if err != nil || !r.ExpiresAt.Equal(record("a", 1).ExpiresAt) {
		t.Errorf("expires at %s, %v", r.ExpiresAt, err)
	}
	next := record("a", 2)
	next.ExpiresAt = r.ExpiresAt.Add(time.Hour)
	if err := after.Swap(t.Context(), 1, next); err != nil {
		t.Fatal(err)
	}
	if r, err = after.Get(t.Context(), next.ID); err != nil || !r.ExpiresAt.Equal(next.ExpiresAt) {
		t.Errorf("expires at %s, %v, want %s", r.ExpiresAt, err, next.ExpiresAt)
	}
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: map[string]types.AttributeValue{dynamo.AttrID: &types.AttributeValueMemberS{Value: next.ID}}})
	if err != nil || out.Item["expiration"] == nil {
		t.Errorf("item %v, %v", out.Item, err)
	}
}

func testTTLAttributeNames(t *testing.T) {
	client := emulators.DynamoDBClient(t)
	for name, ok := range map[string]bool{
		"": true, dynamo.AttrTTL: true, "expiration": true, "ttl-2.x_Y": true, strings.Repeat("a", 255): true,
		"id": false, "status": false, "version": false, "attention": false, "attention_at": false,
		`a"b`: false, "a'b": false, "a b": false, "é": false, strings.Repeat("a", 256): false,
	} {
		_, err := dynamo.New(client, dynamo.Config{Table: "t", TTLAttribute: name})
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "TTLAttribute ") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
