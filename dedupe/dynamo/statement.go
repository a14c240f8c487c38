package dynamo

import (
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
)

// shape is all that a statement's text depends on.
type shape struct {
	insert  bool
	present uint32 // bit i: the item has columns[i]
}

// statements are the texts of PartiQL statements for one table, each made once:
// parameters carry everything that differs from record to record.
type statements struct {
	table string   // quoted
	texts sync.Map // shape to *string
}

func newStatements(table string) *statements { return &statements{table: `"` + table + `"`} }

// request returns the statement that does w, with its parameters.
func (s *statements) request(w *write) types.BatchStatementRequest {
	sh := shape{insert: w.old == 0}
	params := make([]types.AttributeValue, 0, len(columns)+2)
	if sh.insert {
		params = append(params, &w.fields.id)
	}
	for i, v := range w.fields.values {
		if v != nil {
			sh.present |= 1 << i
			params = append(params, v)
		}
	}
	if !sh.insert {
		params = append(params, &w.fields.id, number(w.old))
	}
	return types.BatchStatementRequest{
		Statement:                           s.text(sh),
		Parameters:                          params,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}

func number(v dedupe.Version) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(int64(v), 10)}
}

func (s *statements) text(sh shape) *string {
	if known, ok := s.texts.Load(sh); ok {
		return known.(*string)
	}
	made := s.update(sh)
	if sh.insert {
		made = s.insert(sh)
	}
	known, _ := s.texts.LoadOrStore(sh, &made)
	return known.(*string)
}

// insert fails where the item exists, whatever its version.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.insert.html
func (s *statements) insert(sh shape) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + s.table + " VALUE {'" + AttrID + "':?")
	for i, name := range columns {
		if sh.present&(1<<i) != 0 {
			b.WriteString(",'" + name + "':?")
		}
	}
	b.WriteString("}")
	return b.String()
}

// update fails where the item is missing or of another version. What the record
// has no longer is removed; names are quoted, since some are reserved words.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html
func (s *statements) update(sh shape) string {
	var set, remove []string
	for i, name := range columns {
		if sh.present&(1<<i) != 0 {
			set = append(set, `"`+name+`"=?`)
		} else {
			remove = append(remove, `"`+name+`"`)
		}
	}
	text := "UPDATE " + s.table + " SET " + strings.Join(set, ", ")
	if len(remove) > 0 {
		text += " REMOVE " + strings.Join(remove, ", ")
	}
	return text + ` WHERE "` + AttrID + `"=? AND "` + AttrVersion + `"=?`
}
