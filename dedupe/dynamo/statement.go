package dynamo

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// statements are the texts that write records of one table, by their form. A text
// depends on nothing but the table: every column is a parameter, also when it is
// empty.
type statements [forms]statement

// statement is one text, ready to be sent.
type statement struct {
	text string
	json []byte // a request for it, up to the first parameter
}

// newStatements returns the statements for a table whose records expire by ttl.
//
// INSERT fails where the item exists, whatever its version:
//
//	INSERT INTO table VALUE item
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.insert.html
//
// UPDATE fails where the item is missing or of another version:
//
//	UPDATE table [SET | REMOVE] path [= data] […] WHERE condition
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html
//
// The reference repeats the keyword for each path. The page on batches gives
// one SET several assignments, "SET AwardsWon=1, AwardDetail={…}", and that is
// the form used here. No page shows REMOVE with more than one path, so there is
// no REMOVE: a column that a record no longer has is set to an empty value.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.batching.html
//
// An UPDATE leaves the keys of the list as they are, or sets them. They are keys of
// an index, which may not be empty, so that an UPDATE cannot take them away.
//
// Names are quoted, since some are reserved words.
func newStatements(table, ttl string) *statements {
	insert := "INSERT INTO \"" + table + "\" VALUE {'" + AttrID + "':?"
	assignments := make([]string, len(columns))
	for col, name := range columns {
		if col == colTTL {
			name = ttl
		}
		insert += ",'" + name + "':?"
		assignments[col] = `"` + name + `"=?`
	}
	update := func(assignments []string) string {
		return `UPDATE "` + table + `" SET ` + strings.Join(assignments, ", ") +
			` WHERE "` + AttrID + `"=? AND "` + AttrVersion + `"=?`
	}
	return &statements{
		formInsert: newStatement(insert + "}"),
		formUpdate: newStatement(update(assignments)),
		formList:   newStatement(update(append(assignments, `"`+AttrAttention+`"=?`, `"`+AttrAttentionAt+`"=?`))),
	}
}

func newStatement(text string) statement {
	return statement{text: text, json: append(appendText([]byte(`{"Statement":`), text), `,"Parameters":[`...)}
}

// of returns the statement that does w.
func (s *statements) of(w *write) *statement { return &s[w.form()] }

// request returns the statement that does w, with its parameters. The id goes
// before the columns of an INSERT. It follows those of an UPDATE, with the
// version that is written over.
func (s *statements) request(w *write) types.BatchStatementRequest {
	params := make([]types.AttributeValue, 0, len(columns)+4)
	id := &types.AttributeValueMemberS{Value: w.id}
	if w.old == 0 {
		params = append(params, id)
	}
	for col := range columns {
		params = append(params, w.value(col))
	}
	if w.form() == formList {
		key, at := w.listed()
		params = append(params, key, at)
	}
	if w.old != 0 {
		params = append(params, id, &types.AttributeValueMemberN{Value: strconv.FormatInt(int64(w.old), 10)})
	}
	return types.BatchStatementRequest{Statement: &s.of(w).text, Parameters: params, ReturnValuesOnConditionCheckFailure: allOld}
}

const allOld = types.ReturnValuesOnConditionCheckFailureAllOld

// Statement returns the statement by which a [Store] on a table writes next over the
// version old in a batch (0: the record is absent). It is for checks of what a
// server makes of the statement. Its error is that of [Store.Swap] for a record that lacks a
// field.
func Statement(table string, old protocol.Version, next protocol.Record) (types.BatchStatementRequest, error) {
	w, err := newWrite(old, next)
	if err != nil {
		return types.BatchStatementRequest{}, err
	}
	return newStatements(table, AttrTTL).request(w), nil
}
