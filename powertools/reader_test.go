package powertools

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/failure"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// now is when the records of these tests are read.
var now = time.UnixMilli(1_700_000_000_500)

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// pythonItem is an item as DynamoDBPersistenceLayer of Python writes it: by put_item when the work
// begins, and changed by update_item when it is done.
func pythonItem(status string, expires int64, rest item) item {
	it := item{"expiration": number(expires), "status": text(status)}
	for name, v := range rest {
		it[name] = v
	}
	return it
}

// table is a table of Powertools with one item.
func table(t *testing.T, key string, it item, sortKey string) (client *dynamodb.Client, name string) {
	t.Helper()
	client, name = emulators.DynamoDBClient(t), "powertools-"+rand.Text()
	in := &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	}
	it["id"] = text(key)
	if sortKey != "" {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &sortKey, AttributeType: types.ScalarAttributeTypeS})
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: &sortKey, KeyType: types.KeyTypeRange})
		it["id"], it[sortKey] = text("idempotency#orders"), text(key)
	}
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: it}); err != nil {
		t.Fatal(err)
	}
	return client, name
}

// order is a message of order 17, whose keys are in testdata/keys.json.
var order = consumer.Message{ID: "m1", Body: `{"order_id":"order-17","total":30.0}`}

const (
	pythonKey     = "orders.app.handle#307f2c7570f91850a9ad3456ef9ad74f"
	typeScriptKey = "orders#MH8sdXD5GFCprTRW75rXTw=="
)

func TestEarlier(t *testing.T) {
	t.Run("Python", testPython)
	t.Run("TypeScript", testTypeScript)
	t.Run("sort key", testSortKey)
	t.Run("no key", testNoKey)
	t.Run("outage", testOutage)
}

type outcome struct {
	result string // of a completed one
	after  time.Duration
	err    any // a pointer to the type of the error; nil: none
}

func (want outcome) check(t *testing.T, r *Reader) {
	t.Helper()
	result, done, err := r.Earlier(t.Context(), order)
	if done != (want.result != "") || string(result) != want.result {
		t.Errorf("result %s (%t), want %s", result, done, want.result)
	}
	if (err == nil) != (want.err == nil) || want.err != nil && !errors.As(err, want.err) {
		t.Errorf("error %v (%T), want a %T", err, err, want.err)
	}
	if p, ok := errors.AsType[*InProgressError](err); ok && p.After != want.after {
		t.Errorf("look again in %s, want %s", p.After, want.after)
	}
}

func testPython(t *testing.T) {
	sec, ms := now.Unix(), now.UnixMilli()
	data := item{"data": text(`{"charged": 30, "note": "\u00e9"}`)}
	for name, tc := range map[string]struct {
		item item
		hold bool
		want outcome
	}{
		"completed":                {pythonItem("COMPLETED", sec+3600, data), false, outcome{result: `{"charged": 30, "note": "\u00e9"}`}},
		"completed to the second":  {pythonItem("COMPLETED", sec, data), false, outcome{result: `{"charged": 30, "note": "\u00e9"}`}},
		"completed with nothing":   {pythonItem("COMPLETED", sec+3600, item{"data": text("null"), "validation": text("0cc175b9")}), false, outcome{result: "null"}},
		"completed, expired":       {pythonItem("COMPLETED", sec-1, data), false, outcome{}},
		"in progress":              {pythonItem("INPROGRESS", sec+3600, item{"in_progress_expiration": number(ms + 4000)}), false, outcome{after: 4001 * time.Millisecond, err: new(*InProgressError)}},
		"in progress for long":     {pythonItem("INPROGRESS", sec+3600, item{"in_progress_expiration": number(ms + 600_000)}), false, outcome{after: 15 * time.Second, err: new(*InProgressError)}},
		"in progress, no deadline": {pythonItem("INPROGRESS", sec+5, nil), false, outcome{after: 5500 * time.Millisecond, err: new(*InProgressError)}},
		"in progress, timed out":   {pythonItem("INPROGRESS", sec+3600, item{"in_progress_expiration": number(ms - 1)}), false, outcome{}},
		"timed out, held":          {pythonItem("INPROGRESS", sec+3600, item{"in_progress_expiration": number(ms - 1)}), true, outcome{err: new(*TimedOutError)}},
		"in progress, expired":     {pythonItem("INPROGRESS", sec-1, item{"in_progress_expiration": number(ms - 1)}), true, outcome{}},
		"another status":           {pythonItem("DONE", sec+3600, data), false, outcome{err: new(*UnreadableError)}},
		"no expiry":                {item{"status": text("COMPLETED"), "data": text("1")}, false, outcome{err: new(*UnreadableError)}},
		"data is no JSON":          {pythonItem("COMPLETED", sec+3600, item{"data": text("{")}), false, outcome{err: new(*UnreadableError)}},
	} {
		t.Run(name, func(t *testing.T) {
			client, table := table(t, pythonKey, tc.item, "")
			r, err := New(client, Config{
				Table: table, Language: Python, Prefix: "orders.app.handle", Key: "powertools_json(body).order_id", Hold: tc.hold,
				Now: func() time.Time { return now },
			})
			if err != nil {
				t.Fatal(err)
			}
			tc.want.check(t, r)
		})
	}
}

// TypeScript keeps a result in DynamoDB's own types.
func testTypeScript(t *testing.T) {
	sec, ms := now.Unix(), now.UnixMilli()
	native := &types.AttributeValueMemberM{Value: item{
		"charged": number(30), "ok": &types.AttributeValueMemberBOOL{Value: true}, "none": &types.AttributeValueMemberNULL{Value: true},
		"list": &types.AttributeValueMemberL{Value: []types.AttributeValue{text("a"), &types.AttributeValueMemberN{Value: "1.50"}}},
	}}
	for name, tc := range map[string]struct {
		item item
		want outcome
	}{
		"object":      {item{"status": text("COMPLETED"), "expiration": number(sec + 3600), "data": native}, outcome{result: `{"charged":30,"list":["a",1.5],"none":null,"ok":true}`}},
		"text":        {item{"status": text("COMPLETED"), "expiration": number(sec + 3600), "data": text("{done}")}, outcome{result: `"{done}"`}},
		"undefined":   {item{"status": text("COMPLETED"), "expiration": number(sec + 3600)}, outcome{result: "null"}},
		"in progress": {item{"status": text("INPROGRESS"), "expiration": number(sec + 3600), "in_progress_expiration": number(ms + 4000)}, outcome{after: 4001 * time.Millisecond, err: new(*InProgressError)}},
		"expired":     {item{"status": text("COMPLETED"), "expiration": number(sec - 1), "data": native}, outcome{}},
	} {
		t.Run(name, func(t *testing.T) {
			client, table := table(t, typeScriptKey, tc.item, "")
			r, err := New(client, Config{
				Table: table, Language: TypeScript, Prefix: "orders", Key: "powertools_json(body).order_id", Now: func() time.Time { return now },
			})
			if err != nil {
				t.Fatal(err)
			}
			tc.want.check(t, r)
		})
	}
}

func testSortKey(t *testing.T) {
	client, table := table(t, pythonKey, pythonItem("COMPLETED", now.Unix()+10, item{"data": text("1")}), "sort_key")
	r, err := New(client, Config{
		Table: table, Language: Python, Prefix: "orders.app.handle", Key: "powertools_json(body).order_id", SortKeyAttr: "sort_key", Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	outcome{result: "1"}.check(t, r)
}

// counted counts reads.
type counted struct {
	API
	reads int
	err   error
}

func (c *counted) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	c.reads++
	return &dynamodb.GetItemOutput{}, c.err
}

// Without a key Powertools keeps no record, so nothing is read.
func testNoKey(t *testing.T) {
	client := &counted{}
	for _, m := range []consumer.Message{
		{Body: `{"total":30}`}, {Body: "hello"}, {Body: `{"order_id":null}`}, {Body: `{"order_id":""}`}, {Body: `{"order_id":[null]}`}, {Body: ""},
	} {
		r, err := New(client, Config{Table: "t", Language: Python, Prefix: "f", Key: "powertools_json(body).order_id"})
		if err != nil {
			t.Fatal(err)
		}
		if _, done, err := r.Earlier(t.Context(), m); done || err != nil {
			t.Errorf("%s: %t, %v", m.Body, done, err)
		}
	}
	if client.reads != 0 {
		t.Errorf("%d reads", client.reads)
	}
	m := consumer.Message{ID: "m1", Body: "b", GroupID: "g", SentAt: now, Attributes: map[string]sqstypes.MessageAttributeValue{
		"order": {DataType: aws.String("String"), StringValue: aws.String("17")},
	}}
	for key, want := range map[string]any{
		"messageId": "m1", "body": "b", "messageAttributes.order.stringValue": "17", "attributes.MessageGroupId": "g", "attributes.SentTimestamp": "1700000000500",
		"powertools_base64('YQ==')": "a",
	} {
		p, err := compile(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.find(m); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", key, got, err, want)
		}
	}
}

func testOutage(t *testing.T) {
	client := &counted{err: errors.New("connection refused")}
	r, err := New(client, Config{Table: "t", Language: Python, Prefix: "f", Key: "messageId"})
	if err != nil {
		t.Fatal(err)
	}
	_, done, err := r.Earlier(t.Context(), order)
	if done || !failure.Is(err, failure.Down.Down) || client.reads != 1 {
		t.Errorf("%t, %v after %d reads", done, err, client.reads)
	}
}
