package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

const commitOp = "TransactWriteItems"

// ledger is a store on the local server with counters in its own table, behind
// a wire.
type ledger struct {
	wire  *wire
	store *dynamo.Store
	counters
}

func newLedger(t *testing.T) ledger {
	t.Helper()
	w, client := wired(t)
	table := newTable(t, client)
	w.calls = nil
	return ledger{w, newStore(t, client, dynamo.Config{Table: table}), counters{client, table}}
}

func (l ledger) incrementing(name string) []any {
	u := l.increment(name)
	return []any{types.TransactWriteItem{Update: &u}}
}

// claimed writes a claim and returns it.
func (l ledger) claimed(t *testing.T, owner byte, name string) protocol.Record {
	t.Helper()
	r, _ := protocol.Step(protocol.Record{}, claim(owner, name))
	if err := l.store.Swap(t.Context(), 0, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func completion(owner byte) protocol.Complete {
	return protocol.Complete{Now: time.Now(), Owner: protocol.Token{owner}, Terms: terms, Result: []byte(`{"done":true}`)}
}

// transactions returns the bodies of the commits sent.
func (l ledger) transactions() []string {
	var bodies []string
	for _, c := range l.wire.calls {
		if c.op == commitOp {
			bodies = append(bodies, string(c.body))
		}
	}
	return bodies
}

func TestCommit(t *testing.T) {
	t.Run("same commit is the same request to the byte", testTheSameCommitIsTheSameRequestToTheByte)
	t.Run("busy transaction is left to the caller", testABusyTransactionIsLeftToTheCaller)
	t.Run("token used for another commit is told by the record", testATokenUsedForAnotherCommitIsToldByTheRecord)
	t.Run("failed condition of the handlers says which and why", testAFailedConditionOfTheHandlersSaysWhichAndWhy)
	t.Run("failed effect over another record is a conflict", testAFailedEffectOverAnotherRecordIsAConflict)
	t.Run("effects that cannot be accepted are for good", testEffectsThatCannotBeAcceptedAreForGood)
	t.Run("missing table of an effect is for the operator", testAMissingTableOfAnEffectIsForTheOperator)
	t.Run("effect on the names own record is refused when it is added", testAnEffectOnTheNamesOwnRecordIsRefusedWhenItIsAdded)
}

func testTheSameCommitIsTheSameRequestToTheByte(t *testing.T) {
	l := newLedger(t)
	cur := l.claimed(t, 1, "a")
	l.wire.hook = func(c call, n int, forward func() *http.Response) (*http.Response, error) {
		switch {
		case c.op != commitOp:
			return forward(), nil
		case n == 0: // the request is lost, all others' answers
			return nil, errCut
		case n < 7:
			return cut(forward())
		default:
			return forward(), nil
		}
	}
	next, _ := protocol.Step(cur, completion(1))
	many := l.incrementing("n")
	for _, name := range []string{"b", "c", "d"} {
		p := types.Put{TableName: &l.table, Item: map[string]types.AttributeValue{
			dynamo.AttrID: &types.AttributeValueMemberS{Value: name},
			"list":        &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberN{Value: "12345678901234567890123456789012345678"}}},
			"map":         &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"x": &types.AttributeValueMemberS{Value: "<&>é"}, "y": &types.AttributeValueMemberB{Value: []byte{0, 255}}}},
		}}
		many = append(many, types.TransactWriteItem{Put: &p})
	}
	for range 7 {
		if err := l.store.Commit(t.Context(), cur.Version, next, many); !errors.Is(err, errCut) {
			t.Fatalf("got %v, want no answer", err)
		}
	}
	if err := l.store.Commit(t.Context(), cur.Version, next, many); err != nil {
		t.Fatalf("once more: %v", err)
	}
	bodies := l.transactions()
	if len(bodies) != 8 || len(slices.Compact(slices.Clone(bodies))) != 1 {
		t.Errorf("%d requests, not all equal: %q", len(bodies), bodies)
	}
	if n := l.count(t, "n"); n != 1 {
		t.Errorf("counted %d", n)
	}
	if got, err := l.store.Get(t.Context(), next.ID); err != nil || got.Status != protocol.Completed {
		t.Errorf("the record is %+v, %v", got, err)
	}
}

// reasons is the answer of a cancelled transaction.
func reasons(codes ...string) *http.Response {
	rs := make([]string, len(codes))
	for i, code := range codes {
		rs[i] = fmt.Sprintf(`{"Code":%q,"Message":"as ordered"}`, code)
	}
	return respond(400, `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"cancelled",`+
		`"CancellationReasons":[`+strings.Join(rs, ",")+`]}`)
}

func testABusyTransactionIsLeftToTheCaller(t *testing.T) {
	for what, answer := range map[string]func() *http.Response{
		"record in a transaction":         func() *http.Response { return reasons("TransactionConflict", "None") },
		"effect in a transaction":         func() *http.Response { return reasons("None", "TransactionConflict") },
		"record busy, an effect fails":    func() *http.Response { return reasons("TransactionConflict", "ConditionalCheckFailed") },
		"throttled":                       func() *http.Response { return reasons("ThrottlingError", "None") },
		"out of throughput":               func() *http.Response { return reasons("None", "ProvisionedThroughputExceeded") },
		"still in progress":               func() *http.Response { return refuse("TransactionInProgressException") },
		"throttled as a whole":            func() *http.Response { return refuse("ThrottlingException") },
		"a server error":                  func() *http.Response { return refuse("InternalServerError") },
		"cancelled for an unknown reason": func() *http.Response { return reasons("None", "Eclipse") },
		"cancelled without reasons":       func() *http.Response { return reasons() },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{hook: func(_ call, n int, forward func() *http.Response) (*http.Response, error) {
					if n < 1 {
						return answer(), nil
					}
					return forward(), nil
				}}
				s := newStore(t, w.client(), dynamo.Config{Table: "t"})
				next, _ := protocol.Step(protocol.Record{}, claim(1, "a"))
				effects := ledger{counters: counters{nil, "t"}}.incrementing("n")
				expectBusy(t, s.Commit(t.Context(), 0, next, effects))
				if err := s.Commit(t.Context(), 0, next, effects); err != nil {
					t.Errorf("once more: %v", err)
				}
				w.expectOps(t, commitOp, commitOp)
				if len(w.calls) == 2 && string(w.calls[0].body) != string(w.calls[1].body) {
					t.Error("the request has changed")
				}
			})
		})
	}
}

func testATokenUsedForAnotherCommitIsToldByTheRecord(t *testing.T) {
	l := newLedger(t)
	cur := l.claimed(t, 1, "a")
	l.wire.hook = onlyFirst(commitOp, func(call) (*http.Response, error) { return refuse("IdempotentParameterMismatchException"), nil })
	next, _ := protocol.Step(cur, completion(1))
	lost, ok := errors.AsType[*dedupe.ConflictError](l.store.Commit(t.Context(), cur.Version, next, l.incrementing("n")))
	if !ok || lost.Current.Version != cur.Version || lost.Current.Owner != cur.Owner {
		t.Errorf("got %+v, want the record as it stands", lost)
	}
}

func testAFailedConditionOfTheHandlersSaysWhichAndWhy(t *testing.T) {
	l := newLedger(t)
	cur := l.claimed(t, 1, "a")
	next, _ := protocol.Step(cur, completion(1))
	check := l.require("stock", 7)
	check.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	_, err := l.client.UpdateItem(t.Context(), updateItem(l.increment("stock")))
	if err != nil {
		t.Fatal(err)
	}
	err = l.store.Commit(t.Context(), cur.Version, next, append(l.incrementing("n"), types.TransactWriteItem{ConditionCheck: &check}))
	failed, ok := errors.AsType[*dedupe.EffectError](err)
	why, known := errors.AsType[*dynamo.ReasonError](err)
	if !ok || !known || failed.Index != 1 || failure.Is(failed, failure.Permanent.Permanent) || aws.ToString(why.Reason.Code) != "ConditionalCheckFailed" {
		t.Fatalf("got %#v", err)
	}
	if n, ok := why.Reason.Item["n"].(*types.AttributeValueMemberN); !ok || n.Value != "1" {
		t.Errorf("the reason shows %v", why.Reason.Item)
	}
	if n := l.count(t, "n"); n != 0 {
		t.Errorf("counted %d", n)
	}
}

// An effect's condition may fail because an earlier try of this commit was applied. The answer's
// reason for the record does not matter then.
func testAFailedEffectOverAnotherRecordIsAConflict(t *testing.T) {
	l := newLedger(t)
	cur := l.claimed(t, 1, "a")
	next, _ := protocol.Step(cur, completion(1))
	if err := l.store.Swap(t.Context(), cur.Version, next); err != nil {
		t.Fatal(err)
	}
	l.wire.hook = onlyFirst(commitOp, func(call) (*http.Response, error) { return reasons("None", "ConditionalCheckFailed"), nil })
	lost, ok := errors.AsType[*dedupe.ConflictError](l.store.Commit(t.Context(), cur.Version, next, l.incrementing("n")))
	if !ok || lost.Current.Status != protocol.Completed {
		t.Errorf("got %+v", lost)
	}
}

func testEffectsThatCannotBeAcceptedAreForGood(t *testing.T) {
	l := newLedger(t)
	cur := l.claimed(t, 1, "a")
	next, _ := protocol.Step(cur, completion(1))
	for what, effects := range map[string][]any{
		"two writes to one item": append(l.incrementing("n"), l.incrementing("n")...),
		"one too many":           slices.Repeat(l.incrementing("n"), dedupe.MaxEffects+1),
		"no action":              {types.TransactWriteItem{}},
		"half an update":         {types.TransactWriteItem{Update: &types.Update{TableName: &l.table, Key: l.key("n")}}},
		"of another kind":        {"INSERT"},
	} {
		err := l.store.Commit(t.Context(), cur.Version, next, effects)
		if failed, ok := errors.AsType[*dedupe.EffectError](err); !ok || !failure.Is(failed, failure.Permanent.Permanent) {
			t.Errorf("%s: got %#v", what, err)
		}
	}
	if n := l.count(t, "n"); n != 0 {
		t.Errorf("counted %d", n)
	}
}

func testAMissingTableOfAnEffectIsForTheOperator(t *testing.T) {
	l := newLedger(t)
	cur := l.claimed(t, 1, "a")
	next, _ := protocol.Step(cur, completion(1))
	err := l.store.Commit(t.Context(), cur.Version, next, ledger{counters: counters{nil, "not-there"}}.incrementing("n"))
	if _, failed := errors.AsType[*dedupe.EffectError](err); failed || !errors.Is(err, dynamo.ErrNoTable) || !errors.Is(err, dedupe.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func testAnEffectOnTheNamesOwnRecordIsRefusedWhenItIsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, (&wire{}).client(), dynamo.Config{Table: "t"})
		g, err := dedupe.New[string](s, dedupe.Config{Scope: "q"})
		if err != nil {
			t.Fatal(err)
		}
		own := map[string]types.AttributeValue{dynamo.AttrID: &types.AttributeValueMemberS{Value: "q#a"}}
		other := map[string]types.AttributeValue{dynamo.AttrID: &types.AttributeValueMemberS{Value: "q#b"}}
		const arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/t"
		_, err = g.Do(t.Context(), dedupe.Key{Name: "a"}, func(ctx context.Context) (string, error) {
			for what, err := range map[string]error{
				"put":       dynamo.Put(ctx, types.Put{TableName: aws.String("t"), Item: own}),
				"update":    dynamo.Update(ctx, types.Update{TableName: aws.String("t"), Key: own}),
				"delete":    dynamo.Delete(ctx, types.Delete{TableName: aws.String(arn), Key: own}),
				"check":     dynamo.Check(ctx, types.ConditionCheck{TableName: aws.String("t"), Key: own}),
				"no table":  dynamo.Put(ctx, types.Put{Item: other}),
				"nothing":   dedupe.AddEffect(ctx, types.TransactWriteItem{}),
				"something": dedupe.AddEffect(ctx, 7),
			} {
				if err == nil {
					t.Errorf("%s was taken", what)
				}
			}
			for what, err := range map[string]error{
				"another record":         dynamo.Put(ctx, types.Put{TableName: aws.String("t"), Item: other}),
				"the key in another one": dynamo.Put(ctx, types.Put{TableName: aws.String("t2"), Item: own}),
			} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			return "done", nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
