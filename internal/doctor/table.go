package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// schema checks key, replicas and time to live.
func schema(ctx context.Context, p *patient) (string, error) {
	if err := (dynamo.Config{Table: p.cfg.Name, TTLAttribute: p.cfg.TTL}).CheckTable(ctx, p.cfg.Table); err != nil {
		return err.Error(), errDiffers
	}
	return "key id (S), " + cmp.Or(p.cfg.TTL, dynamo.AttrTTL) + ", one Region", nil
}

func index(ctx context.Context, p *patient) (string, error) {
	s, err := p.store()
	if err != nil {
		return "", err
	}
	_, err = s.List(ctx, listing.Query{Scope: p.scope, Status: protocol.Rejected, Limit: 1})
	if err != nil {
		return err.Error(), errDiffers
	}
	return "it can be queried", nil
}

func clockOf(ctx context.Context, p *patient) (string, error) {
	sent := time.Now()
	out, err := p.cfg.Table.GetItem(ctx, &dynamodb.GetItemInput{TableName: &p.cfg.Name, Key: map[string]types.AttributeValue{
		dynamo.AttrID: &types.AttributeValueMemberS{Value: p.scope + "#clock"},
	}})
	if err != nil {
		return "", fmt.Errorf("GetItem: %w", err)
	}
	date, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok {
		return "no Date in the answer", errDiffers
	}
	// The Date header has whole seconds, and its time is between sending and receiving.
	least, most := time.Until(date), date.Add(time.Second).Sub(sent)
	seen := fmt.Sprintf("between %s and %s", least.Round(time.Millisecond), most.Round(time.Millisecond))
	if least > p.cfg.Skew || most < -p.cfg.Skew {
		return seen, errDiffers
	}
	return seen, nil
}

// statements sends each of the store's statements twice in a batch.
func statements(ctx context.Context, p *patient) (string, error) {
	one, other := p.record("one"), p.record("other")
	inserted, err := p.batch(ctx, write{0, one}, write{0, other})
	if err != nil {
		return "", err
	}
	one.Version, one.Status, one.Result = 2, protocol.Completed, []byte(`{"done":true}`)
	other.Version, other.Status, other.Error = 2, protocol.Rejected, "a failure"
	updated, err := p.batch(ctx, write{1, one}, write{1, other})
	if err != nil {
		return "", err
	}
	for i, r := range append(inserted, updated...) {
		if r.Error != nil {
			text, _ := dynamo.Statement(p.cfg.Name, protocol.Version(i/2), one)
			return fmt.Sprintf("%s: %s, for %.60s", codeOf(r), aws.ToString(r.Error.Message), aws.ToString(text.Statement)), errDiffers
		}
	}
	s, err := p.store()
	if err != nil {
		return "", err
	}
	got, err := s.Get(ctx, one.ID)
	if err != nil {
		return "", err
	}
	if got.Version != 2 || got.Status != protocol.Completed || string(got.Result) != string(one.Result) || got.Error != "" {
		return fmt.Sprintf("the record reads as version %d, %s, %s", got.Version, got.Status, got.Result), errDiffers
	}
	return "accepted, and read back as written", nil
}

// condition makes the condition of one of two members fail.
func condition(ctx context.Context, p *patient) (string, error) {
	one, other := p.record("loser"), p.record("winner")
	if _, err := p.batch(ctx, write{0, one}, write{0, other}); err != nil {
		return "", err
	}
	one.Version, other.Version = 9, 2
	out, err := p.batch(ctx, write{8, one}, write{1, other})
	if err != nil {
		return "", err
	}
	seen := fmt.Sprintf("%s, and %s", codeOf(out[0]), codeOf(out[1]))
	switch {
	case codeOf(out[0]) != string(types.BatchStatementErrorCodeEnumConditionalCheckFailed) || out[1].Error != nil:
		return seen, errDiffers
	case len(out[0].Error.Item) == 0:
		return seen + ", without the item", errDiffers
	default:
		return seen + ", with the item", nil
	}
}

func duplicate(ctx context.Context, p *patient) (string, error) {
	r := p.record("twice")
	if _, err := p.batch(ctx, write{0, r}); err != nil {
		return "", err
	}
	out, err := p.batch(ctx, write{0, r}, write{0, p.record("beside")})
	if err != nil {
		return "", err
	}
	seen := fmt.Sprintf("%s, and %s", codeOf(out[0]), codeOf(out[1]))
	if codeOf(out[0]) != string(types.BatchStatementErrorCodeEnumDuplicateItem) || out[1].Error != nil {
		return seen, errDiffers
	}
	return seen, nil
}

// lone sends a PutItem whose condition fails.
func lone(ctx context.Context, p *patient) (string, error) {
	s, err := p.store()
	if err != nil {
		return "", err
	}
	r := p.record("alone")
	if err := s.Swap(ctx, 0, r); err != nil {
		return "", err
	}
	_, err = p.cfg.Table.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &p.cfg.Name, Item: map[string]types.AttributeValue{dynamo.AttrID: &types.AttributeValueMemberS{Value: r.ID}},
		ConditionExpression:                 aws.String("attribute_not_exists(id)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	switch {
	case !ok:
		return fmt.Sprintf("answered by %v", err), errDiffers
	case len(failed.Item) == 0:
		return "refused, without the item", errDiffers
	default:
		return "refused, with the item", nil
	}
}

// transaction sends one transaction twice, then another transaction with the same token.
func transaction(ctx context.Context, p *patient) (string, error) {
	put := func(token, name, value string) error {
		id := p.record(name).ID
		_, err := p.cfg.Table.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
			ClientRequestToken: &token, TransactItems: []types.TransactWriteItem{{Put: &types.Put{
				TableName: &p.cfg.Name, ConditionExpression: aws.String("attribute_not_exists(id)"),
				Item: map[string]types.AttributeValue{
					dynamo.AttrID: &types.AttributeValueMemberS{Value: id}, "value": &types.AttributeValueMemberS{Value: value},
				},
			}}},
		})
		return err
	}
	token := p.scope
	if err := put(token, "transaction", "a"); err != nil {
		return "", fmt.Errorf("TransactWriteItems: %w", err)
	}
	if err := put(token, "transaction", "a"); err != nil {
		return fmt.Sprintf("the same again: %v", err), errDiffers
	}
	err := put(token, "transaction", "b")
	if _, ok := errors.AsType[*types.IdempotentParameterMismatchException](err); !ok {
		return fmt.Sprintf("another one under the token: %v", err), errDiffers
	}
	return "applied once; another one under the token is refused", nil
}
