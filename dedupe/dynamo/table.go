package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
)

// createWait bounds the time until a new table is active.
const createWait = 2 * time.Minute

// Errors of [CheckTable].
var (
	// ErrWrongKey means that the table's key is not the string "id" alone.
	ErrWrongKey = errors.New("table has the wrong key")
	// ErrReplica means that the table is replicated to other Regions with eventual consistency. A
	// condition is checked in one Region only, so attempts on one name could start in two Regions
	// at once.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
	ErrReplica = errors.New("table is a replica of a global table with multi-Region eventual consistency")
	// ErrNoTTL means that records are never removed. The store works nevertheless.
	ErrNoTTL = errors.New("table has no time to live")
)

// stronglyConsistent describes a table of multi-Region strong consistency. Its conditions hold in
// all Regions, but it has neither time to live nor transactions.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
const stronglyConsistent = "it is a replica of a global table with multi-Region strong consistency, " +
	"which has neither time to live nor transactions: writes that handlers hand over are refused"

// CreateTable creates a table for [New] and waits until it is active, at most 2 minutes. The table
// is billed per request and has a time to live and the index for [Store.List]. An existing table is
// not changed, except that a missing time to live is set.
func CreateTable(ctx context.Context, client *dynamodb.Client, table string) error {
	return Config{Table: table}.CreateTable(ctx, client)
}

// CreateTable is the function [CreateTable] with the Table and TTLAttribute of c.
func (c Config) CreateTable(ctx context.Context, client *dynamodb.Client) error {
	c = c.withDefaults()
	table := c.Table
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:   &table,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(AttrID), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(AttrAttention), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(AttrAttentionAt), AttributeType: types.ScalarAttributeTypeN},
		},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String(AttrID), KeyType: types.KeyTypeHash}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String(IndexAttention),
			KeySchema: []types.KeySchemaElement{
				{AttributeName: aws.String(AttrAttention), KeyType: types.KeyTypeHash},
				{AttributeName: aws.String(AttrAttentionAt), KeyType: types.KeyTypeRange},
			},
			Projection: &types.Projection{
				ProjectionType:   types.ProjectionTypeInclude,
				NonKeyAttributes: []string{AttrName, AttrStatus, AttrVersion, AttrAttempts, AttrError},
			},
		}},
	})
	if _, exists := errors.AsType[*types.ResourceInUseException](err); err != nil && !exists {
		return fmt.Errorf("dynamo: create table %q: %w", table, err)
	}
	waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 5*time.Second
	})
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &table}, createWait); err != nil {
		return fmt.Errorf("dynamo: wait for table %q: %w", table, err)
	}
	found, err := inspect(ctx, client, table)
	if err != nil || found.ttl != "" || found.strong {
		return cmp.Or(err, found.check(c))
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &c.TTLAttribute, Enabled: aws.Bool(true)},
	})
	if err != nil {
		// Another worker may have created it.
		if again := c.CheckTable(ctx, client); again == nil {
			return nil
		}
		return fmt.Errorf("dynamo: set the time to live of table %q: %w", table, err)
	}
	return nil
}

// CheckTable checks whether the store can use a table. Errors wrap [dedupe.ErrUnavailable] and
// [ErrNoTable], [ErrDenied], [ErrWrongKey] or [ErrReplica]. An error that wraps [ErrNoTTL] is a
// warning.
func CheckTable(ctx context.Context, client *dynamodb.Client, table string) error {
	return Config{Table: table}.CheckTable(ctx, client)
}

// CheckTable is the function [CheckTable] with the Table and TTLAttribute of c.
func (c Config) CheckTable(ctx context.Context, client *dynamodb.Client) error {
	found, err := inspect(ctx, client, c.Table)
	if err != nil {
		return err
	}
	return found.check(c.withDefaults())
}

// facts are the relevant properties of a usable table.
type facts struct {
	ttl    string // attribute of its time to live; empty if it has none
	strong bool   // it is a replica of a global table with strong consistency
}

// check returns nil if the table's time to live is on the right attribute.
func (f facts) check(c Config) error {
	switch {
	case f.ttl == c.TTLAttribute:
		return nil
	case f.strong:
		return fmt.Errorf("dynamo: table %q: %w: %s", c.Table, ErrNoTTL, stronglyConsistent)
	case f.ttl == "":
		return fmt.Errorf("dynamo: table %q: %w on %s", c.Table, ErrNoTTL, c.TTLAttribute)
	default:
		return fmt.Errorf("dynamo: table %q: %w on %s: it is on %q", c.Table, ErrNoTTL, c.TTLAttribute, f.ttl)
	}
}

// inspect reads the properties of a table. It returns an error if the store cannot use the table.
func inspect(ctx context.Context, client *dynamodb.Client, table string) (found facts, err error) {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return facts{}, classify("describe table", table, err)
	}
	if !hasKey(out.Table) {
		return facts{}, fmt.Errorf("dynamo: table %q: %w: want the partition key %q of type S alone: %w",
			table, ErrWrongKey, AttrID, dedupe.ErrUnavailable)
	}
	found.strong = out.Table.MultiRegionConsistency == types.MultiRegionConsistencyStrong
	if replicated := len(out.Table.Replicas) > 0 || out.Table.GlobalTableVersion != nil; replicated && !found.strong {
		return facts{}, fmt.Errorf("dynamo: table %q: %w: use a table of one Region: %w", table, ErrReplica, dedupe.ErrUnavailable)
	}
	described, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		return facts{}, classify("describe time to live of table", table, err)
	}
	if d := described.TimeToLiveDescription; d != nil &&
		(d.TimeToLiveStatus == types.TimeToLiveStatusEnabled || d.TimeToLiveStatus == types.TimeToLiveStatusEnabling) {
		found.ttl = aws.ToString(d.AttributeName)
	}
	return found, nil
}

func hasKey(t *types.TableDescription) bool {
	if t == nil || len(t.KeySchema) != 1 || aws.ToString(t.KeySchema[0].AttributeName) != AttrID {
		return false
	}
	for _, d := range t.AttributeDefinitions {
		if aws.ToString(d.AttributeName) == AttrID {
			return d.AttributeType == types.ScalarAttributeTypeS
		}
	}
	return false
}
