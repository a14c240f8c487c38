package dynamo_test

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

// makeTable makes a table that CreateTable would not.
func makeTable(t *testing.T, client *dynamodb.Client, keys map[string]types.KeyType, kind types.ScalarAttributeType) string {
	t.Helper()
	table := "sqsonce-test-" + rand.Text()
	in := &dynamodb.CreateTableInput{TableName: &table, BillingMode: types.BillingModePayPerRequest}
	for name, keyType := range keys {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &name, AttributeType: kind})
		e := types.KeySchemaElement{AttributeName: &name, KeyType: keyType}
		if keyType == types.KeyTypeHash { // which comes first
			in.KeySchema = append([]types.KeySchemaElement{e}, in.KeySchema...)
		} else {
			in.KeySchema = append(in.KeySchema, e)
		}
	}
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTable(t *testing.T) {
	t.Run("table is made once with its time to live", testATableIsMadeOnceWithItsTimeToLive)
	t.Run("table without its time to live works and is completed by create", testATableWithoutItsTimeToLiveWorksAndIsCompletedByCreate)
	t.Run("table whose time to live is another attribute is named and left", testATableWhoseTimeToLiveIsAnotherAttributeIsNamedAndLeft)
	t.Run("table with another key is refused", testATableWithAnotherKeyIsRefused)
	t.Run("missing table is named", testAMissingTableIsNamed)
	t.Run("every problem of a setting is named", testEveryProblemOfASettingIsNamed)
}

func testATableIsMadeOnceWithItsTimeToLive(t *testing.T) {
	onEveryEndpoint(t, func(t *testing.T, client *dynamodb.Client) {
		table := newTable(t, client)
		for range 2 {
			if err := dynamo.CreateTable(t.Context(), client, table); err != nil {
				t.Error(err)
			}
			if err := dynamo.CheckTable(t.Context(), client, table); err != nil {
				t.Error(err)
			}
		}
	})
}

func testATableWithoutItsTimeToLiveWorksAndIsCompletedByCreate(t *testing.T) {
	_, client := wired(t)
	table := makeTable(t, client, map[string]types.KeyType{dynamo.AttrID: types.KeyTypeHash}, types.ScalarAttributeTypeS)
	if err := dynamo.CheckTable(t.Context(), client, table); !errors.Is(err, dynamo.ErrNoTTL) {
		t.Errorf("got %v", err)
	}
	if err := dynamo.CreateTable(t.Context(), client, table); err != nil {
		t.Error(err)
	}
	if err := dynamo.CheckTable(t.Context(), client, table); err != nil {
		t.Error(err)
	}
}

func testATableWhoseTimeToLiveIsAnotherAttributeIsNamedAndLeft(t *testing.T) {
	_, client := wired(t)
	table := makeTable(t, client, map[string]types.KeyType{dynamo.AttrID: types.KeyTypeHash}, types.ScalarAttributeTypeS)
	_, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName:               &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ttl"), Enabled: aws.Bool(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		dynamo.CheckTable(t.Context(), client, table),
		dynamo.CreateTable(t.Context(), client, table),
	} {
		if !errors.Is(err, dynamo.ErrNoTTL) || !strings.Contains(err.Error(), `"ttl"`) {
			t.Errorf("got %v", err)
		}
	}
}

func testATableWithAnotherKeyIsRefused(t *testing.T) {
	_, client := wired(t)
	for what, table := range map[string]string{
		"another name":       makeTable(t, client, map[string]types.KeyType{"pk": types.KeyTypeHash}, types.ScalarAttributeTypeS),
		"another type":       makeTable(t, client, map[string]types.KeyType{dynamo.AttrID: types.KeyTypeHash}, types.ScalarAttributeTypeN),
		"a sort key as well": makeTable(t, client, map[string]types.KeyType{dynamo.AttrID: types.KeyTypeHash, "sk": types.KeyTypeRange}, types.ScalarAttributeTypeS),
	} {
		for _, err := range []error{
			dynamo.CheckTable(t.Context(), client, table),
			dynamo.CreateTable(t.Context(), client, table),
		} {
			if !errors.Is(err, dynamo.ErrWrongKey) || !errors.Is(err, dedupe.ErrUnavailable) {
				t.Errorf("%s: got %v", what, err)
			}
		}
	}
}

func testAMissingTableIsNamed(t *testing.T) {
	inBothModes(t, func(t *testing.T, _ *wire, _ *dynamo.Store) {
		_, client := wired(t)
		if err := dynamo.CheckTable(t.Context(), client, "not-there"); !errors.Is(err, dynamo.ErrNoTable) || !strings.Contains(err.Error(), `"not-there"`) {
			t.Errorf("check: %v", err)
		}
		s := newStore(t, client, dynamo.Config{Table: "not-there"})
		err := s.Swap(t.Context(), 0, record("a", 1))
		if !errors.Is(err, dynamo.ErrNoTable) || !errors.Is(err, dedupe.ErrUnavailable) {
			t.Errorf("write: %v", err)
		}
	})
}

func testEveryProblemOfASettingIsNamed(t *testing.T) {
	_, err := dynamo.New(nil, dynamo.Config{Timeout: -1, Batch: 7})
	for _, want := range []string{"client: must not be nil", `Table ""`, "Timeout -1ns", "Batch 7"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestCheckTable_replicas(t *testing.T) {
	const replicas = `,"Replicas":[{"RegionName":"eu-west-1","ReplicaStatus":"ACTIVE"}]`
	for name, tc := range map[string]struct {
		described string // of the table, beside its key
		ttl       string // its status
		want      error
		says      string
	}{
		"none":                 {"", "ENABLED", nil, ""},
		"eventual":             {replicas + `,"GlobalTableVersion":"2019.11.21"`, "ENABLED", dynamo.ErrReplica, "one Region"},
		"eventual, told":       {replicas + `,"MultiRegionConsistency":"EVENTUAL"`, "ENABLED", dynamo.ErrReplica, "one Region"},
		"of the first version": {`,"GlobalTableVersion":"2017.11.29"`, "ENABLED", dynamo.ErrReplica, "one Region"},
		"strong":               {replicas + `,"MultiRegionConsistency":"STRONG"`, "DISABLED", dynamo.ErrNoTTL, "transactions"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{hook: func(c call, _ int, _ func() *http.Response) (*http.Response, error) {
				if c.op == "DescribeTimeToLive" {
					return respond(200, `{"TimeToLiveDescription":{"TimeToLiveStatus":"`+tc.ttl+`","AttributeName":"expires_at"}}`), nil
				}
				return respond(200, `{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],`+
					`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}]`+tc.described+`}}`), nil
			}}
			err := dynamo.CheckTable(t.Context(), w.client(), "t")
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v", err)
			}
			if refused := errors.Is(err, dedupe.ErrUnavailable); refused != errors.Is(tc.want, dynamo.ErrReplica) {
				t.Errorf("refused: %v, %v", refused, err)
			}
		})
	}
}
