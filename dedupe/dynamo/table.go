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

// createWait is how long a new table may take to become active.
const createWait = 2 * time.Minute

// Errors of [CheckTable].
var (
	// ErrWrongKey: the table's key is not the string "id".
	ErrWrongKey = errors.New("table has the wrong key")
	// ErrNoTTL: records would never be removed. The store works all the same.
	ErrNoTTL = errors.New("table has no time to live on " + AttrTTL)
)

// CreateTable creates a table for [New], billed by request and with its time to
// live set, and waits until it is active. A table that exists is left as it is.
func CreateTable(ctx context.Context, client *dynamodb.Client, table string) error {
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:            &table,
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(AttrID), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(AttrID), KeyType: types.KeyTypeHash}},
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
	ttl, err := inspect(ctx, client, table)
	if err != nil || ttl != "" {
		return cmp.Or(err, checkTTL(table, ttl))
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(AttrTTL), Enabled: aws.Bool(true)},
	})
	if err != nil {
		// Perhaps another worker was faster.
		if again := CheckTable(ctx, client, table); again == nil {
			return nil
		}
		return fmt.Errorf("dynamo: set the time to live of table %q: %w", table, err)
	}
	return nil
}

// CheckTable looks whether the store can work on a table. Errors wrap
// [dedupe.ErrUnavailable] with [ErrNoTable], [ErrDenied] or [ErrWrongKey]; or,
// as a warning, [ErrNoTTL].
func CheckTable(ctx context.Context, client *dynamodb.Client, table string) error {
	ttl, err := inspect(ctx, client, table)
	if err != nil {
		return err
	}
	return checkTTL(table, ttl)
}

// checkTTL returns nil if ttl, the attribute that a table's time to live is on,
// is the right one.
func checkTTL(table, ttl string) error {
	switch ttl {
	case AttrTTL:
		return nil
	case "":
		return fmt.Errorf("dynamo: table %q: %w", table, ErrNoTTL)
	default:
		return fmt.Errorf("dynamo: table %q: %w: it is on %q", table, ErrNoTTL, ttl)
	}
}

// inspect returns the attribute that the table's time to live is on, if any, or
// an error when the store cannot work on the table.
func inspect(ctx context.Context, client *dynamodb.Client, table string) (ttl string, err error) {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return "", classify("describe table", table, err)
	}
	if !hasKey(out.Table) {
		return "", fmt.Errorf("dynamo: table %q: %w: want the partition key %q of type S alone: %w",
			table, ErrWrongKey, AttrID, dedupe.ErrUnavailable)
	}
	described, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		return "", classify("describe time to live of table", table, err)
	}
	if d := described.TimeToLiveDescription; d != nil &&
		(d.TimeToLiveStatus == types.TimeToLiveStatusEnabled || d.TimeToLiveStatus == types.TimeToLiveStatusEnabling) {
		return aws.ToString(d.AttributeName), nil
	}
	return "", nil
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
