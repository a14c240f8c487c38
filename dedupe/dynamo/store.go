package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
)

// API is what the store calls. A *[dynamodb.Client] is one.
type API interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

var (
	_ API           = (*dynamodb.Client)(nil)
	_ dedupe.Store  = (*Store)(nil)
	_ dedupe.Reader = (*Store)(nil)
)

// DefaultTimeout is how long one call may take, the SDK's own retries included.
const DefaultTimeout = 3 * time.Second

// Config says how a [Store] works.
type Config struct {
	// Table is the table's name or ARN. Required.
	Table string

	// Timeout bounds one call, the SDK's own retries included. It must be well
	// below the guard's lease. Default 3s.
	Timeout time.Duration

	// Logger is told of items that are not records. Default [slog.Default].
	Logger *slog.Logger
}

// Store keeps records in a DynamoDB table. Use New; safe for concurrent use.
type Store struct {
	client API
	cfg    Config
}

// New returns a store, or an error that names what is wrong with cfg. It makes
// no call.
func New(client API, cfg Config) (*Store, error) {
	if cfg.Table == "" {
		return nil, errors.New("dynamo: Table must be set")
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("dynamo: Timeout %s: must not be negative", cfg.Timeout)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return &Store{client: client, cfg: cfg}, nil
}

// Swap implements [dedupe.Store] by a conditional PutItem.
func (s *Store) Swap(ctx context.Context, old dedupe.Version, next dedupe.Record) error {
	it, err := encode(next)
	if err != nil {
		return fmt.Errorf("dynamo: %w: %w", dedupe.ErrUnavailable, err)
	}
	condition, err := expression.NewBuilder().WithCondition(unchangedSince(old)).Build()
	if err != nil {
		return fmt.Errorf("dynamo: condition: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           &s.cfg.Table,
		Item:                                it,
		ConditionExpression:                 condition.Condition(),
		ExpressionAttributeNames:            condition.Names(),
		ExpressionAttributeValues:           condition.Values(),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err == nil {
		return nil
	}
	failed, conflict := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !conflict {
		return classify("write", next.ID, err)
	}
	if len(failed.Item) == 0 && old != 0 {
		// Gone, or a server that does not send the item: ask.
		current, err := s.Get(ctx, next.ID)
		if err != nil {
			return err
		}
		return &dedupe.ConflictError{Current: current}
	}
	return &dedupe.ConflictError{Current: s.read(failed.Item)}
}

// unchangedSince is the condition of a write over the version old.
func unchangedSince(old dedupe.Version) expression.ConditionBuilder {
	if old == 0 {
		return expression.AttributeNotExists(expression.Name(AttrID))
	}
	return expression.Equal(expression.Name(AttrVersion), expression.Value(int64(old)))
}

// Get implements [dedupe.Reader] by a strongly consistent GetItem. An item that
// is no record comes back as one that the protocol leaves alone.
func (s *Store) Get(ctx context.Context, id string) (dedupe.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &s.cfg.Table,
		Key:            item{AttrID: &types.AttributeValueMemberS{Value: id}},
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return dedupe.Record{}, classify("read", id, err)
	}
	return s.read(out.Item), nil
}

func (s *Store) read(it item) dedupe.Record {
	r, err := decode(it)
	if err != nil {
		s.cfg.Logger.Error("item in the table is not a record; left alone", "table", s.cfg.Table, "id", r.ID, "error", err)
	}
	return r
}
