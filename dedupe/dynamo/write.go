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

// write is a Swap in progress: the record to write over the version old.
type write struct {
	row
	old   protocol.Version
	claim bool // begins an attempt; other writes go first
	alone bool // no statement can do it, because it removes the record from the list or creates it there
	size  int  // approximate bytes in the request

	until time.Time // deadline of Swap
}

// fixedSize is the approximate size of a record in a request without its texts.
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

// form returns the form of the statement for w.
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

// unchangedSince returns the condition of a write over the version old.
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

// putItem makes one PutItem call. If the condition fails, the error contains the item.
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

// put carries out a single write by a PutItem.
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
		// The item has gone, or the server has not returned it.
		if it, err = s.getItem(ctx, w.id); err != nil {
			return err
		}
	}
	return &dedupe.ConflictError{Current: s.read(it)}
}
