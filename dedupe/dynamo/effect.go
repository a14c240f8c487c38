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

// Put hands a put to the attempt that ctx, a handler's context, belongs to. It
// is written in one transaction with "completed", or not at all: see
// [dedupe.AddEffect], whose errors it returns. A condition of its own that
// fails makes the attempt fail with a *[dedupe.EffectError] around a
// *[ReasonError].
//
// Up to 99 writes fit, to any tables of the store's account and Region, 4 MB in
// all, no two of them to one item, and none to the name's own record. What p
// points to must not be changed afterwards. Each costs twice the write units of
// a plain one.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
func Put(ctx context.Context, p types.Put) error {
	return dedupe.AddEffect(ctx, types.TransactWriteItem{Put: &p})
}

// Update hands over an update; see [Put].
func Update(ctx context.Context, u types.Update) error {
	return dedupe.AddEffect(ctx, types.TransactWriteItem{Update: &u})
}

// Delete hands over a delete; see [Put].
func Delete(ctx context.Context, d types.Delete) error {
	return dedupe.AddEffect(ctx, types.TransactWriteItem{Delete: &d})
}

// Check hands over a condition that must hold on an item which is not written;
// see [Put].
func Check(ctx context.Context, c types.ConditionCheck) error {
	return dedupe.AddEffect(ctx, types.TransactWriteItem{ConditionCheck: &c})
}

// ReasonError is why a transaction was cancelled: the reason given for one of a
// handler's own writes. Its Item is there when the write asked for it by
// ReturnValuesOnConditionCheckFailure.
type ReasonError struct {
	Reason types.CancellationReason
}

// Error implements error.
func (e *ReasonError) Error() string {
	return fmt.Sprintf("%s: %s", aws.ToString(e.Reason.Code), aws.ToString(e.Reason.Message))
}

// Permanent reports whether the write can never be accepted, as opposed to a
// condition that may hold another time.
func (e *ReasonError) Permanent() bool { return kinds[aws.ToString(e.Reason.Code)] == kindInvalid }

// notAcceptable is a transaction that DynamoDB does not accept as a whole,
// because of the handler's writes.
type notAcceptable struct{ err error }

func (e *notAcceptable) Error() string { return e.err.Error() }
func (e *notAcceptable) Unwrap() error { return e.err }

// Permanent reports true: it is the same the next time.
func (e *notAcceptable) Permanent() bool { return true }

var errOwnRecord = errors.New("it is a write to the name's own record")

// CheckEffect implements [dedupe.Committer]: an effect is a
// [types.TransactWriteItem] with one action, not to the name's own record.
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

// target returns the table of an effect, its key (or item), and how many
// actions it has.
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

// sameTable compares two names or ARNs. A name may be that of any ARN.
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
