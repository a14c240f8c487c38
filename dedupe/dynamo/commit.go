package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

var (
	_ dedupe.Committer = (*Store)(nil)
)

// Commit implements [dedupe.Committer] with TransactWriteItems: next, and up to 99 effects, each a
// [types.TransactWriteItem].
//
// A repeated commit is the same request, byte by byte, with the same client token, so DynamoDB
// applies it once. The token is valid for ten minutes; after that the record's own condition fails.
// Then, and if the token was used with other parameters, the record tells the outcome, so Commit
// returns a *[dedupe.ConflictError]. A transaction that was throttled, or that conflicted with
// another one, was not applied. Its error is ambiguous, and only the caller backs off.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
func (s *Store) Commit(ctx context.Context, old protocol.Version, next protocol.Record, effects []any) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	in, err := s.transaction(old, next, effects)
	if err != nil {
		return err
	}
	if err = s.transact(ctx, in); err == nil {
		return nil
	}
	switch answer := judge(err); {
	case answer.lost:
		return s.lost(ctx, next.ID, answer.item)
	case answer.effect != nil:
		return s.effectFailed(ctx, old, next.ID, answer.effect)
	default:
		return classify("commit", next.ID, err)
	}
}

// transaction builds the request: the record first, then the effects.
func (s *Store) transaction(old protocol.Version, next protocol.Record, effects []any) (*dynamodb.TransactWriteItemsInput, error) {
	if len(effects) > dedupe.MaxEffects {
		return nil, &dedupe.EffectError{Index: dedupe.MaxEffects, Err: &notAcceptable{
			fmt.Errorf("dynamo: %d effects, more than %d", len(effects), dedupe.MaxEffects),
		}}
	}
	condition, err := unchangedSince(old)
	if err != nil {
		return nil, err
	}
	record, err := encode(next)
	if err != nil {
		return nil, err
	}
	in := &dynamodb.TransactWriteItemsInput{
		ClientRequestToken: aws.String(clientToken(old, next)),
		TransactItems: append(make([]types.TransactWriteItem, 0, 1+len(effects)), types.TransactWriteItem{Put: &types.Put{
			TableName:                           &s.cfg.Table,
			Item:                                s.cfg.theirs(record.item()),
			ConditionExpression:                 condition.Condition(),
			ExpressionAttributeNames:            condition.Names(),
			ExpressionAttributeValues:           condition.Values(),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}}),
	}
	for i, effect := range effects {
		if err := s.CheckEffect(next.ID, effect); err != nil {
			return nil, &dedupe.EffectError{Index: i, Err: &notAcceptable{err}}
		}
		in.TransactItems = append(in.TransactItems, effect.(types.TransactWriteItem))
	}
	return in, nil
}

// clientToken returns the token of a commit, derived from its attempt and its versions, which no
// other commit has. It has 32 characters; the limit is 36.
func clientToken(old protocol.Version, next protocol.Record) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %x %s", old, next.Version, next.Owner, next.ID))
	return hex.EncodeToString(sum[:16])
}

// transact makes one call.
func (s *Store) transact(ctx context.Context, in *dynamodb.TransactWriteItemsInput) error {
	sent := time.Now()
	out, err := s.client.TransactWriteItems(ctx, in, once, sorted)
	if err != nil {
		return err
	}
	s.clock.observe(sent, out.ResultMetadata)
	return nil
}

// commitAnswer classifies a failed transaction. Its zero value means that an operator must act, or
// that a repeated request will return the outcome.
type commitAnswer struct {
	lost   bool // the record was not at its version, or its version is not known
	item   item // if lost: the stored record, if the answer contains it
	effect *dedupe.EffectError
}

// judge classifies the error of a failed transaction. The record's own reason takes precedence: if
// the record was not at the old version, an earlier try of the commit may have been applied, and
// then its effects fail, too.
func judge(err error) commitAnswer {
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		switch kindOf(err) {
		case kindConflict, kindMismatch:
			return commitAnswer{lost: true}
		case kindInvalid:
			// The claim of this record was accepted, so an effect is invalid.
			return commitAnswer{effect: &dedupe.EffectError{Index: -1, Err: &notAcceptable{err}}}
		default:
			return commitAnswer{} // not caused by the message: busy, unknown, or a missing table or permission
		}
	}
	reasons := cancelled.CancellationReasons
	switch {
	case len(reasons) == 0:
		return commitAnswer{}
	case reasonKind(reasons[0]) == kindConflict:
		return commitAnswer{lost: true, item: reasons[0].Item}
	case reasonKind(reasons[0]) == kindBusy:
		return commitAnswer{} // the record's version was not checked
	}
	for i, r := range reasons[1:] {
		if k := reasonKind(r); k == kindConflict || k == kindInvalid {
			return commitAnswer{effect: &dedupe.EffectError{Index: i, Err: &ReasonError{Reason: r}}}
		}
	}
	return commitAnswer{}
}

// reasonKind returns the kind of a reason. "None" is kindAmbiguous.
func reasonKind(r types.CancellationReason) kind { return kinds[aws.ToString(r.Code)] }

// lost returns the error of a commit whose record was not at its version.
func (s *Store) lost(ctx context.Context, id string, it item) error {
	if len(it) == 0 {
		var err error
		if it, err = s.getItem(ctx, id); err != nil {
			return err
		}
	}
	return &dedupe.ConflictError{Current: s.read(it)}
}

// effectFailed returns failed if the record is still at its old version. Otherwise an earlier try
// of the commit may have been applied, and the error is a conflict with the stored record.
func (s *Store) effectFailed(ctx context.Context, old protocol.Version, id string, failed *dedupe.EffectError) error {
	it, err := s.getItem(ctx, id)
	if err != nil {
		return err
	}
	if current := s.read(it); current.Version != old {
		return &dedupe.ConflictError{Current: current}
	}
	return failed
}
