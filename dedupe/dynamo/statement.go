package dynamo

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// statements holds the statement texts for the records of one table, by form. A text depends only
// on the table: every column is a parameter, even if it is empty.
type statements [forms]statement

// statement is a statement text and the request with it.
type statement struct {
	text string
	json []byte // the JSON of a request up to the first parameter
}

// newStatements returns the statements for a table whose records expire by ttl.
//
// INSERT fails if the item exists in any version:
//
//	INSERT INTO table VALUE item
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.insert.html
//
// UPDATE fails if the item is missing or has another version:
//
//	UPDATE table [SET | REMOVE] path [= data] […] WHERE condition
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html
//
// The reference repeats the keyword for each path. The page on batches shows one SET with several
// assignments, "SET AwardsWon=1, AwardDetail={…}", which is the form used here. No page shows a
// REMOVE of several paths, so a column that a record no longer has is set to an empty value.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.batching.html
//
// An UPDATE keeps the keys of the list, or sets them. It cannot remove them, because keys of an
// index must not be empty.
//
// Names are quoted, because some are reserved words.
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

// of returns the statement for w.
func (s *statements) of(w *write) *statement { return &s[w.form()] }

// request returns the statement for w with its parameters. The ID is the first parameter of an
// INSERT. For an UPDATE it follows the columns, before the version that is overwritten.
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

// Statement returns the statement by which a [Store] on a table writes next over the version old in
// a batch. An old of 0 means that the record is absent. It allows tests of how a server treats the
// statement. It returns the error of [Store.Swap] for a record without a required field.
func Statement(table string, old protocol.Version, next protocol.Record) (types.BatchStatementRequest, error) {
	w, err := newWrite(old, next)
	if err != nil {
		return types.BatchStatementRequest{}, err
	}
	return newStatements(table, AttrTTL).request(w), nil
}
