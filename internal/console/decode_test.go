package console

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// outer is a type with fields at several depths.
type outer struct {
	Settle
	Inner inner            `json:"inner"`
	List  []inner          `json:"list"`
	Any   json.RawMessage  `json:"any"`
	Deep  *json.RawMessage `json:"-"`
}

type inner struct {
	Name  string   `json:"name"`
	Kinds []string `json:"kinds"`
}

func TestDecode(t *testing.T) {
	for name, tc := range map[string]struct{ body, problem string }{
		"fields at all depths":   {`{"verb":"retry","names":["a"],"inner":{"name":"\\ud800 \ud83d\ude00"},"list":[{"kinds":["x"]}],"any":{"NAME":null,"x":[null]}}`, ""},
		"field in another case":  {`{"Verb":"retry"}`, `unknown field "Verb"`},
		"long s":                 {`{"nameſ":["a"]}`, `unknown field "nameſ"`},
		"Kelvin sign":            {`{"inner":{"\u212ainds":["a"]}}`, "unknown field \"\u212ainds\""},
		"nested, another case":   {`{"inner":{"NAME":"a"}}`, `unknown field "NAME"`},
		"nested, unknown":        {`{"inner":{"names":"a"}}`, `unknown field "names"`},
		"in a list, unknown":     {`{"list":[{"name":"a"},{"Name":"b"}]}`, `unknown field "Name"`},
		"nested, a key twice":    {`{"inner":{"name":"a","n\u0061me":"b"}}`, "name"},
		"a key twice, any value": {`{"any":{"a":1,"a":2}}`, "a"},
		"hidden field":           {`{"-":1}`, `unknown field "-"`},
		"embedded as a field":    {`{"Settle":{}}`, `unknown field "Settle"`},
		"null":                   {`{"verb":null}`, "verb is null"},
		"nested null":            {`{"inner":{"name":null}}`, "name is null"},
		"null in a list":         {`{"names":["a",null]}`, "names[1] is null"},
		"another kind":           {`{"names":"a"}`, "names is not a JSON array"},
		"another kind of inner":  {`{"inner":[]}`, "inner is not a JSON object"},
		"number for a text":      {`{"verb":1}`, "verb"},
		"half of a pair":         {`{"verb":"\ud800"}`, "surrogate pair"},
		"other half, a key":      {`{"any":{"\\\udfff":1}}`, "surrogate pair"},
		"not UTF-8":              {"{\"inner\":{\"name\":\"a\xff\"}}", "UTF-8"},
		"text behind it":         {`{} junk`, "the body"},
		"two values":             {`{}{}`, "the body"},
		"no object":              {`[]`, "not a JSON object"},
		"nothing":                {``, "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			var v outer
			err := decode([]byte(tc.body), &v)
			if (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("%s: %v, want %q", tc.body, err, tc.problem)
			}
		})
	}
}

// Strict decoding preserves values.
func TestDecodeValues(t *testing.T) {
	var got outer
	if err := decode([]byte(`{"verb":"retry","names":["a","é\ud83d\ude00"],"inner":{"name":"n","kinds":["x"]},"list":[{"name":"m"}],"any":{"B":1}}`), &got); err != nil {
		t.Fatal(err)
	}
	want := outer{Settle: Settle{Verb: "retry", Names: []string{"a", "é😀"}}, Inner: inner{"n", []string{"x"}}, List: []inner{{Name: "m"}}, Any: json.RawMessage(`{"B":1}`)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read as %+v, want %+v", got, want)
	}
}
