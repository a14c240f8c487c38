package dynamo

import (
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// shape is all that a statement's text depends on.
type shape struct {
	insert  bool
	present uint32 // bit i: the item has columns[i]
}

// statements are those of PartiQL for one table, each made once: parameters carry
// everything that differs from record to record. Safe for concurrent use.
type statements struct {
	table string // quoted

	mu   sync.RWMutex
	made map[shape]*statement // guarded by mu
}

// statement is the text of one.
type statement struct {
	text string
	json []byte // of a request for it, up to the first parameter
}

func newStatements(table string) *statements {
	return &statements{table: `"` + table + `"`, made: make(map[shape]*statement)}
}

// of returns the statement that does w.
func (s *statements) of(w *write) *statement {
	sh := shape{insert: w.old == 0, present: w.present}
	s.mu.RLock()
	known := s.made[sh]
	s.mu.RUnlock()
	if known != nil {
		return known
	}
	st := &statement{text: s.update(sh)}
	if sh.insert {
		st.text = s.insert(sh)
	}
	st.json = append(appendText([]byte(`{"Statement":`), st.text), `,"Parameters":[`...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[sh] = st
	return st
}

// request returns the statement that does w, with its parameters: for an INSERT
// the id goes before the columns, for an UPDATE it comes after them, with the
// version that is written over.
func (s *statements) request(w *write) (types.BatchStatementRequest, error) {
	params := make([]types.AttributeValue, 0, len(columns)+2)
	id := &types.AttributeValueMemberS{Value: w.id}
	if w.old == 0 {
		params = append(params, id)
	}
	for col := range columns {
		if w.present&(1<<col) != 0 {
			v, err := w.value(col)
			if err != nil {
				return types.BatchStatementRequest{}, err
			}
			params = append(params, v)
		}
	}
	if w.old != 0 {
		params = append(params, id, &types.AttributeValueMemberN{Value: strconv.FormatInt(int64(w.old), 10)})
	}
	return types.BatchStatementRequest{Statement: &s.of(w).text, Parameters: params, ReturnValuesOnConditionCheckFailure: allOld}, nil
}

const allOld = types.ReturnValuesOnConditionCheckFailureAllOld

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
