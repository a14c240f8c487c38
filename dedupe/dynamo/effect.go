package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
)

// Put adds a put to the attempt of ctx, a handler's context. It is committed in one transaction
// with the completion, or not at all; see [dedupe.AddEffect], whose errors it returns. If its own
// condition fails, the attempt fails with a *[dedupe.EffectError] that wraps a *[ReasonError].
//
// An attempt may have up to 99 writes to any tables of the store's account and Region, of 4 MB in
// total. No two of them may be to the same item, and none to the name's own record. The data that p
// points to must not change afterwards. Each write consumes twice the write units of a plain one.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
func Put(ctx context.Context, p types.Put) error {
	return dedupe.AddEffect(ctx, types.TransactWriteItem{Put: &p})
}

// Update adds an update; see [Put].
func Update(ctx context.Context, u types.Update) error {
	return dedupe.AddEffect(ctx, types.TransactWriteItem{Update: &u})
}

// Delete adds a delete; see [Put].
func Delete(ctx context.Context, d types.Delete) error {
	return dedupe.AddEffect(ctx, types.TransactWriteItem{Delete: &d})
}

// Check adds a condition on an item that is not written; see [Put].
func Check(ctx context.Context, c types.ConditionCheck) error {
	return dedupe.AddEffect(ctx, types.TransactWriteItem{ConditionCheck: &c})
}

// ReasonError is the reason for which one of a handler's own writes cancelled the transaction. Its
// Item is set if the write asked for it by ReturnValuesOnConditionCheckFailure.
type ReasonError struct {
	Reason types.CancellationReason
}

// Error implements error.
func (e *ReasonError) Error() string {
	return fmt.Sprintf("%s: %s", aws.ToString(e.Reason.Code), aws.ToString(e.Reason.Message))
}

// Permanent reports whether the write can never be accepted. It is false for a failed condition,
// which may hold later.
func (e *ReasonError) Permanent() bool { return kinds[aws.ToString(e.Reason.Code)] == kindInvalid }

// notAcceptable is the error of a transaction that DynamoDB never accepts because of the handler's
// writes.
type notAcceptable struct{ err error }

func (e *notAcceptable) Error() string { return e.err.Error() }
func (e *notAcceptable) Unwrap() error { return e.err }

// Permanent returns true: a repeated transaction fails, too.
func (e *notAcceptable) Permanent() bool { return true }

var errOwnRecord = errors.New("it is a write to the name's own record")

// CheckEffect implements [dedupe.Committer]. An effect must be a [types.TransactWriteItem] with one
// action, which must not be on the name's own record.
func (s *Store) CheckEffect(recordID string, effect any) error {
	t, ok := effect.(types.TransactWriteItem)
	if !ok {
		return fmt.Errorf("dynamo: effect of type %T: must be a %T", effect, t)
	}
	table, key, actions := target(t)
	switch {
	case actions != 1:
		return fmt.Errorf("dynamo: effect with %d actions: must have exactly one", actions)
	case table == "":
		return errors.New("dynamo: effect without a table name")
	case text(key[AttrID]) == recordID && sameTable(table, s.cfg.Table):
		return fmt.Errorf("dynamo: %w", errOwnRecord)
	}
	return nil
}

// target returns the table of an effect, its key (or item), and its number of actions.
func target(t types.TransactWriteItem) (table string, key item, actions int) {
	if t.Put != nil {
		table, key, actions = aws.ToString(t.Put.TableName), t.Put.Item, actions+1
	}
	if t.Update != nil {
		table, key, actions = aws.ToString(t.Update.TableName), t.Update.Key, actions+1
	}
	if t.Delete != nil {
		table, key, actions = aws.ToString(t.Delete.TableName), t.Delete.Key, actions+1
	}
	if t.ConditionCheck != nil {
		table, key, actions = aws.ToString(t.ConditionCheck.TableName), t.ConditionCheck.Key, actions+1
	}
	return table, key, actions
}

// sameTable reports whether two names or ARNs may mean the same table. A name matches any ARN with
// that name.
func sameTable(a, b string) bool {
	if isARN(a) && isARN(b) {
		return a == b
	}
	return tableName(a) == tableName(b)
}

func tableName(table string) string {
	if _, name, ok := strings.Cut(table, ":table/"); ok && isARN(table) {
		return name
	}
	return table
}
