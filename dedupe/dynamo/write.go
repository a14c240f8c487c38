package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// write is one Swap on its way: the record to write over the version old.
type write struct {
	row
	old   protocol.Version
	claim bool // begins an attempt; all else goes before it
	alone bool // no statement can do it: it takes the record out of the list, or creates it there
	size  int  // bytes in the request, about

	until time.Time // Swap returns by then
}

// fixedSize is about what a request carries for a record without its texts.
const fixedSize = 512

func newWrite(old protocol.Version, next protocol.Record) (*write, error) {
	encoded, err := encode(next)
	if err != nil {
		return nil, err
	}
	return &write{
		row: encoded, old: old,
		claim: next.Status == protocol.InProgress && next.Fence == next.Version,
		alone: old == 0 && encoded.attention != "" || next.Listed && leavesList(next),
		size:  fixedSize + len(next.ID) + len(next.Name) + len(next.Error) + len(next.Result),
	}, nil
}

// form is that of the statement that does w.
func (w *write) form() form {
	switch {
	case w.old == 0:
		return formInsert
	case w.attention != "":
		return formList
	default:
		return formUpdate
	}
}

// unchangedSince is the condition of a write over the version old.
func unchangedSince(old protocol.Version) (expression.Expression, error) {
	condition := expression.AttributeNotExists(expression.Name(AttrID))
	if old != 0 {
		condition = expression.Equal(expression.Name(AttrVersion), expression.Value(int64(old)))
	}
	e, err := expression.NewBuilder().WithCondition(condition).Build()
	if err != nil {
		return e, fmt.Errorf("dynamo: condition: %w", err)
	}
	return e, nil
}

// putItem makes the one call of a single write. Where the condition fails, the
// error carries the item.
func (s *Store) putItem(ctx context.Context, w *write) error {
	condition, err := unchangedSince(w.old)
	if err != nil {
		return err
	}
	sent := time.Now()
	out, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           &s.cfg.Table,
		Item:                                s.cfg.theirs(w.item()),
		ConditionExpression:                 condition.Condition(),
		ExpressionAttributeNames:            condition.Names(),
		ExpressionAttributeValues:           condition.Values(),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, once)
	if err != nil {
		return err
	}
	s.clock.observe(sent, out.ResultMetadata)
	return nil
}

// put is a single write: one PutItem.
func (s *Store) put(ctx context.Context, w *write) error {
	ctx, cancel := context.WithDeadline(ctx, w.until)
	defer cancel()
	err := s.putItem(ctx, w)
	switch {
	case err == nil:
		return nil
	case kindOf(err) != kindConflict:
		return classify("write", w.id, err)
	}
	it := conflicting(err)
	if len(it) == 0 {
		// Gone, or a server that does not send the item: ask.
		if it, err = s.getItem(ctx, w.id); err != nil {
			return err
		}
	}
	return &dedupe.ConflictError{Current: s.read(it)}
}
